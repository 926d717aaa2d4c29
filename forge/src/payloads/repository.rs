//! Repositories, in full; every smaller form of GitHub's is a subset of it.

use serde_json::{Value, json};

use super::{extend, node_id, time};
use crate::state::{Repo, World};

/// The addresses of a repository's parts: field, and what follows the repository's own address.
const PARTS: [(&str, &str); 37] = [
    ("forks_url", "/forks"),
    ("keys_url", "/keys{/key_id}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("teams_url", "/teams"),
    ("hooks_url", "/hooks"),
    ("issue_events_url", "/issues/events{/number}"),
    ("events_url", "/events"),
    ("assignees_url", "/assignees{/user}"),
    ("branches_url", "/branches{/branch}"),
    ("tags_url", "/tags"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("trees_url", "/git/trees{/sha}"),
    ("statuses_url", "/statuses/{sha}"),
    ("languages_url", "/languages"),
    ("stargazers_url", "/stargazers"),
    ("contributors_url", "/contributors"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("commits_url", "/commits{/sha}"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("comments_url", "/comments{/number}"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("contents_url", "/contents/{+path}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("merges_url", "/merges"),
    ("archive_url", "/{archive_format}{/ref}"),
    ("downloads_url", "/downloads"),
    ("issues_url", "/issues{/number}"),
    ("pulls_url", "/pulls{/number}"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("labels_url", "/labels{/name}"),
    ("releases_url", "/releases{/id}"),
    ("deployments_url", "/deployments"),
    ("url", ""),
];

impl World {
    /// The repository's address in the API.
    pub(crate) fn repo_api(&self, repo: &Repo) -> String {
        format!("{}/repos/{}", self.urls.api, repo.full_name())
    }

    /// The address of the repository's pages.
    pub(crate) fn repo_html(&self, repo: &Repo) -> String {
        format!("{}/{}", self.urls.html, repo.full_name())
    }

    /// A `repository`: what lists, tokens and webhooks carry.
    pub(crate) fn repo_json(&self, repo: &Repo) -> Value {
        let (api, html, full_name) = (self.repo_api(repo), self.repo_html(repo), repo.full_name());
        let open = repo.issues.values().filter(|issue| issue.open).count();
        let forks = self.repos.values().filter(|other| other.fork_of.as_ref() == Some(&full_name)).count();
        let host = self.urls.html.split("://").nth(1).unwrap_or_default();
        let mut body = json!({
            "id": repo.id,
            "node_id": node_id("Repository", repo.id),
            "name": repo.name,
            "full_name": full_name,
            "private": repo.private,
            "owner": self.user_json(&repo.owner),
            "html_url": html,
            "description": null,
            "fork": repo.fork_of.is_some(),
        });
        for (field, part) in PARTS {
            extend(&mut body, json!({ *field: format!("{api}{part}") }));
        }
        extend(
            &mut body,
            json!({
                "created_at": time(repo.created_at),
                "updated_at": time(repo.pushed_at),
                "pushed_at": time(repo.pushed_at),
                "git_url": format!("git://{host}/{full_name}.git"),
                "ssh_url": format!("git@{host}:{full_name}.git"),
                "clone_url": format!("{html}.git"),
                "svn_url": html,
                "homepage": null,
                "size": 0,
                "stargazers_count": 0,
                "watchers_count": 0,
                "language": null,
                "has_issues": true,
                "has_projects": true,
                "has_downloads": true,
                "has_wiki": false,
                "has_pages": false,
                "has_discussions": false,
                "forks_count": forks,
            }),
        );
        extend(
            &mut body,
            json!({
                "mirror_url": null,
                "archived": repo.archived,
                "disabled": false,
                "open_issues_count": open,
                "license": null,
                "allow_forking": true,
                "is_template": false,
                "web_commit_signoff_required": false,
                "topics": [],
                "visibility": if repo.private { "private" } else { "public" },
                "forks": forks,
                "open_issues": open,
                "watchers": 0,
                "default_branch": repo.default_branch,
            }),
        );
        body
    }

    /// A `full-repository`, as `GET /repos/{owner}/{repo}` gives it.
    pub(crate) fn full_repo_json(&self, repo: &Repo) -> Value {
        let mut body = self.repo_json(repo);
        let forks = body["forks_count"].clone();
        extend(
            &mut body,
            json!({
                "subscribers_count": 0,
                "network_count": forks,
                "allow_merge_commit": true,
                "allow_squash_merge": true,
                "allow_rebase_merge": true,
                "delete_branch_on_merge": false,
            }),
        );
        if let Some(parent) = repo.fork_of.as_ref().and_then(|name| self.repo(name).ok()) {
            let parent = self.repo_json(parent);
            extend(&mut body, json!({ "parent": parent, "source": parent }));
        }
        body
    }
}
