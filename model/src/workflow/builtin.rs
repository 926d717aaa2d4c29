//! The workflow that serves a repository without any.

use super::{Workflow, read};

/// Stands for a path where the workflow is the built-in one.
pub const BUILT_IN_PATH: &str = "built-in:implement";

/// The text of the built-in workflow. It is read by the same reader as everybody's, so that it can be copied into
/// `.cloud-code/implement.yml` and changed from there.
const TEXT: &str = "\
name: implement
on:
  issues: { types: [labeled] }
  issue_comment: { types: [created] }
concurrency: { group: \"issue-${{ github.event.issue.number }}\", cancel-in-progress: true }
jobs:
  implement:
    timeout-minutes: 45
    steps:
      - id: agent
        uses: agent
";

/// The built-in workflow `implement`.
pub fn implement() -> Workflow {
    #[expect(clippy::expect_used, reason = "a constant, read by a test")]
    read(BUILT_IN_PATH, TEXT).expect("the built-in workflow is valid")
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_valid() {
        let workflow = super::implement();
        assert_eq!(workflow.name, "implement");
        assert_eq!(workflow.plan.jobs.len(), 1);
    }
}
