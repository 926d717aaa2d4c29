//! Repositories' schedules: one item each, in the index `due` while something of it is due.

use super::super::item::{s, text};
use super::super::keys;
use super::{DynamoStore, swapped, version_of};
use crate::ports::{Schedules, StoreError};

impl DynamoStore {
    pub(super) async fn load_schedules(&self, key: &str) -> Result<Option<(Schedules, u64)>, StoreError> {
        let Some(item) = self.get(keys::schedules(key), "schedules").await? else { return Ok(None) };
        let schedules = serde_json::from_str(text(&item, "schedules").unwrap_or_default())
            .map_err(|error| StoreError::Corrupt(format!("the schedules of {key}: {error}")))?;
        Ok(Some((schedules, version_of(&item))))
    }

    pub(super) async fn put_schedules(
        &self,
        schedules: &Schedules,
        version: u64,
    ) -> Result<bool, StoreError> {
        let json =
            serde_json::to_string(schedules).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let key = schedules.key();
        let mut put = self.versioned(keys::schedules(&key), "schedules", version).item("schedules", s(json));
        if let Some(due) = schedules.due_at() {
            put = put.item("due", s(keys::DUE_SCHEDULES)).item("due_at", s(keys::place(due, &key)));
        }
        swapped(put, version).await
    }
}
