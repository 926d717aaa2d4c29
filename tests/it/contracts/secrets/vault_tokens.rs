//! How the secrets in Vault come by their token, and keep it.

use super::vault::config;
use super::{name, scope, value};
use crate::harness::small_vault::{SmallToken, SmallVault};
use crate::harness::vault::RealVault;
use cloud_code::adapters::vps::vault::{Credential, KvVersion, Login, Vault, VaultConfig};
use cloud_code::ports::SecretStore;
use std::sync::Arc;

fn approle(url: &str, role_id: &str, secret_id: Credential) -> VaultConfig {
    let login = Login::AppRole { mount: "approle".to_owned(), role_id: role_id.to_owned(), secret_id };
    VaultConfig { login, ..config(url, "", "secret", None) }
}

fn secret_id() -> Credential {
    Credential::Text(value("role-secret"))
}

/// A small Vault with a secret, and an AppRole whose tokens live so long.
async fn small(ttl: u64, renewable: bool) -> SmallVault {
    let vault = SmallVault::start(2, "secret").await;
    let store = Vault::new(config(&vault.url, "root-token", "secret", None)).unwrap();
    store.set(&scope("acme"), &name("KEY"), &value("v")).await.unwrap();
    vault.state().role = SmallToken { ttl, renewable, ..SmallToken::default() };
    vault.state().seen.clear();
    vault
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_approle_logs_in() {
    let Some(vault) = RealVault::start() else { return };
    let (role_id, secret) = vault.approle();
    let mut place = approle(&vault.url, &role_id, Credential::Text(value(&secret)));
    place.kv = Some(KvVersion::One);
    let store = Vault::new(place.clone()).unwrap();
    store.set(&scope("acme"), &name("KEY"), &value("v")).await.unwrap();
    assert_eq!(store.get(&scope("acme"), &name("KEY")).await.unwrap(), Some(value("v")));
    place.login = Login::AppRole {
        mount: "approle".to_owned(),
        role_id,
        secret_id: Credential::Text(value("wrong-4711")),
    };
    let error = Vault::new(place).unwrap().check().await.unwrap_err().to_string();
    assert!(error.contains("can't log in at auth/approle/login") && !error.contains("4711"), "{error}");
}

#[tokio::test]
async fn a_revoked_token_leads_to_one_login() {
    let vault = small(3600, true).await;
    let store = Arc::new(Vault::new(approle(&vault.url, "role", secret_id())).unwrap());
    store.get(&scope("acme"), &name("KEY")).await.unwrap();
    assert_eq!(vault.state().logins, 1);
    // A young token is not doubted: a policy that lacks something costs no logins.
    vault.state().tokens.get_mut("role-token-1").unwrap().denied =
        vec!["secret/data/cloud-code/org/other".to_owned()];
    let error = store.get(&scope("other"), &name("KEY")).await.unwrap_err().to_string();
    assert!(
        error.contains("permission denied on secret/data/cloud-code/org/other/KEY: the policy needs"),
        "{error}"
    );
    assert_eq!(vault.state().logins, 1);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let error = store.get(&scope("other"), &name("KEY")).await.unwrap_err().to_string();
    assert!(error.contains("the policy needs"), "{error}");
    assert_eq!(vault.state().logins, 1, "the token lives");

    vault.state().tokens.remove("role-token-1");
    let gets = (0..8).map(|_| {
        let store = Arc::clone(&store);
        async move { store.get(&scope("acme"), &name("KEY")).await.unwrap() }
    });
    let got = futures::future::join_all(gets).await;
    assert!(got.iter().all(|got| *got == Some(value("v"))));
    assert_eq!(vault.state().logins, 2, "one for all of them");
}

#[tokio::test]
async fn an_approles_token_is_replaced_before_it_is_over() {
    let vault = small(1, false).await;
    let store = Vault::new(approle(&vault.url, "role", secret_id())).unwrap();
    let began = std::time::Instant::now();
    while vault.state().logins < 3 {
        assert_eq!(store.get(&scope("acme"), &name("KEY")).await.unwrap(), Some(value("v")));
        assert!(began.elapsed().as_secs() < 30, "no new login");
    }
    assert!(!vault.asked().iter().any(|asked| asked.contains("renew")), "it can't be renewed");
    let vault = small(1, true).await;
    let store = Vault::new(approle(&vault.url, "role", secret_id())).unwrap();
    while !vault.state().seen.iter().any(|seen| seen.what == "POST auth/token/renew-self") {
        store.get(&scope("acme"), &name("KEY")).await.unwrap();
        assert!(began.elapsed().as_secs() < 30, "no renewal");
    }
    assert_eq!(vault.state().logins, 1, "a renewal costs no use of the secret id");
}

#[tokio::test]
async fn a_given_token_is_kept_alive_while_nobody_uses_it() {
    let vault = small(0, false).await;
    let life = SmallToken { ttl: 1, renewable: true, ..SmallToken::default() };
    vault.state().tokens.insert("given".to_owned(), life);
    let store = Vault::new(config(&vault.url, "given", "secret", None)).unwrap();
    store.get(&scope("acme"), &name("KEY")).await.unwrap();
    for _ in 0..2 {
        vault.state().seen.clear();
        vault.wait_for("POST auth/token/renew-self").await;
    }
    assert_eq!(vault.state().seen.last().unwrap().token.as_deref(), Some("given"));
}

#[tokio::test]
async fn a_token_that_will_be_over_is_to_be_mended() {
    let vault = small(0, false).await;
    let life = SmallToken { ttl: 7200, ..SmallToken::default() };
    vault.state().tokens.insert("given".to_owned(), life);
    let store = Vault::new(config(&vault.url, "given", "secret", None)).unwrap();
    let said = store.check().await.unwrap();
    assert!(said.contains(", but VAULT_TOKEN can't be renewed and is over in 1 h"), "{said}");
}

/// As Vault Agent's file sink has it.
#[tokio::test]
async fn files_are_read_again_when_what_was_in_them_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let vault = small(0, false).await;
    std::fs::write(&file, "first\n").unwrap();
    vault.state().tokens.insert("first".to_owned(), SmallToken::default());
    let login = Login::Token(Credential::File(file.clone()));
    let store = Vault::new(VaultConfig { login, ..config(&vault.url, "", "secret", None) }).unwrap();
    store.get(&scope("acme"), &name("KEY")).await.unwrap();
    vault.state().tokens.remove("first");
    let error = store.get(&scope("acme"), &name("KEY")).await.unwrap_err().to_string();
    assert!(error.contains("the token in VAULT_TOKEN_FILE is not valid"), "{error}");
    std::fs::write(&file, "second\n").unwrap();
    vault.state().tokens.insert("second".to_owned(), SmallToken::default());
    assert_eq!(store.get(&scope("acme"), &name("KEY")).await.unwrap(), Some(value("v")));

    std::fs::write(&file, "role-secret").unwrap();
    let store = Vault::new(approle(&vault.url, "role", Credential::File(file.clone()))).unwrap();
    store.get(&scope("acme"), &name("KEY")).await.unwrap();
    std::fs::remove_file(&file).unwrap();
    let store = Vault::new(approle(&vault.url, "role", Credential::File(file))).unwrap();
    let error = store.check().await.unwrap_err().to_string();
    assert!(error.contains("VAULT_SECRET_ID_FILE: "), "{error}");
}
