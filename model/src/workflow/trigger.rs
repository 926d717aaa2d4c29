//! Which workflows an event starts.

use super::Workflow;

/// The events that can start a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A label was put on an issue.
    IssueLabeled,
    /// A comment on an issue began with `/cloud-code run`.
    IssueCommented,
}

impl EventKind {
    /// The event's name and action in GitHub's words.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::IssueLabeled => ("issues", "labeled"),
            Self::IssueCommented => ("issue_comment", "created"),
        }
    }
}

/// Whether the workflow's `on:` names this event. An event without `types:` takes all of its activity types, as GitHub
/// has it for `issues` and `issue_comment`.
pub fn is_started_by(workflow: &Workflow, event: EventKind) -> bool {
    let (name, action) = event.names();
    workflow.on.get(name).is_some_and(|types| types.is_empty() || types.iter().any(|listed| listed == action))
}
