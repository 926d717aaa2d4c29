//! As whom we call GitHub: tokens and what they may, the App's key and permissions, its address; and that no token is told.

use super::*;

#[tokio::test]
async fn tokens_are_narrowed_to_the_repository_and_to_what_a_call_needs() {
    let hub = Hub::start().await;
    hub.forge.create_repo("acme/secret", &[("a", "a")], "main", true).unwrap();
    hub.forge.install_app("acme/secret").unwrap();
    let number = hub.issue();
    let spec = hub.pull_spec();
    let sha = hub.forge.commit_file(REPO, &spec.head, "cart.rs", "fn cart() {}\n").unwrap();
    hub.adapter.repository(&hub.repository).await.unwrap();
    hub.put_comment(number, None, "queued").await.unwrap();
    hub.adapter.put_pull(&hub.repository, &spec).await.unwrap();
    hub.adapter.put_check(&hub.repository, None, &check_spec(&sha)).await.unwrap();
    let read = hub.adapter.remote(&hub.repository, RemoteAccess::Read).await.unwrap();
    let write = hub.adapter.remote(&hub.repository, RemoteAccess::Write).await.unwrap();
    let asked: Vec<serde_json::Value> = hub
        .requests("POST", "/access_tokens")
        .iter()
        .map(|request| serde_json::from_str(&request.body).unwrap())
        .collect();
    let permissions: Vec<_> = asked.iter().map(|body| body["permissions"].clone()).collect();
    assert!(asked.iter().all(|body| body["repositories"] == serde_json::json!(["shop"])));
    assert_eq!(
        permissions,
        [
            serde_json::json!({ "metadata": "read", "contents": "read", "issues": "read", "pull_requests": "read" }),
            serde_json::json!({ "issues": "write" }),
            serde_json::json!({ "pull_requests": "write", "contents": "read" }),
            serde_json::json!({ "checks": "write" }),
            serde_json::json!({ "contents": "read" }),
            serde_json::json!({ "contents": "write" }),
        ]
    );
    // GitHub saw no caller that could do more.
    for request in hub.forge.requests().iter().filter(|request| request.caller.starts_with("installation")) {
        assert!(
            request.caller.contains("acme/shop") && !request.caller.contains("acme/secret"),
            "{}",
            request.caller
        );
    }
    assert_eq!(write.url, format!("{}/acme/shop.git", hub.forge.url()));
    assert_eq!(write.key, format!("{}/acme/shop", hub.forge.address()));
    let again = hub.adapter.remote(&hub.repository, RemoteAccess::Write).await.unwrap();
    assert_ne!(write.token, again.token, "a push has a token of its own");
    assert!(read.token.is_some() && !format!("{read:?}").contains("ghs_"));
}

