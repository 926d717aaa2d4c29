//! Users, the app, and its installations.

use serde_json::{Map, Value, json};

use super::{extend, node_id, time, time_or_null};
use crate::state::{Installation, Permissions, Token, User, World};

/// The events that a GitHub App with our permissions listens to.
const EVENTS: [&str; 6] = ["check_run", "issue_comment", "issues", "pull_request", "push", "repository"];

impl World {
    /// A `simple-user`. A login that nobody has is shown as GitHub shows a deleted account: `ghost`.
    pub(crate) fn user_json(&self, login: &str) -> Value {
        match self.user(login) {
            Some(user) => self.simple_user(user),
            None => {
                let created_at = jiff::Timestamp::UNIX_EPOCH;
                let kind = crate::state::UserKind::User;
                self.simple_user(&User { id: 10_137, login: "ghost".into(), kind, created_at })
            }
        }
    }

    fn simple_user(&self, user: &User) -> Value {
        let api = format!("{}/users/{}", self.urls.api, percent(&user.login));
        let html = format!("{}/{}", self.urls.html, percent(&user.login));
        json!({
            "login": user.login,
            "id": user.id,
            "node_id": node_id(user.kind.as_str(), user.id),
            "avatar_url": format!("{}/avatars/u/{}", self.urls.html, user.id),
            "gravatar_id": "",
            "url": api,
            "html_url": html,
            "followers_url": format!("{api}/followers"),
            "following_url": format!("{api}/following{{/other_user}}"),
            "gists_url": format!("{api}/gists{{/gist_id}}"),
            "starred_url": format!("{api}/starred{{/owner}}{{/repo}}"),
            "subscriptions_url": format!("{api}/subscriptions"),
            "organizations_url": format!("{api}/orgs"),
            "repos_url": format!("{api}/repos"),
            "events_url": format!("{api}/events{{/privacy}}"),
            "received_events_url": format!("{api}/received_events"),
            "type": user.kind.as_str(),
            "site_admin": false,
        })
    }

    /// A `public-user`, as `GET /users/{login}` gives it.
    pub(crate) fn public_user_json(&self, user: &User) -> Value {
        let mut body = self.simple_user(user);
        let owned = self.repos.values().filter(|repo| repo.owner == user.login && !repo.private).count();
        extend(
            &mut body,
            json!({
                "user_view_type": "public", "name": null, "company": null, "blog": "", "location": null,
                "email": null, "hireable": null, "bio": null, "public_repos": owned, "public_gists": 0,
                "followers": 0, "following": 0, "created_at": time(user.created_at),
                "updated_at": time(user.created_at),
            }),
        );
        body
    }

    /// The app as an `integration`.
    pub(crate) fn app_json(&self) -> Value {
        let app = &self.app;
        json!({
            "id": app.id,
            "client_id": app.client_id,
            "slug": app.slug,
            "node_id": node_id("Integration", app.id),
            "owner": self.user_json(&app.owner),
            "name": app.slug,
            "description": "",
            "external_url": format!("{}/apps/{}", self.urls.html, app.slug),
            "html_url": format!("{}/apps/{}", self.urls.html, app.slug),
            "created_at": time(app.created_at),
            "updated_at": time(app.created_at),
            "permissions": permissions_json(&crate::drive::usual()),
            "events": EVENTS,
        })
    }

    /// The app where something was done through it, else null.
    pub(crate) fn via_app_json(&self, via_app: bool) -> Value {
        if via_app { self.app_json() } else { Value::Null }
    }

    /// An `installation`.
    pub(crate) fn installation_json(&self, installation: &Installation) -> Value {
        let account = self.user(&installation.account);
        json!({
            "id": installation.id,
            "account": self.user_json(&installation.account),
            "repository_selection": "selected",
            "access_tokens_url": format!("{}/app/installations/{}/access_tokens", self.urls.api, installation.id),
            "repositories_url": format!("{}/installation/repositories", self.urls.api),
            "html_url": format!("{}/settings/installations/{}", self.urls.html, installation.id),
            "app_id": self.app.id,
            "client_id": self.app.client_id,
            "app_slug": self.app.slug,
            "target_id": account.map_or(0, |user| user.id),
            "target_type": account.map_or("User", |user| user.kind.as_str()),
            "permissions": permissions_json(&installation.permissions),
            "events": EVENTS,
            "created_at": time(installation.created_at),
            "updated_at": time(installation.created_at),
            "single_file_name": null,
            "has_multiple_single_files": false,
            "single_file_paths": [],
            "suspended_by": null,
            "suspended_at": time_or_null(installation.suspended_at),
        })
    }

    /// An `installation-token`, the one answer that shows the secret.
    pub(crate) fn token_json(&self, token: &Token) -> Value {
        let mut body = json!({
            "token": token.secret,
            "expires_at": time(token.expires_at),
            "permissions": permissions_json(&token.permissions),
            "repository_selection": "selected",
        });
        if let Some(ids) = &token.repositories {
            let listed: Vec<_> =
                ids.iter().filter_map(|id| self.repo_by_id(*id)).map(|repo| self.repo_json(repo)).collect();
            extend(&mut body, json!({ "repositories": listed }));
        }
        body
    }
}

pub(crate) fn permissions_json(permissions: &Permissions) -> Value {
    let map: Map<_, _> =
        permissions.iter().map(|(name, access)| (name.clone(), json!(access.as_str()))).collect();
    Value::Object(map)
}

/// A login in an address: `slug[bot]` has brackets, which URLs must not.
fn percent(login: &str) -> String {
    login.replace('[', "%5B").replace(']', "%5D")
}
