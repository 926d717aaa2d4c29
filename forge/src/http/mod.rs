//! GitHub's HTTP API: one function a subject, chosen by method and path. Each handler sees one `Call` and the world.

mod app;
mod call;
mod checks;
mod contents;
mod git;
mod issues;
mod labels;
mod pulls;
mod reply;
mod repos;
mod variables;

pub(crate) use call::{Call, Caller, decode, pairs};
pub(crate) use git::{plan as plan_git, serve as serve_git};
pub(crate) use reply::{ApiError, JSON, Reply};

/// What a handler gives back.
pub(crate) type Answer = Result<Reply, ApiError>;

/// Finds the handler for a request and runs it.
pub(crate) fn route(call: &mut Call<'_>, method: &str, path: &[&str]) -> Answer {
    match path {
        ["rate_limit"] if method == "GET" => app::rate_limit(call),
        ["users", login] if method == "GET" => app::user(call, login),
        ["app", rest @ ..] => app::route(call, method, rest),
        ["installation", "repositories"] if method == "GET" => app::installation_repositories(call),
        ["repos", owner, name, rest @ ..] => {
            let repo = format!("{owner}/{name}");
            match rest {
                ["issues", "comments", ..] | ["issues", ..] => issues::route(call, method, &repo, &rest[1..]),
                ["labels", rest @ ..] => labels::route(call, method, &repo, rest),
                ["pulls", rest @ ..] => pulls::route(call, method, &repo, rest),
                ["check-runs", ..] | ["commits", _, "check-runs"] => checks::route(call, method, &repo, rest),
                ["actions" | "environments", ..] if method == "GET" => variables::route(call, &repo, rest),
                ["contents", rest @ ..] if method == "GET" => contents::get(call, &repo, &rest.join("/")),
                _ => repos::route(call, method, &repo, rest),
            }
        }
        _ => Err(ApiError::not_found()),
    }
}
