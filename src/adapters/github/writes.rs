//! What writes have in common: one at a time for an installation, labels, and texts that GitHub's limits would refuse.
//!
//! GitHub asks that requests which change things be made one after the other ("Best practices for using the REST API"),
//! and answers too many of them with a secondary rate limit, which comes back to the caller as such.

use super::GitHubForge;
use super::tokens::Grant;
use super::transport::{Call, encoded};
use crate::ports::{ForgeError, LabelChange};
use cloud_code_model::run::Repository;
use http::Method;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// Gates held at once; those that nobody waits at are dropped beyond it.
const MAX_GATES: usize = 1_000;

/// Lets one write of an installation through at a time.
#[derive(Default)]
pub(super) struct WriteGate {
    gates: Mutex<HashMap<u64, Arc<tokio::sync::Mutex<()>>>>,
}

impl WriteGate {
    /// Waits for its turn, which lasts until the guard is dropped.
    pub(super) async fn turn(&self, installation: u64) -> OwnedMutexGuard<()> {
        let gate = {
            let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            if gates.len() >= MAX_GATES {
                gates.retain(|_, gate| Arc::strong_count(gate) > 1);
            }
            Arc::clone(gates.entry(installation).or_default())
        };
        gate.lock_owned().await
    }
}

impl GitHubForge {
    pub(super) async fn add_and_remove_labels(
        &self,
        repository: &Repository,
        number: u64,
        change: &LabelChange,
    ) -> Result<(), ForgeError> {
        let labels = Self::path(repository, &format!("/issues/{number}/labels"));
        if !change.add.is_empty() {
            let call =
                Call::new(Method::POST, labels.clone()).body(serde_json::json!({ "labels": change.add }))?;
            self.tokens.as_installation(repository, Grant::Issues, &call).await?;
        }
        for label in &change.remove {
            let call = Call::new(Method::DELETE, format!("{labels}/{}", encoded(label)));
            match self.tokens.as_installation(repository, Grant::Issues, &call).await {
                Ok(_) | Err(ForgeError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Text of at most `limit` characters; what is cut off is said at its end, and `keep` is still in it.
pub(super) fn cut(text: &str, limit: usize, keep: &str) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let notice = "\n\n_(cut: too long for GitHub)_";
    let room = limit.saturating_sub(notice.chars().count() + keep.chars().count() + 1);
    let head: String = text.chars().take(room).collect();
    let kept = if keep.is_empty() || head.contains(keep) { String::new() } else { format!("\n{keep}") };
    format!("{head}{notice}{kept}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_and_keep_their_marker() {
        assert_eq!(cut("short", 5, "<!-- m -->"), "short");
        let long = format!("{}<!-- m -->", "é".repeat(300));
        let text = cut(&long, 200, "<!-- m -->");
        assert_eq!(text.chars().count(), 200);
        assert!(text.ends_with("<!-- m -->") && text.contains("(cut: too long for GitHub)"));
        let text = cut(&format!("<!-- m -->{long}"), 200, "<!-- m -->");
        assert_eq!(text.matches("<!-- m -->").count(), 1);
        assert!(text.chars().count() <= 200);
    }

    #[tokio::test]
    async fn one_write_of_an_installation_at_a_time() {
        let gate = WriteGate::default();
        let first = gate.turn(1).await;
        let mut second = Box::pin(gate.turn(1));
        assert!(futures::poll!(&mut second).is_pending());
        assert!(futures::poll!(Box::pin(gate.turn(2))).is_ready());
        drop(first);
        drop(second.await);
    }
}
