//! Runs as items: one each, and parts beside it where a run is too large for one.

use super::super::item::{Item, b, bytes, n, number, s, text};
use super::super::{keys, pack};
use super::{DynamoStore, both, run_id, unavailable};
use crate::ports::{RunSummary, Saved, StoreError, Stored};
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValue, TransactWriteItem};
use cloud_code_model::ids::RunId;
use cloud_code_model::run::Run;

/// Packed bytes of a run that go into its item: an item has 400 KB at most, its other attributes and its entries in indexes included.
const MAX_IN_ITEM: usize = 300_000;
/// Rounds of reading a run whose parts are being replaced.
const ROUNDS: usize = 10;

/// A run as it is written: where its JSON lies, and what lists need.
struct Written {
    /// The attributes that change with each save.
    attributes: Vec<(&'static str, AttributeValue)>,
    /// Attributes that a run in this state does not have.
    absent: Vec<&'static str>,
    /// A name that no other write has: the SDK asks again where an answer is lost, and is then told that the version is another.
    write: String,
    /// The parts beside the item, under that name; none where the item has it all.
    parts: Vec<Vec<u8>>,
}

impl Written {
    fn of(run: &Run) -> Result<Self, StoreError> {
        let broken = |error: serde_json::Error| {
            StoreError::Corrupt(format!("run {} can't be written: {error}", run.id))
        };
        let packed = pack::pack(&serde_json::to_vec(run).map_err(broken)?);
        let summary = RunSummary::of(run);
        let mut attributes = vec![
            ("summary", s(serde_json::to_string(&summary).map_err(broken)?)),
            ("repository", s(&summary.repository)),
            ("status", s(summary.status.as_str())),
            ("repository_status", s(both(&summary.repository, summary.status))),
            ("place", s(keys::place(summary.created_at, run.id.as_str()))),
            ("list", s(keys::RUNS)),
        ];
        let mut absent = Vec::new();
        match run.due_at() {
            Some(due) => {
                attributes.push(("due", s(keys::DUE_RUNS)));
                attributes.push(("due_at", s(keys::place(due, run.id.as_str()))));
            }
            None => absent.extend(["due", "due_at"]),
        }
        let write = uuid::Uuid::new_v4().simple().to_string();
        attributes.push(("write", s(&write)));
        let parts = if packed.len() <= MAX_IN_ITEM {
            attributes.push(("run", b(packed)));
            absent.push("parts");
            Vec::new()
        } else {
            let parts: Vec<Vec<u8>> = packed.chunks(MAX_IN_ITEM).map(<[u8]>::to_vec).collect();
            attributes.push(("parts", n(parts.len())));
            absent.push("run");
            parts
        };
        Ok(Self { attributes, absent, write, parts })
    }

    /// Whether this is what the item has.
    fn is_in(&self, head: Option<&Item>) -> bool {
        head.and_then(|head| text(head, "write")) == Some(&self.write)
    }
}

impl DynamoStore {
    pub(super) async fn create_run(&self, run: &Run, semantic_key: &str) -> Result<Saved, StoreError> {
        let written = Written::of(run)?;
        self.put_parts(&run.id, &written).await?;
        let mut item: Item =
            written.attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        item.insert(keys::PK.to_owned(), s(keys::run(&run.id)));
        item.insert(keys::SK.to_owned(), s("run"));
        item.insert("version".to_owned(), n(1));
        let semantic = Item::from([
            (keys::PK.to_owned(), s(keys::semantic(semantic_key))),
            (keys::SK.to_owned(), s("semantic")),
            ("run".to_owned(), s(run.id.as_str())),
        ]);
        let writes = vec![self.put_new(item)?, self.put_new(semantic)?, self.put_new(member(run))?];
        let made = self.db.transact_write_items().set_transact_items(Some(writes)).send().await;
        let Err(error) = made else { return Ok(Saved::At(1)) };
        // What has no answer may have been done, with the parts that it needs.
        if !error.as_service_error().is_some_and(|error| error.is_transaction_canceled_exception()) {
            return Err(unavailable(&error));
        }
        let head = self.head(&run.id).await?;
        if written.is_in(head.as_ref()) {
            return Ok(Saved::At(1));
        }
        self.drop_parts(&run.id, Some((&written.write, written.parts.len()))).await?;
        // Somebody else has the run or the key, or had them in hand at this moment: what is there now tells.
        if head.is_some() {
            return Ok(Saved::Conflict(run.id.clone()));
        }
        match self.run_with_key(semantic_key).await? {
            Some(other) => Ok(Saved::Conflict(other)),
            None => Err(unavailable(&error)),
        }
    }

    pub(super) async fn load_run(&self, id: &RunId) -> Result<Option<Stored>, StoreError> {
        for _ in 0..ROUNDS {
            let Some(head) = self.head(id).await? else { return Ok(None) };
            let packed = match (bytes(&head, "run"), text(&head, "write")) {
                (Some(body), _) => Some(body.to_vec()),
                (None, Some(write)) => {
                    let count = number(&head, "parts").and_then(|count| usize::try_from(count).ok());
                    self.parts(id, write, count.unwrap_or_default()).await?
                }
                (None, None) => return Err(StoreError::Corrupt(format!("run {id} has no body"))),
            };
            // Parts that are gone were replaced since the head was read.
            let Some(packed) = packed else { continue };
            let json =
                pack::unpack(&packed).map_err(|error| StoreError::Corrupt(format!("run {id}: {error}")))?;
            let run = serde_json::from_slice(&json)
                .map_err(|error| StoreError::Corrupt(format!("run {id}: {error}")))?;
            let version = number(&head, "version").and_then(|version| u64::try_from(version).ok());
            return Ok(Some(Stored { run, version: version.unwrap_or_default() }));
        }
        Err(StoreError::Unavailable(format!("run {id} changed each time that it was read")))
    }

