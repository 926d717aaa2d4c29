//! Repositories' schedules: one item each, in the index `due` while something of it is due.

use super::super::item::{n, number, s, text};
use super::super::keys;
use super::{DynamoStore, unavailable};
use crate::ports::{Schedules, StoreError};

impl DynamoStore {
    pub(super) async fn load_schedules(&self, key: &str) -> Result<Option<(Schedules, u64)>, StoreError> {
        let Some(item) = self.get(keys::schedules(key), "schedules").await? else { return Ok(None) };
        let schedules = serde_json::from_str(text(&item, "schedules").unwrap_or_default())
            .map_err(|error| StoreError::Corrupt(format!("the schedules of {key}: {error}")))?;
        let version = number(&item, "version").and_then(|version| u64::try_from(version).ok());
        Ok(Some((schedules, version.unwrap_or_default())))
    }

    pub(super) async fn put_schedules(
        &self,
        schedules: &Schedules,
        version: u64,
    ) -> Result<bool, StoreError> {
        let json =
            serde_json::to_string(schedules).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let key = schedules.key();
        let mut put = self
            .db
            .put_item()
            .table_name(&self.table)
            .item(keys::PK, s(keys::schedules(&key)))
            .item(keys::SK, s("schedules"))
            .item("version", n(version.saturating_add(1)))
            .item("schedules", s(json));
        if let Some(due) = schedules.due_at() {
            put = put.item("due", s(keys::DUE_SCHEDULES)).item("due_at", s(keys::place(due, &key)));
        }
        let put = match version {
            0 => put.condition_expression("attribute_not_exists(pk)"),
            _ => put
                .condition_expression("version = :version")
                .expression_attribute_values(":version", n(version)),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) =>
            {
                Ok(false)
            }
            Err(error) => Err(unavailable(&error)),
        }
    }
}