#[tokio::test]
async fn tokens_are_kept_until_shortly_before_they_end_and_renewed_when_refused() {
    let hub = Hub::start().await;
    for (minutes, minted) in [(0, 1), (54, 1), (2, 2), (61, 3)] {
        hub.forge.advance(Duration::from_secs(minutes * 60));
        hub.adapter.repository(&hub.repository).await.unwrap();
        assert_eq!(hub.minted(), minted, "after {minutes} more minutes");
    }
    let refused = Fault::Status(401, r#"{"message":"Bad credentials"}"#.to_owned());
    hub.forge.fail_next(Matcher::new("GET", "/repos/acme/shop"), refused.clone(), 1);
    hub.adapter.repository(&hub.repository).await.unwrap();
    assert_eq!(hub.minted(), 4, "a refused token is replaced once");
    hub.forge.fail_next(Matcher::new("GET", "/repos/acme/shop"), refused, 5);
    let error = hub.adapter.repository(&hub.repository).await.unwrap_err();
    assert_eq!((kind(&error), hub.minted()), ("unauthorized", 5), "{error}");
    let refused =
        hub.requests("GET", "/repos/acme/shop").iter().filter(|request| request.status == 401).count();
    assert_eq!(refused, 3, "and only once");
}

#[tokio::test]
async fn calls_at_the_same_time_share_one_token() {
    let hub = Hub::start().await;
    let calls = (0..10).map(|_| hub.adapter.repository(&hub.repository));
    futures::future::try_join_all(calls).await.unwrap();
    assert_eq!(hub.minted(), 1);
}

#[tokio::test]
async fn what_the_app_lacks_is_named() {
    let some =
        Permissions::from([("metadata".to_owned(), Access::Read), ("issues".to_owned(), Access::Write)]);
    let hub = Hub::with(ForgeConfig::default(), Some(some)).await;
    let error = hub.adapter.remote(&hub.repository, RemoteAccess::Write).await.unwrap_err();
    assert!(matches!(&error, ForgeError::Forbidden(text) if text.contains("contents: write")), "{error}");
    let elsewhere = Repository { name: "other".to_owned(), ..hub.repository.clone() };
    assert!(hub.adapter.repository(&elsewhere).await.is_err());

    let about = hub.adapter.check().await.unwrap();
    assert!(about.starts_with("GitHub App cloud-code (id 4242)"), "{about}");
    assert_eq!(hub.adapter.installation("acme", "shop").await.unwrap(), hub.repository.installation);
    hub.forge.create_repo("acme/bare", &[], "main", false).unwrap();
    let error = hub.adapter.installation("acme", "bare").await.unwrap_err();
    assert!(
        matches!(&error, ForgeError::NotFound(text) if text.contains("not installed for acme/bare")),
        "{error}"
    );
}

#[tokio::test]
async fn a_wrong_key_is_said_and_not_shown() {
    let hub = Hub::start().await;
    let other = Forge::start(ForgeConfig::default()).await.unwrap();
    let config = |pem: String| GitHubConfig {
        api_url: hub.forge.api_url(),
        web_url: hub.forge.url(),
        app_id: hub.forge.app().id,
        slug: hub.forge.app().slug,
        private_key_pem: SecretText::new(pem),
        clock: Arc::new(SharedClock(ForgeClock::default())),
    };
    // One line, as in an environment file.
    let pem = other.app_private_key().unwrap().replace('\n', "\\n");
    let stranger = GitHubForge::new(config(pem)).unwrap();
    for error in
        [stranger.check().await.unwrap_err(), stranger.repository(&hub.repository).await.unwrap_err()]
    {
        assert!(
            matches!(&error, ForgeError::Unauthorized(text) if text.contains("GITHUB_PRIVATE_KEY")),
            "{error}"
        );
    }
    let error = GitHubForge::new(config("hunter2".to_owned())).err().unwrap();
    assert!(matches!(error, GitHubSetupError::Key) && !error.to_string().contains("hunter2"));
}

#[tokio::test]
async fn an_enterprise_server_has_its_api_below_a_path() {
    let config = ForgeConfig { api_prefix: "/api/v3".to_owned(), ..ForgeConfig::default() };
    let hub = Hub::with(config, None).await;
    let number = hub.issue();
    for n in 0..101 {
        hub.forge.comment(REPO, "ann", number, &format!("number {n}")).unwrap();
    }
    assert_eq!(hub.adapter.comments(&hub.repository, number).await.unwrap().len(), 101);
    let id = hub.put_comment(number, None, "queued").await.unwrap();
    assert_eq!(hub.put_comment(number, None, "done").await.unwrap(), id);
    let remote = hub.adapter.remote(&hub.repository, RemoteAccess::Read).await.unwrap();
    assert_eq!(remote.url, format!("{}/acme/shop.git", hub.forge.url()));
}

#[tokio::test]
async fn no_token_is_in_an_error() {
    let hub = Hub::start().await;
    hub.adapter.repository(&hub.repository).await.unwrap();
    let secrets = hub.forge.token_secrets();
    for fault in
        [Fault::Status(403, "{}".to_owned()), Fault::Status(200, "{".to_owned()), Fault::DropConnection]
    {
        hub.forge.fail_next(Matcher::new("GET", "/repos/acme/shop"), fault, 1);
        let error = hub.adapter.repository(&hub.repository).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(secrets.iter().all(|secret| !text.contains(secret.as_str())), "{text}");
    }
    assert_eq!(
        ForgeError::RateLimited { retry_after: SignedDuration::from_secs(3) }.to_string(),
        "rate limited by the forge"
    );
}