    pub(super) async fn save_run(&self, run: &Run, version: u64) -> Result<Saved, StoreError> {
        let written = Written::of(run)?;
        self.put_parts(&run.id, &written).await?;
        let mut update = self
            .db
            .update_item()
            .table_name(&self.table)
            .key(keys::PK, s(keys::run(&run.id)))
            .key(keys::SK, s("run"))
            .condition_expression("version = :version")
            .expression_attribute_values(":version", n(version))
            .expression_attribute_values(":next", n(version + 1))
            .return_values(ReturnValue::AllOld);
        let mut sets = vec!["version = :next".to_owned()];
        for (name, value) in &written.attributes {
            sets.push(format!("#{name} = :{name}"));
            update = update
                .expression_attribute_names(format!("#{name}"), *name)
                .expression_attribute_values(format!(":{name}"), value.clone());
        }
        for name in &written.absent {
            update = update.expression_attribute_names(format!("#{name}"), *name);
        }
        let removes: Vec<String> = written.absent.iter().map(|name| format!("#{name}")).collect();
        let mut expression = format!("SET {}", sets.join(", "));
        if !removes.is_empty() {
            expression.push_str(&format!(" REMOVE {}", removes.join(", ")));
        }
        match update.update_expression(expression).send().await {
            Ok(done) => {
                let old = done.attributes.unwrap_or_default();
                let count = number(&old, "parts").and_then(|count| usize::try_from(count).ok());
                self.drop_parts(&run.id, text(&old, "write").zip(count)).await?;
            }
            Err(error)
                if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) =>
            {
                // What was there before is not known any more, and its parts stay.
                if !written.is_in(self.head(&run.id).await?.as_ref()) {
                    self.drop_parts(&run.id, Some((&written.write, written.parts.len()))).await?;
                    return Ok(Saved::Conflict(run.id.clone()));
                }
            }
            Err(error) => return Err(unavailable(&error)),
        }
        if run.is_over() {
            let delete = self.db.delete_item().table_name(&self.table).set_key(Some(member(run)));
            delete.send().await.map_err(|error| unavailable(&error))?;
        }
        Ok(Saved::At(version + 1))
    }

    fn put_new(&self, item: Item) -> Result<TransactWriteItem, StoreError> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    pub(super) async fn get(&self, pk: String, sk: &str) -> Result<Option<Item>, StoreError> {
        let got = self.db.get_item().table_name(&self.table).key(keys::PK, s(pk)).key(keys::SK, s(sk));
        let got = got.consistent_read(true).send().await;
        Ok(got.map_err(|error| unavailable(&error))?.item)
    }

    async fn head(&self, id: &RunId) -> Result<Option<Item>, StoreError> {
        self.get(keys::run(id), "run").await
    }

    async fn run_with_key(&self, semantic_key: &str) -> Result<Option<RunId>, StoreError> {
        let found = self.get(keys::semantic(semantic_key), "semantic").await?;
        found.map(|item| run_id(text(&item, "run").unwrap_or_default())).transpose()
    }

    async fn put_parts(&self, id: &RunId, written: &Written) -> Result<(), StoreError> {
        for (number, part) in written.parts.iter().enumerate() {
            let put = self
                .db
                .put_item()
                .table_name(&self.table)
                .item(keys::PK, s(keys::run(id)))
                .item(keys::SK, s(keys::part(&written.write, number)))
                .item("run", b(part.clone()));
            put.send().await.map_err(|error| unavailable(&error))?;
        }
        Ok(())
    }

    /// The bytes in the parts of a write; `None` where one is gone.
    async fn parts(&self, id: &RunId, write: &str, count: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let mut all = Vec::new();
        for number in 0..count {
            let Some(item) = self.get(keys::run(id), &keys::part(write, number)).await? else {
                return Ok(None);
            };
            all.extend_from_slice(bytes(&item, "run").unwrap_or_default());
        }
        Ok(Some(all))
    }

    async fn drop_parts(&self, id: &RunId, parts: Option<(&str, usize)>) -> Result<(), StoreError> {
        let Some((write, count)) = parts else { return Ok(()) };
        for number in 0..count {
            let delete = self
                .db
                .delete_item()
                .table_name(&self.table)
                .key(keys::PK, s(keys::run(id)))
                .key(keys::SK, s(keys::part(write, number)));
            delete.send().await.map_err(|error| unavailable(&error))?;
        }
        Ok(())
    }
}

/// The item by which a run that is not over is found: on its issue.
fn member(run: &Run) -> Item {
    let repository = run.repository.full_name();
    let subject = keys::subject(&repository, run.subject.number);
    Item::from([
        (keys::PK.to_owned(), s(subject)),
        (keys::SK.to_owned(), s(keys::place(run.created_at, run.id.as_str()))),
    ])
}
