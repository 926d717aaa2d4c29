use std::time::Duration;

use cloud_code_forge::{Access, Role};
use serde_json::json;

use crate::{SHOP, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_app_signs_in_by_jwt_only() {
    let world = World::new().await;
    let now = world.now();
    let check = |claims, status| {
        let jwt = world.jwt_of(&claims);
        assert_eq!(world.call("GET", "/app", Some(&jwt), None).status, status, "{claims}");
    };
    check(json!({ "iss": "4242", "iat": now - 60, "exp": now + 540 }), 200);
    check(json!({ "iss": "Iv23liforge0000demo0", "iat": now - 60, "exp": now + 540 }), 200);
    check(json!({ "iss": "1", "iat": now - 60, "exp": now + 540 }), 401);
    check(json!({ "iss": "4242", "iat": now - 60, "exp": now + 3600 }), 401);
    assert_eq!(world.call("GET", "/app", None, None).status, 401);
    assert_eq!(world.call("GET", "/app", Some("ghs_nonsense"), None).status, 401);
    let app = world.call("GET", "/app", Some(&world.jwt()), None).expect(200);
    assert_eq!(app["slug"], "cloud-code");
    assert_eq!(world.call("GET", "/repos/acme/shop", Some(&world.jwt()), None).status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_reach_only_what_they_are_for() {
    let world = World::new().await;
    world.forge.create_repo("acme/secret", &[("a", "b")], "main", true).unwrap();
    world.forge.create_repo("acme/other", &[("a", "b")], "main", true).unwrap();
    world.forge.install_app("acme/secret").unwrap();

    let all = world.token(json!({}));
    assert!(all.starts_with("ghs_") && all.len() == 520, "{}", all.len());
    let shop = world.token(json!({ "repositories": ["shop"], "permissions": { "issues": "read" } }));
    let check = |token: &str, method: &str, path: &str, status: u16, message: &str| {
        let body = (method != "GET").then(|| json!({ "title": "t" }));
        let answer = world.call(method, path, Some(token), body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert!(answer.text.contains(message), "{method} {path}: {}", answer.text);
    };
    check(&all, "GET", "/repos/acme/secret", 200, "acme/secret");
    check(&all, "GET", "/repos/acme/other", 404, "Not Found");
    check(&shop, "GET", "/repos/acme/shop", 200, "acme/shop");
    check(&shop, "GET", "/repos/acme/secret", 404, "Not Found");
    check(&shop, "GET", "/repos/acme/shop/issues", 200, "[]");
    check(&shop, "POST", "/repos/acme/shop/issues", 403, "Resource not accessible by integration");
    check(&shop, "GET", "/repos/acme/shop/pulls", 403, "Resource not accessible by integration");
    check("ghs_wrong", "GET", "/repos/acme/shop", 401, "Bad credentials");

    let mint = format!("/app/installations/{}/access_tokens", world.installation());
    let refused = |body, why: &str| {
        let answer = world.call("POST", &mint, Some(&world.jwt()), Some(body));
        assert_eq!(answer.status, 422);
        assert!(answer.text.contains(why), "{}", answer.text);
    };
    refused(json!({ "repositories": ["other"] }), "not accessible to the parent installation");
    refused(json!({ "permissions": { "administration": "write" } }), "not granted to this installation");
    refused(json!({ "permissions": { "metadata": "write" } }), "not granted to this installation");

    world.forge.advance(Duration::from_secs(3_601));
    check(&shop, "GET", "/repos/acme/shop", 401, "Bad credentials");
    let secrets = world.forge.token_secrets();
    let kept = format!("{:?}", world.forge.requests());
    assert!(secrets.iter().all(|secret| !kept.contains(secret.as_str())), "the record shows a token");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_told_as_github_tells_them() {
    let world = World::new().await;
    world.forge.create_repo("acme/secret", &[("a", "b")], "main", true).unwrap();
    world.forge.install_app("acme/secret").unwrap();
    world.forge.create_user("eve");
    let token = world.token(json!({}));
    let check = |repo: &str, login: &str, role: Option<Role>, permission: &str, role_name: &str| {
        world.forge.set_permission(repo, login, role).unwrap();
        let path = format!("/repos/{repo}/collaborators/{login}/permission");
        let answer = world.call("GET", &path, Some(&token), None).expect(200);
        assert_eq!(
            (&answer["permission"], &answer["role_name"]),
            (&json!(permission), &json!(role_name)),
            "{path}"
        );
    };
    check(SHOP, "eve", Some(Role::Admin), "admin", "admin");
    check(SHOP, "eve", Some(Role::Maintain), "write", "maintain");
    check(SHOP, "eve", Some(Role::Write), "write", "write");
    check(SHOP, "eve", Some(Role::Triage), "read", "triage");
    check(SHOP, "eve", None, "read", "read");
    check("acme/secret", "eve", None, "none", "none");
    let nobody = world.call("GET", "/repos/acme/shop/collaborators/nobody/permission", Some(&token), None);
    assert_eq!(nobody.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limits_count_down_and_run_out() {
    let world = World::new().await;
    let token = world.token(json!({}));
    let first = world.call("GET", "/repos/acme/shop", Some(&token), None);
    let second = world.call("GET", "/repos/acme/shop", Some(&token), None);
    assert_eq!(first.header("x-ratelimit-limit"), Some("5000"));
    assert_eq!(first.header("x-ratelimit-remaining"), Some("4999"));
    assert_eq!(second.header("x-ratelimit-remaining"), Some("4998"));
    let told = world.call("GET", "/rate_limit", Some(&token), None).expect(200);
    assert_eq!(told["rate"]["used"], 2);
    for _ in 0..60 {
        world.call("GET", "/repos/acme/shop", None, None).expect(200);
    }
    let over = world.call("GET", "/repos/acme/shop", None, None);
    assert_eq!((over.status, over.header("x-ratelimit-remaining")), (403, Some("0")));
    world.forge.advance(Duration::from_secs(3_600));
    world.call("GET", "/repos/acme/shop", None, None).expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_installation_an_account() {
    let world = World::new().await;
    world.forge.create_repo("acme/second", &[], "main", true).unwrap();
    let permissions = [("contents".to_owned(), Access::Read)].into_iter().collect();
    let id = world.forge.install_app_with("acme/second", &permissions).unwrap();
    assert_eq!(id, world.installation());
    let listed = world.call("GET", "/app/installations", Some(&world.jwt()), None).expect(200);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["permissions"], json!({ "contents": "read", "metadata": "read" }));
    world.forge.uninstall_app("acme/second").unwrap();
    let gone = world.call("GET", "/repos/acme/second/installation", Some(&world.jwt()), None);
    assert_eq!(gone.status, 404);
}
