//! What happens to attempts: S3's events of their reports, and ECS's of their tasks. Each only says where to look; what is true is
//! read then, so that doubles and a wrong order do no harm.

use super::event::{BatchResponse, QueueEvent};
use super::{Function, Lanes};
use crate::adapters::aws::{ecs, keys};
use crate::app::watch;
use cloud_code_model::ids::AttemptId;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The reporter: looks at attempts that something happened to, and executes the effects of runs.
pub struct Reporter {
    lanes: Lanes,
}

impl Reporter {
    /// See [`Function::load`].
    ///
    /// # Errors
    /// The first setting that is missing or wrong.
    pub async fn load() -> anyhow::Result<Self> {
        Ok(Self::new(Function::load().await?))
    }

    /// On this function.
    pub fn new(function: Function) -> Self {
        Self { lanes: Lanes::new(function) }
    }

    /// Handles a batch, of the lane of runs or of what happens to attempts.
    pub async fn handle(&self, event: QueueEvent) -> BatchResponse {
        let (happenings, runs): (Vec<_>, Vec<_>) =
            event.records.into_iter().partition(|record| record.event_source_arn.ends_with("-reports"));
        let mut response = self.lanes.handle(QueueEvent { records: runs }).await;
        // An attempt is looked at once, however often it is named.
        let mut named: BTreeMap<AttemptId, Vec<String>> = BTreeMap::new();
        let mut ended = 0;
        for record in happenings {
            let Happened { attempts, is_end } = happened(&record.body);
            ended += usize::from(is_end);
            for attempt in attempts {
                named.entry(attempt).or_default().push(record.message_id.clone());
            }
        }
        if ended > 0 {
            self.lanes.function().unpark(ended).await;
        }
        let mut staying = BTreeSet::new();
        for (attempt, messages) in named {
            if let Err(error) = watch::look(&self.lanes.function().app, &attempt).await {
                tracing::warn!(%attempt, %error, "could not look at the attempt");
                staying.extend(messages);
            }
        }
        response.batch_item_failures.extend(BatchResponse::of(staying).batch_item_failures);
        response
    }
}

/// What a message says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Happened {
    /// Of these attempts.
    attempts: Vec<AttemptId>,
    /// A task ended, so that there is room for another.
    is_end: bool,
}

/// One that speaks of none of ours is of no use, now or later.
fn happened(body: &str) -> Happened {
    match serde_json::from_str(body) {
        Ok(Happening::Stored { records }) => {
            let named = |record: StoredObject| keys::reported(&unescaped(&record.s3.object.key));
            Happened { attempts: records.into_iter().filter_map(named).collect(), is_end: false }
        }
        Ok(Happening::Task { detail }) => {
            let attempt = detail.started_by.as_deref().and_then(ecs::attempt_of);
            Happened { attempts: attempt.into_iter().collect(), is_end: true }
        }
        Ok(Happening::Other {}) | Err(_) => Happened::default(),
    }
}

/// S3 writes keys as forms do.
fn unescaped(key: &str) -> String {
    form_urlencoded::parse(key.as_bytes()).map(|(name, _)| name.into_owned()).next().unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Happening {
    Stored {
        #[serde(rename = "Records")]
        records: Vec<StoredObject>,
    },
    Task {
        detail: TaskDetail,
    },
    Other {},
}

#[derive(Deserialize)]
struct StoredObject {
    s3: StoredIn,
}

#[derive(Deserialize)]
struct StoredIn {
    object: ObjectName,
}

#[derive(Deserialize)]
struct ObjectName {
    key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskDetail {
    started_by: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Artifact;
    use cloud_code_model::ids::RunId;

    #[test]
    fn events_name_their_attempts() {
        let id = AttemptId { run: RunId::derive("d", "w"), job: "fix it".to_owned(), number: 2 };
        let key = keys::live(&id, Artifact::Report);
        let check = |body: serde_json::Value, expected: &[AttemptId]| {
            assert_eq!(happened(&body.to_string()).attempts, expected, "{body}");
        };
        let escaped = key.replace(' ', "+");
        let stored =
            |key: &str| serde_json::json!({ "s3": { "bucket": { "name": "b" }, "object": { "key": key } } });
        check(serde_json::json!({ "Records": [stored(&escaped)] }), std::slice::from_ref(&id));
        check(
            serde_json::json!({ "Records": [stored("attempts/x/log.txt"), stored(&escaped)] }),
            std::slice::from_ref(&id),
        );
        let task = serde_json::json!({
            "detail-type": "ECS Task State Change",
            "detail": { "lastStatus": "STOPPED", "startedBy": id.to_string() },
        });
        assert!(happened(&task.to_string()).is_end);
        check(task, &[id]);
        check(serde_json::json!({ "detail": { "startedBy": "ecs-svc/123" } }), &[]);
        check(serde_json::json!({ "detail": {} }), &[]);
        check(serde_json::json!({ "Service": "Amazon S3", "Event": "s3:TestEvent" }), &[]);
        check(serde_json::json!([1]), &[]);
    }
}
