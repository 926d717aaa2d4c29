//! The store in memory.

use crate::ports::{Decision, Page, RunFilter, RunSummary, Saved, Schedules, Store, StoreError, Stored};
use async_trait::async_trait;
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{Group, Run};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Decisions kept; older ones are dropped.
const DECISIONS_KEPT: usize = 10_000;

#[derive(Default)]
struct Inner {
    runs: HashMap<RunId, Stored>,
    semantic_keys: HashMap<String, RunId>,
    decisions: BTreeMap<(Timestamp, String), Decision>,
    groups: HashMap<(String, String), (Group, u64)>,
    schedules: BTreeMap<String, (Schedules, u64)>,
}

impl Inner {
    /// Ids of the runs that `wanted` picks and gives a rank, in the order of their ranks.
    fn ranked<K: Ord>(&self, limit: usize, wanted: impl Fn(&Run) -> Option<K>) -> Vec<RunId> {
        let mut found: Vec<(K, &RunId)> =
            self.runs.values().filter_map(|stored| Some((wanted(&stored.run)?, &stored.run.id))).collect();
        found.sort();
        found.into_iter().take(limit).map(|(_, id)| id.clone()).collect()
    }
}

/// A store that lives as long as the process.
#[derive(Default)]
pub struct MemoryStore(Mutex<Inner>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn create(&self, run: &Run, semantic_key: &str) -> Result<Saved, StoreError> {
        let mut inner = self.inner();
        if inner.runs.contains_key(&run.id) {
            return Ok(Saved::Conflict(run.id.clone()));
        }
        if let Some(other) = inner.semantic_keys.get(semantic_key) {
            return Ok(Saved::Conflict(other.clone()));
        }
        inner.semantic_keys.insert(semantic_key.to_owned(), run.id.clone());
        inner.runs.insert(run.id.clone(), Stored { run: run.clone(), version: 1 });
        Ok(Saved::At(1))
    }

    async fn load(&self, id: &RunId) -> Result<Option<Stored>, StoreError> {
        Ok(self.inner().runs.get(id).cloned())
    }

    async fn save(&self, run: &Run, version: u64) -> Result<Saved, StoreError> {
        match self.inner().runs.get_mut(&run.id) {
            Some(stored) if stored.version == version => {
                *stored = Stored { run: run.clone(), version: version + 1 };
                Ok(Saved::At(version + 1))
            }
            _ => Ok(Saved::Conflict(run.id.clone())),
        }
    }

    /// A cursor that this store did not make begins at the start.
    async fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, StoreError> {
        let limit = match filter.limit {
            0 => 50,
            limit => limit.min(200),
        };
        let inner = self.inner();
        let rank = |run: &Run| (run.created_at, run.id.clone());
        let after = filter
            .cursor
            .as_deref()
            .and_then(RunId::parse)
            .and_then(|id| inner.runs.get(&id))
            .map(|stored| rank(&stored.run));
        let mut found: Vec<&Run> = inner
            .runs
            .values()
            .map(|stored| &stored.run)
            .filter(|run| filter.status.is_none_or(|status| run.status == status))
            .filter(|run| filter.repository.as_ref().is_none_or(|name| run.repository.full_name() == *name))
            .filter(|run| after.as_ref().is_none_or(|after| rank(run) < *after))
            .collect();
        found.sort_by_key(|run| std::cmp::Reverse(rank(run)));
        let items: Vec<RunSummary> = found.iter().take(limit).map(|run| RunSummary::of(run)).collect();
        let next = items.last().filter(|_| found.len() > limit).map(|last| last.id.to_string());
        Ok(Page { items, next })
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<RunId>, StoreError> {
        Ok(self.inner().ranked(limit, |run| run.due_at().filter(|at| *at <= now)))
    }

    async fn group(&self, repository: &str, name: &str) -> Result<(Group, u64), StoreError> {
        let key = (repository.to_owned(), name.to_owned());
        Ok(self.inner().groups.get(&key).cloned().unwrap_or_default())
    }

    async fn save_group(
        &self,
        repository: &str,
        name: &str,
        group: &Group,
        version: u64,
    ) -> Result<bool, StoreError> {
        let mut inner = self.inner();
        let stored = inner.groups.entry((repository.to_owned(), name.to_owned())).or_default();
        let first = stored.1 == version;
        if first {
            *stored = (group.clone(), version + 1);
        }
        Ok(first)
    }

    async fn schedules(&self, key: &str) -> Result<Option<(Schedules, u64)>, StoreError> {
        Ok(self.inner().schedules.get(key).cloned())
    }

    async fn save_schedules(&self, schedules: &Schedules, version: u64) -> Result<bool, StoreError> {
        let mut inner = self.inner();
        let key = schedules.key();
        let first = inner.schedules.get(&key).map_or(0, |(_, version)| *version) == version;
        if first {
            inner.schedules.insert(key, (schedules.clone(), version + 1));
        }
        Ok(first)
    }

    async fn schedules_due(&self, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        let inner = self.inner();
        let all = inner.schedules.iter().filter_map(|(key, (schedules, _))| Some((schedules.due_at()?, key)));
        let mut due: Vec<_> = all.filter(|(at, _)| *at <= now).collect();
        due.sort();
        Ok(due.into_iter().take(limit).map(|(_, key)| key.clone()).collect())
    }

    async fn active_on(&self, repository: &str, subject: u64) -> Result<Vec<RunId>, StoreError> {
        let wanted = |run: &Run| {
            let here = run.repository.full_name() == repository && run.subject.number == subject;
            (here && !run.is_over()).then_some(run.created_at)
        };
        Ok(self.inner().ranked(usize::MAX, wanted))
    }

    async fn record(&self, decision: &Decision) -> Result<(), StoreError> {
        let decisions = &mut self.inner().decisions;
        decisions.retain(|(_, delivery), _| *delivery != decision.delivery);
        decisions.insert((decision.at, decision.delivery.clone()), decision.clone());
        while decisions.len() > DECISIONS_KEPT {
            decisions.pop_first();
        }
        Ok(())
    }

    async fn decisions(&self, limit: usize) -> Result<Vec<Decision>, StoreError> {
        Ok(self.inner().decisions.values().rev().take(limit).cloned().collect())
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
