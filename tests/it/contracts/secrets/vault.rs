//! The secrets in Vault: a real server for the engine of version 1, a small one for version 2 and for trouble.

use super::{Fixture, name, scope, suite, value};
use crate::harness::small_vault::{Fault, SmallToken, SmallVault};
use crate::harness::vault::RealVault;
use cloud_code::adapters::vps::vault::{Credential, KvVersion, Login, Vault, VaultConfig};
use cloud_code::ports::{SecretError, SecretStore};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A store with this token; `kv` by hand where it is given.
pub(super) fn config(url: &str, token: &str, path: &str, kv: Option<KvVersion>) -> VaultConfig {
    VaultConfig {
        url: url.to_owned(),
        namespace: None,
        ca_file: None,
        path: path.to_owned(),
        kv,
        login: Login::Token(Credential::Text(value(token))),
    }
}

fn fixture(config: VaultConfig) -> Fixture {
    Fixture { secrets: Arc::new(Vault::new(config).unwrap()), _folder: None }
}

/// A small Vault of version 2, and a store in it.
async fn small() -> (SmallVault, Vault) {
    let vault = SmallVault::start(2, "secret").await;
    let store = Vault::new(config(&vault.url, "root-token", "secret", None)).unwrap();
    (vault, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_real_vault() {
    let Some(vault) = RealVault::start() else { return };
    let token = vault.token();
    suite(|| {
        let path = format!("secret/cloud-code/{}", uuid::Uuid::new_v4());
        fixture(config(&vault.url, &token, &path, Some(KvVersion::One)))
    })
    .await;
}

#[tokio::test]
async fn in_a_small_vault_of_either_version() {
    for (kv, cas_required) in [(1, false), (2, false), (2, true)] {
        let vault = SmallVault::start(kv, "secret").await;
        vault.state().cas_required = cas_required;
        suite(|| {
            vault.state().entries.clear();
            fixture(config(&vault.url, "root-token", "secret", None))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_vault_says_no_in_words() {
    let Some(vault) = RealVault::start() else { return };
    let open = |token: &str| Vault::new(config(&vault.url, token, "secret", Some(KvVersion::One))).unwrap();
    let (shop, key) = (scope("acme/shop"), name("KEY"));
    let writer = open(&vault.token());
    writer.set(&shop, &key, &value("the-value-4711")).await.unwrap();

    let token = vault.token();
    let reader = open(&token);
    assert_eq!(reader.get(&shop, &key).await.unwrap(), Some(value("the-value-4711")));
    vault.revoke(&token);
    let error = reader.get(&shop, &key).await.unwrap_err().to_string();
    assert!(error.contains("VAULT_TOKEN is not valid, or no more") && !error.contains(&token), "{error}");

    let elsewhere = config(&vault.url, vault.root(), "kv", Some(KvVersion::One));
    let error = Vault::new(elsewhere).unwrap().get(&shop, &key).await.unwrap_err().to_string();
    assert!(error.contains("there is no KV engine at this path"), "{error}");
    let asked = config(&vault.url, vault.root(), "secret", None);
    let error = Vault::new(asked).unwrap().get(&shop, &key).await.unwrap_err().to_string();
    assert!(error.contains("add ?kv=1 or ?kv=2 to SECRETS_URL"), "{error}");

    assert!(writer.check().await.unwrap().contains("KV version 1 at secret, path cloud-code"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_ones_own_are_trusted_and_strangers_not() {
    let Some(vault) = RealVault::with_tls() else { return };
    let mut place = config(&vault.url, vault.root(), "secret", Some(KvVersion::One));
    let error = Vault::new(place.clone()).unwrap().check().await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    place.ca_file = Some(vault.certificate());
    Vault::new(place.clone()).unwrap().check().await.unwrap();
    for (file, words) in
        [("/nowhere/ca.pem", "VAULT_CACERT: /nowhere/ca.pem"), ("Cargo.toml", "no PEM certificate")]
    {
        place.ca_file = Some(file.into());
        let error = Vault::new(place.clone()).err().expect("no certificates").to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// The requests themselves, and that each has the token, the namespace and nothing of a value where none belongs.
#[tokio::test]
async fn version_2_is_asked_as_its_api_has_it() {
    let vault = SmallVault::start(2, "team/kv").await;
    vault.state().namespace = Some("admin".to_owned());
    let mut place = config(&vault.url, "root-token", "team/kv/ci", None);
    place.namespace = Some("admin".to_owned());
    let store = Vault::new(place).unwrap();
    let (production, key) = (scope("Acme/Shop/production"), name("NPM_TOKEN"));

    store.set(&production, &key, &value("one")).await.unwrap();
    let seen = vault.state().seen.clone();
    assert!(seen.iter().all(|seen| seen.namespace.as_deref() == Some("admin")), "{seen:?}");
    assert!(seen.iter().all(|seen| seen.token.as_deref() == Some("root-token")), "{seen:?}");
    assert_eq!(seen.last().unwrap().body, json!({ "data": { "value": "one" } }));
    let data = "team/kv/data/ci/env/acme/shop/production/NPM_TOKEN";
    let metadata = data.replace("data", "metadata");
    let (look_up, mounts) = ("GET auth/token/lookup-self", "GET sys/internal/ui/mounts/team/kv/ci");
    assert_eq!(vault.asked(), [look_up, mounts, &format!("POST {data}")]);

    store.set(&production, &key, &value("two")).await.unwrap();
    assert_eq!(store.get(&production, &key).await.unwrap(), Some(value("two")));
    assert_eq!(vault.asked(), [format!("POST {data}"), format!("GET {data}")]);
    store.list(&production).await.unwrap();
    assert_eq!(vault.asked(), ["LIST team/kv/metadata/ci/env/acme/shop/production/"]);
    assert!(store.delete(&production, &key).await.unwrap());
    assert_eq!(vault.asked(), [format!("GET {metadata}"), format!("DELETE {metadata}")], "no value was read");
    assert!(vault.state().entries.is_empty(), "no older version stays");
}

#[tokio::test]
async fn what_vaults_own_command_deleted_or_wrote_is_understood() {
    let (vault, store) = small().await;
    let (acme, key) = (scope("acme"), name("KEY"));
    let path = "cloud-code/org/acme/KEY".to_owned();
    // `vault kv delete`: the last version has no content, the one before it still has.
    vault.state().entries.insert(path.clone(), vec![Some(json!({ "value": "old" })), None]);
    vault.state().cas_required = true;
    assert_eq!(store.get(&acme, &key).await.unwrap(), None);
    assert_eq!(store.list(&acme).await.unwrap(), std::slice::from_ref(&key), "as `vault kv list` has it");
    store.set(&acme, &key, &value("new")).await.unwrap();
    assert_eq!(store.get(&acme, &key).await.unwrap(), Some(value("new")));
    vault.state().entries.insert(path.clone(), vec![Some(json!({ "value": "old" })), None]);
    assert!(store.delete(&acme, &key).await.unwrap());
    assert!(vault.state().entries.is_empty());

    // Written under another key, and what is no name of ours.
    vault.state().entries.insert(path, vec![Some(json!({ "password": "x-4711" }))]);
    for other in ["cloud-code/org/acme/lower", "cloud-code/org/acme/sub/X", "cloud-code/org/acme-2/Y"] {
        vault.state().entries.insert(other.to_owned(), vec![Some(json!({ "value": "x" }))]);
    }
    let error = store.get(&acme, &key).await.unwrap_err();
    assert!(matches!(error, SecretError::Sealed(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("no text under the key `value`") && !text.contains("4711"), "{text}");
    assert_eq!(store.list(&acme).await.unwrap(), [key]);
}

#[tokio::test]
async fn writers_that_must_name_the_version_come_after_each_other() {
    let (vault, store) = small().await;
    vault.state().cas_required = true;
    let store = Arc::new(store);
    let sets = (0..4).map(|number| {
        let store = Arc::clone(&store);
        async move { store.set(&scope("acme"), &name("ONE"), &value(&format!("v{number}"))).await.unwrap() }
    });
    futures::future::join_all(sets).await;
    assert_eq!(vault.state().entries["cloud-code/org/acme/ONE"].len(), 4, "each is a version of its own");
}

#[tokio::test]
async fn passing_trouble_is_waited_out() {
    for status in [412, 429, 472, 473, 500, 502, 503, 504] {
        let (vault, store) = small().await;
        store.set(&scope("acme"), &name("KEY"), &value("v")).await.unwrap();
        vault.state().faults.push_back(Fault {
            status,
            body: "{\"errors\":[\"in a moment\"]}",
            location: None,
        });
        let got = store.get(&scope("acme"), &name("KEY")).await;
        assert_eq!(got.unwrap(), Some(value("v")), "{status}");
    }
}

#[tokio::test]
async fn lasting_trouble_is_told_with_what_to_do() {
    let path = "secret/data/cloud-code/org/acme/KEY";
    for (status, body, words) in [
        (503, "{\"errors\":[\"Vault is sealed\"]}", "vault operator unseal"),
        (503, "", "sealed or down for maintenance"),
        (501, "{\"errors\":[\"Vault is not initialized\"]}", "vault operator init"),
        (472, "{}", "secondary for disaster recovery"),
        (473, "{}", "performance standby"),
        (429, "{\"errors\":[\"request path \\\"x\\\": rate limit quota exceeded\"]}", "raise the quota"),
        (500, "{\"errors\":[\"1 error occurred:\\n\\t* disk full\\n\\n\"]}", "1 error occurred: * disk full"),
        (404, "<html>nothing here</html>", "no answer of Vault's"),
        (405, "{\"errors\":[\"unsupported operation\"]}", "another version"),
        (400, "{\"errors\":[\"root-token and s3cret-value are echoed\"]}", "*** and *** are echoed"),
    ] {
        let (vault, store) = small().await;
        store.get(&scope("acme"), &name("KEY")).await.unwrap();
        vault.state().always = Some(Fault { status, body, location: None });
        let began = Instant::now();
        let error = store.set(&scope("acme"), &name("KEY"), &value("s3cret-value")).await.unwrap_err();
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "a readiness probe hears it: {:?}",
            began.elapsed()
        );
        assert!(matches!(error, SecretError::Unavailable(_)), "{error}");
        let text = error.to_string();
        let place = if status == 501 { vault.url.as_str() } else { path };
        for wanted in [words, place, &vault.url, &format!("HTTP {status}")] {
            assert!(text.contains(wanted), "{status}: {text} lacks {wanted}");
        }
        assert!(!text.contains("root-token") && !text.contains("s3cret-value"), "{text}");
    }
    // Nobody listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Vault::new(config(&url, "t", "secret", None)).unwrap().check().await.unwrap_err().to_string();
    assert!(error.contains(&url), "{error}");
}

#[tokio::test]
async fn a_standby_sends_to_the_active_node_once() {
    let (vault, store) = small().await;
    store.set(&scope("acme"), &name("KEY"), &value("v")).await.unwrap();
    let standby = SmallVault::start(2, "secret").await;
    let to = |url: &str| Fault {
        status: 307,
        body: "",
        location: Some(format!("{url}/v1/secret/data/cloud-code/org/acme/KEY")),
    };
    let place = config(&standby.url, "root-token", "secret", Some(KvVersion::Two));
    let store = Vault::new(place).unwrap();
    store.get(&scope("acme"), &name("KEY")).await.unwrap();
    standby.state().always = Some(to(&vault.url));
    assert_eq!(store.get(&scope("acme"), &name("KEY")).await.unwrap(), Some(value("v")));
    standby.state().always = Some(to("http://elsewhere.invalid:8200"));
    let error = store.get(&scope("acme"), &name("KEY")).await.unwrap_err().to_string();
    assert!(error.contains("redirects to where our token must not go"), "{error}");
}

#[tokio::test]
async fn the_check_says_what_the_policy_lacks() {
    let (vault, store) = small().await;
    let found = store.check().await.unwrap();
    assert!(found.contains("KV version 2 at secret, path cloud-code; this token may set secrets"), "{found}");
    for (denied, words) in [
        ("secret/metadata/", "`path \"secret/metadata/cloud-code/"),
        ("secret/data/", "may not read below secret/data/cloud-code/: its policy needs"),
        ("sys/internal/", "there is no engine at `secret`"),
    ] {
        let vault = SmallVault::start(2, "secret").await;
        let life = SmallToken { denied: vec![denied.to_owned()], ..SmallToken::default() };
        vault.state().tokens.insert("limited".to_owned(), life);
        let store = Vault::new(config(&vault.url, "limited", "secret", None)).unwrap();
        let error = store.check().await.unwrap_err().to_string();
        assert!(error.contains(words), "{denied}: {error}");
    }
    let life = SmallToken { denied: vec!["secret/data/".to_owned()], ..SmallToken::default() };
    vault.state().tokens.insert("lister".to_owned(), life);
    let lister = Vault::new(config(&vault.url, "lister", "secret", None)).unwrap();
    let error =
        lister.set(&scope("acme"), &name("KEY"), &value("s3cret-4712")).await.unwrap_err().to_string();
    assert!(
        error.contains("permission denied on secret/data/cloud-code/org/acme/KEY: the policy needs"),
        "{error}"
    );
    assert!(error.contains("capabilities = [\"create\", \"update\"]"), "{error}");
    assert!(!error.contains("4712") && !error.contains("lister"), "{error}");
    // Without the policy `default` it can't ask; that it may list has to be enough.
    let life = SmallToken { no_default: true, ..SmallToken::default() };
    vault.state().tokens.insert("bare".to_owned(), life);
    let store = Vault::new(config(&vault.url, "bare", "secret", None)).unwrap();
    assert!(store.check().await.unwrap().ends_with("path cloud-code"));
    // The wrong version by hand.
    let store = Vault::new(config(&vault.url, "root-token", "secret", Some(KvVersion::One))).unwrap();
    let error = store.get(&scope("acme"), &name("KEY")).await.unwrap_err().to_string();
    assert!(error.contains("the engine has version 2, and SECRETS_URL says ?kv=1"), "{error}");
}
