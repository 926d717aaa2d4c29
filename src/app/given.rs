//! The secrets that attempts were given, in this process's memory for as long as they live: what is said of an attempt is masked with the
//! values that it has, also when they were changed in the store meanwhile, and also while the store does not answer.
//!
//! The agent masks by itself, with what it was given; this is the second masking, of what a container says that can't be relied upon. After
//! a restart of the server, and in a function, only the store's present values are known.

use super::{App, AppError, launch};
use crate::ports::SecretText;
use cloud_code_model::ids::AttemptId;
use cloud_code_model::run::Run;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Values by attempt.
#[derive(Debug, Default)]
pub struct Given(Mutex<HashMap<AttemptId, Vec<SecretText>>>);

impl Given {
    fn values(&self) -> MutexGuard<'_, HashMap<AttemptId, Vec<SecretText>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what an attempt is given; what it was given at an earlier try of its launch stays noted.
    pub(super) fn note(&self, attempt: &AttemptId, secrets: &[(String, SecretText)]) {
        let mut values = self.values();
        let known = values.entry(attempt.clone()).or_default();
        for (_, value) in secrets {
            if !known.contains(value) {
                known.push(value.clone());
            }
        }
    }

    /// The attempt is over, and its files are as they stay.
    pub(super) fn forget(&self, attempt: &AttemptId) {
        self.values().remove(attempt);
    }

    fn of(&self, attempt: &AttemptId) -> Option<Vec<SecretText>> {
        self.values().get(attempt).cloned()
    }
}

/// What an attempt says is masked with: what it was given, where that is known; for what goes to people for good, with the store's present
/// values too.
///
/// # Errors
/// When the store does not answer and what the attempt was given is not known.
pub(super) async fn secrets(
    app: &App,
    run: &Run,
    attempt: &AttemptId,
    for_good: bool,
) -> Result<Vec<SecretText>, AppError> {
    let given = app.given.of(attempt);
    if let Some(given) = given.as_ref().filter(|_| !for_good) {
        return Ok(given.clone());
    }
    let Some(job) = run.job(&attempt.job) else { return Ok(given.unwrap_or_default()) };
    match (launch::environment(app, run, job).await, given) {
        (Ok((_, now)), given) => {
            let now = now.into_iter().map(|(_, value)| value);
            Ok(given.unwrap_or_default().into_iter().chain(now).collect())
        }
        (Err(error), Some(given)) => {
            tracing::warn!(%attempt, %error, "masking with the secrets that the attempt was given alone");
            Ok(given)
        }
        (Err(error), None) => Err(error),
    }
}
