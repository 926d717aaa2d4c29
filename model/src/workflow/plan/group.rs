//! `concurrency`: its group's name and ways, evaluated.

use crate::expression::{Contexts, Host};
use crate::workflow::definition::{ConcurrencyDefinition, Queue};
use crate::workflow::token::PlanError;
use serde::{Deserialize, Serialize};

/// A wish to have a concurrency group for oneself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConcurrencyWish {
    /// The group's name, in lower case: groups are told apart without case.
    pub group: String,
    /// Whether those before it are ended.
    pub cancel_in_progress: bool,
    /// How many may wait.
    pub queue: Queue,
}

/// Evaluates a `concurrency`. None where the group's name comes out empty: then there is none.
///
/// # Errors
/// An expression that can't be evaluated, or `cancel-in-progress` together with `queue: max`.
pub fn concurrency(
    definition: &ConcurrencyDefinition,
    contexts: &Contexts,
    host: &dyn Host,
) -> Result<Option<ConcurrencyWish>, PlanError> {
    let group = definition.group.render(contexts, host)?.to_lowercase();
    let cancel_in_progress = match &definition.cancel_in_progress {
        None => false,
        Some(token) => {
            let value = token.evaluate(contexts, host)?;
            value.is_truthy() && value.as_str() != Some("false")
        }
    };
    if cancel_in_progress && definition.queue == Queue::Max {
        return Err(definition.group.error("`queue: max` can't be combined with `cancel-in-progress: true`"));
    }
    Ok((!group.is_empty()).then_some(ConcurrencyWish { group, cancel_in_progress, queue: definition.queue }))
}
