//! What an expression is evaluated with: the contexts, and the host that knows files and how the job stands.

use std::sync::Arc;

use super::collections::Object;
use super::value::Value;

/// The contexts by name (`github`, `matrix`, …), without case. A context that is not there is null.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contexts {
    values: Object,
}

impl Contexts {
    /// No context at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one context more, or with another value for it.
    #[must_use]
    pub fn with(mut self, name: impl Into<Arc<str>>, value: impl Into<Value>) -> Self {
        self.insert(name, value);
        self
    }

    /// Sets a context.
    pub fn insert(&mut self, name: impl Into<Arc<str>>, value: impl Into<Value>) {
        self.values.insert(name, value.into());
    }

    /// The context called `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The names, in the order they were set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(name, _)| name)
    }
}

/// Each key of the object is a context.
impl From<Object> for Contexts {
    fn from(values: Object) -> Self {
        Self { values }
    }
}

/// Each key of the object is a context.
impl From<serde_json::Map<String, serde_json::Value>> for Contexts {
    fn from(contexts: serde_json::Map<String, serde_json::Value>) -> Self {
        contexts.into_iter().map(|(name, value)| (name, Value::from(value))).collect()
    }
}

impl<K: Into<Arc<str>>> FromIterator<(K, Value)> for Contexts {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(contexts: I) -> Self {
        Self { values: contexts.into_iter().collect() }
    }
}

/// How the job (for a step) or the needed jobs (for a job) stand, as the status functions see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum JobStatus {
    /// Nothing has failed: `success()`.
    #[default]
    Success,
    /// Something has failed: `failure()`.
    Failure,
    /// The run is cancelled: `cancelled()`.
    Cancelled,
    /// A needed job was skipped: none of the three.
    Skipped,
}

/// What an expression asks of the world. The model does no I/O, so the caller answers.
pub trait Host {
    /// The SHA-256 over the files that `patterns` match, as `hashFiles` gives it: hexadecimal, or empty where no file matches.
    ///
    /// # Errors
    /// Why the files could not be hashed, for a person to read.
    fn hash_files(&self, patterns: &[String]) -> Result<String, String>;

    /// How the job or its needs stand.
    fn status(&self) -> JobStatus;

    /// `success()`. `jobs` are the parameters, which only an `if` of a job may have: the needed jobs that are meant, all of them when empty.
    fn success(&self, jobs: &[String]) -> bool {
        let _ = jobs;
        self.status() == JobStatus::Success
    }

    /// `failure()`; `jobs` as with [`Host::success`].
    fn failure(&self, jobs: &[String]) -> bool {
        let _ = jobs;
        self.status() == JobStatus::Failure
    }

    /// `cancelled()`.
    fn cancelled(&self) -> bool {
        self.status() == JobStatus::Cancelled
    }
}

/// A host with a status and no files: for jobs before they start, where `hashFiles` is not allowed.
impl Host for JobStatus {
    fn hash_files(&self, _patterns: &[String]) -> Result<String, String> {
        Err("There are no files here: hashFiles works in the steps of a job.".to_owned())
    }

    fn status(&self) -> JobStatus {
        *self
    }
}
