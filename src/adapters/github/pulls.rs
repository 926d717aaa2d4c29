//! Pull requests: one from a branch to a base, found again, with a part of its text that is ours.

use super::GitHubForge;
use super::bodies::PullBody;
use super::tokens::Grant;
use super::transport::Call;
use super::writes::cut;
use crate::ports::{ForgeError, PullSpec};
use cloud_code_model::run::{PullRequest, Repository};
use http::Method;

/// What lies between these in a pull request's text is ours; the rest is people's.
const BEGIN: &str = "<!-- cloud-code:begin -->";
const END: &str = "<!-- cloud-code:end -->";
/// GitHub's limits, in characters.
const MAX_BODY: usize = 65_536;
const MAX_TITLE: usize = 256;

impl From<PullBody> for PullRequest {
    fn from(body: PullBody) -> Self {
        Self { number: body.number, url: body.html_url, draft: body.draft }
    }
}

impl GitHubForge {
    pub(super) async fn find_or_open_pull(
        &self,
        repository: &Repository,
        spec: &PullSpec,
    ) -> Result<PullRequest, ForgeError> {
        let base = Some(spec.base.as_str());
        if let Some(pull) = self.find_open_pull(repository, Grant::Pulls, &spec.head, base).await? {
            return self.renew(repository, spec, pull).await;
        }
        let refused = match self.create(repository, spec, spec.draft).await {
            Ok(pull) => return Ok(pull),
            Err(ForgeError::Invalid(text)) => text,
            Err(error) => return Err(error),
        };
        let text = refused.to_lowercase();
        if text.contains("already exists") {
            // Somebody, or an earlier call of ours whose answer was lost, was faster.
            if let Some(pull) = self.find_open_pull(repository, Grant::Pulls, &spec.head, base).await? {
                return self.renew(repository, spec, pull).await;
            }
        } else if spec.draft && text.contains("draft pull requests are not supported") {
            // Private repositories on GitHub's free plan have no drafts.
            return self.create(repository, spec, false).await;
        }
        Err(ForgeError::Invalid(refused))
    }

    /// The open pull request from a branch of this repository, into `base` or into any branch.
    pub(super) async fn find_open_pull(
        &self,
        repository: &Repository,
        grant: Grant,
        head: &str,
        base: Option<&str>,
    ) -> Result<Option<PullBody>, ForgeError> {
        let mut call = Call::get(Self::path(repository, "/pulls"))
            .query("state", "open")
            .query("head", &format!("{}:{head}", repository.owner))
            .query("per_page", "100");
        if let Some(base) = base {
            call = call.query("base", base);
        }
        let pulls: Vec<PullBody> = self.tokens.as_installation(repository, grant, &call).await?.read()?;
        // GitHub ignores a `head` that it can't read, and then lists them all.
        let wanted = |pull: &PullBody| {
            pull.head.branch == head
                && base.is_none_or(|base| pull.base.branch == base)
                && !pull.is_from_fork()
        };
        Ok(pulls.into_iter().find(wanted))
    }

    async fn create(
        &self,
        repository: &Repository,
        spec: &PullSpec,
        draft: bool,
    ) -> Result<PullRequest, ForgeError> {
        let title: String = spec.title.chars().take(MAX_TITLE).collect();
        let call = Call::new(Method::POST, Self::path(repository, "/pulls")).body(serde_json::json!({
            "title": title,
            "head": spec.head,
            "base": spec.base,
            "body": marked(&spec.body),
            "draft": draft,
        }))?;
        let pull: PullBody = self.tokens.as_installation(repository, Grant::Pulls, &call).await?.read()?;
        Ok(pull.into())
    }

    async fn renew(
        &self,
        repository: &Repository,
        spec: &PullSpec,
        pull: PullBody,
    ) -> Result<PullRequest, ForgeError> {
        let before = pull.body.as_deref().unwrap_or_default();
        if let Some(body) = renewed(before, &spec.body).filter(|body| body != before) {
            let path = Self::path(repository, &format!("/pulls/{}", pull.number));
            let call = Call::new(Method::PATCH, path).body(serde_json::json!({ "body": body }))?;
            self.tokens.as_installation(repository, Grant::Pulls, &call).await?;
        }
        Ok(pull.into())
    }
}

/// What lies before, between and after the markers.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (between, after) = rest.split_once(END)?;
    Some((before, between, after))
}

/// The text of a new pull request: with our markers around it, unless it has them.
fn marked(body: &str) -> String {
    let marks = BEGIN.chars().count() + END.chars().count() + 2;
    if parts(body).is_some() && body.chars().count() <= MAX_BODY {
        return body.to_owned();
    }
    let inner = parts(body).map_or(body, |(_, between, _)| between.trim_matches('\n'));
    format!("{BEGIN}\n{}\n{END}", cut(inner, MAX_BODY - marks, ""))
}

/// An existing text with our part renewed; `None` where people took our part out, which is theirs to do.
fn renewed(existing: &str, body: &str) -> Option<String> {
    let (before, _, after) = parts(existing)?;
    let inner = parts(body).map_or(body, |(_, between, _)| between).trim_matches('\n');
    let taken = [before, BEGIN, END, after].iter().map(|part| part.chars().count()).sum::<usize>() + 2;
    let inner = cut(inner, MAX_BODY.saturating_sub(taken), "");
    Some(format!("{before}{BEGIN}\n{inner}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn our_part_is_renewed_and_people_keep_theirs() {
        let first = marked("Fixes #7");
        assert_eq!(first, format!("{BEGIN}\nFixes #7\n{END}"));
        assert_eq!(marked(&first), first);
        let edited = format!("Hello\n{first}\nBye");
        for body in ["Fixes #8".to_owned(), marked("Fixes #8")] {
            assert_eq!(renewed(&edited, &body).unwrap(), format!("Hello\n{BEGIN}\nFixes #8\n{END}\nBye"));
        }
        for gone in ["", "all mine now", BEGIN, &format!("{END} {BEGIN}")] {
            assert_eq!(renewed(gone, "Fixes #8"), None, "{gone}");
        }
    }

    #[test]
    fn long_texts_stay_below_the_limit_with_their_markers() {
        let long = "x".repeat(70_000);
        for text in
            [marked(&long), marked(&format!("{BEGIN}{long}{END}")), renewed(&marked("a"), &long).unwrap()]
        {
            assert!(text.chars().count() <= MAX_BODY);
            assert!(parts(&text).is_some());
        }
    }
}
