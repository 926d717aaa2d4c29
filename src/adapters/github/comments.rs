//! Comments on issues: reading the last ones, and the one comment of ours.

use super::GitHubForge;
use super::bodies::{CommentBody, Numbered};
use super::tokens::Grant;
use super::transport::Call;
use super::writes::cut;
use crate::ports::{Comment, ForgeError};
use cloud_code_model::run::Repository;
use http::Method;
use std::collections::VecDeque;

/// GitHub's limit on a comment, in characters.
const MAX_BODY: usize = 65_536;
/// As many comments as are read at most.
const LAST: usize = 200;
/// GitHub's largest page.
const PAGE: u32 = 100;
/// Pages in which our own comment is looked for: an issue takes at most 2,500 comments, a discussion more; this ends a
/// loop that a broken `Link` header would make.
const MAX_PAGES: u32 = 200;

impl GitHubForge {
    async fn comment_page(
        &self,
        repository: &Repository,
        number: u64,
        page: u32,
    ) -> Result<(Vec<CommentBody>, Option<u32>, Option<u32>), ForgeError> {
        let call = Call::get(Self::path(repository, &format!("/issues/{number}/comments")))
            .query("per_page", &PAGE.to_string())
            .query("page", &page.to_string());
        let reply = self.tokens.as_installation(repository, Grant::Read, &call).await?;
        Ok((reply.read()?, reply.page("next"), reply.page("last")))
    }

    pub(super) async fn last_comments(
        &self,
        repository: &Repository,
        number: u64,
    ) -> Result<Vec<Comment>, ForgeError> {
        let (first, mut next, last) = self.comment_page(repository, number, 1).await?;
        let mut comments: VecDeque<CommentBody> = first.into();
        // The last page may hold one comment only, so the two before it are read too.
        if let Some(start) = last.map(|last| last.saturating_sub(2)).filter(|start| *start > 1) {
            comments.clear();
            next = Some(start);
        }
        // More may be written while we read: one page beyond the last is followed, and then it is enough.
        let end = last.unwrap_or(1).saturating_add(1);
        while let Some(page) = next.filter(|page| *page <= end) {
            let (more, after, _) = self.comment_page(repository, number, page).await?;
            comments.extend(more);
            next = after.filter(|after| *after > page);
        }
        let surplus = comments.len().saturating_sub(LAST);
        Ok(comments.into_iter().skip(surplus).map(Comment::from).collect())
    }

    pub(super) async fn find_or_post_comment(
        &self,
        repository: &Repository,
        number: u64,
        marker: &str,
        known: Option<u64>,
        body: &str,
    ) -> Result<u64, ForgeError> {
        let body = serde_json::json!({ "body": cut(body, MAX_BODY, marker) });
        let known = match known {
            Some(id) => Some(id),
            None => self.own_comment(repository, number, marker).await?,
        };
        if let Some(id) = known {
            let call = Call::new(Method::PATCH, Self::path(repository, &format!("/issues/comments/{id}")))
                .body(body)?;
            return match self.tokens.as_installation(repository, Grant::Issues, &call).await {
                // People deleted it, and meant it.
                Ok(_) | Err(ForgeError::NotFound(_)) => Ok(id),
                Err(error) => Err(error),
            };
        }
        let call = Call::new(Method::POST, Self::path(repository, &format!("/issues/{number}/comments")))
            .body(body)?;
        let posted: Numbered = self.tokens.as_installation(repository, Grant::Issues, &call).await?.read()?;
        Ok(posted.id)
    }

    async fn own_comment(
        &self,
        repository: &Repository,
        number: u64,
        marker: &str,
    ) -> Result<Option<u64>, ForgeError> {
        let mut page = 1;
        while page <= MAX_PAGES {
            let (comments, next, _) = self.comment_page(repository, number, page).await?;
            let found = comments.iter().find(|comment| self.is_own(comment, marker));
            if let Some(comment) = found {
                return Ok(Some(comment.id));
            }
            match next {
                Some(next) if next > page => page = next,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Whether we wrote it: people can copy a marker, but not our App's number or account.
    fn is_own(&self, comment: &CommentBody, marker: &str) -> bool {
        let by_app = comment.performed_via_github_app.as_ref().is_some_and(|app| app.id == self.app_id);
        let login = format!("{}[bot]", self.slug);
        let by_account = comment.user.as_ref().is_some_and(|user| user.kind == "Bot" && user.login == login);
        (by_app || by_account) && comment.body.as_ref().is_some_and(|body| body.contains(marker))
    }
}
