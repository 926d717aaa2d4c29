//! Text that strangers write, put into a script: whoever opens an issue then runs commands.

use super::super::finding::Report;
use super::Checked;
use crate::expression::{PathPart, Reference, ReferenceKind};

/// What strangers write, `*` for any item (docs.github.com, "Script injections"; securitylab.github.com).
const UNTRUSTED: &[&str] = &[
    "github.event.issue.title",
    "github.event.issue.body",
    "github.event.pull_request.title",
    "github.event.pull_request.body",
    "github.event.pull_request.head.ref",
    "github.event.pull_request.head.label",
    "github.event.pull_request.head.repo.default_branch",
    "github.event.comment.body",
    "github.event.review.body",
    "github.event.review_comment.body",
    "github.event.pages.*.page_name",
    "github.event.commits.*.message",
    "github.event.commits.*.author.email",
    "github.event.commits.*.author.name",
    "github.event.head_commit.message",
    "github.event.head_commit.author.email",
    "github.event.head_commit.author.name",
    "github.event.discussion.title",
    "github.event.discussion.body",
    "github.event.workflow_run.head_branch",
    "github.event.workflow_run.head_commit.message",
    "github.event.workflow_run.display_title",
    "github.head_ref",
];

pub(super) fn check(checked: &Checked<'_>, report: &mut Report) {
    for site in checked.sites {
        let last = site.path.len().saturating_sub(1);
        let is_script = match site.key(last) {
            Some("run") => {
                (site.key(0) == Some("jobs") && last >= 4) || (site.key(0) == Some("runs") && last >= 3)
            }
            // The input of an action that is a script as well.
            Some("script") => site.key(last.saturating_sub(1)) == Some("with"),
            _ => false,
        };
        if !is_script {
            continue;
        }
        for reference in site.references() {
            if let Some(name) = untrusted(&reference) {
                let at = checked.document.position_in(&site.node, reference.offset);
                let message = format!(
                    "`{name}` is text from strangers, who can put commands into this script with it; pass it as a variable: `env: {{ NAME: ${{{{ {name} }}}} }}`, then \"$NAME\""
                );
                report.warn(at, "injection", message);
            }
        }
    }
}

fn untrusted(reference: &Reference) -> Option<&'static str> {
    let ReferenceKind::Context { path } = &reference.kind else { return None };
    UNTRUSTED.iter().copied().find(|known| {
        let mut parts = known.split('.');
        parts.next().is_some_and(|context| context.eq_ignore_ascii_case(&reference.name))
            && parts.clone().count() == path.len()
            && parts.zip(path).all(|(known, part)| match part {
                PathPart::Name(name) => known == "*" || known.eq_ignore_ascii_case(name),
                // `github.event.*.body` takes it from whatever it is in.
                PathPart::Star | PathPart::Computed => true,
            })
    })
}
