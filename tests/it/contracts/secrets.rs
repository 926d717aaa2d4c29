//! The contract of the port `secrets`.

use cloud_code::adapters::memory::MemorySecrets;
use cloud_code::adapters::vps::sealed::{SealedFile, SealingKey};
use cloud_code::ports::{Scope, SecretError, SecretName, SecretStore, SecretText};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

struct Fixture {
    secrets: Arc<dyn SecretStore>,
    /// Where its files are, until the end of the test.
    _folder: Option<TempDir>,
}

fn memory() -> Fixture {
    Fixture { secrets: Arc::new(MemorySecrets::new()), _folder: None }
}

fn open(folder: &Path) -> SealedFile {
    let key = SealingKey::from_file(&folder.join("secrets.key")).unwrap();
    SealedFile::open(folder.join("secrets.sealed"), key).unwrap()
}

fn sealed() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    Fixture { secrets: Arc::new(open(folder.path())), _folder: Some(folder) }
}

fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

fn value(text: &str) -> SecretText {
    SecretText::new(text)
}

#[tokio::test]
async fn in_memory() {
    suite(memory).await;
}

#[tokio::test]
async fn in_a_sealed_file() {
    suite(sealed).await;
}

#[cfg(feature = "aws")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_secrets_manager() {
    use cloud_code::adapters::aws::secrets_manager::SecretsManager;
    let Some(aws) = crate::aws::Aws::new().await else { return };
    suite(|| {
        let prefix = format!("{}/{}", aws.name, uuid::Uuid::new_v4());
        Fixture { secrets: Arc::new(SecretsManager::new(&aws.clients(), prefix)), _folder: None }
    })
    .await;
}

/// One that was deleted in AWS's console has its name for some days more.
#[cfg(feature = "aws")]
#[tokio::test]
async fn one_that_was_deleted_in_the_console_can_be_set_again() {
    use cloud_code::adapters::aws::secrets_manager::SecretsManager;
    let Some(aws) = crate::aws::Aws::new().await else { return };
    let secrets = SecretsManager::new(&aws.clients(), aws.name.as_str());
    let (shop, token) = (scope("acme/shop"), name("TOKEN"));
    secrets.set(&shop, &token, &value("old")).await.unwrap();
    let console = aws_sdk_secretsmanager::Client::new(&aws.config);
    let id = format!("{}/repo/acme/shop/TOKEN", aws.name);
    console.delete_secret().secret_id(&id).recovery_window_in_days(7).send().await.unwrap();
    assert_eq!(secrets.get(&shop, &token).await.unwrap(), None);
    secrets.set(&shop, &token, &value("new")).await.unwrap();
    assert_eq!(secrets.get(&shop, &token).await.unwrap(), Some(value("new")));
}

async fn suite(make: impl Fn() -> Fixture) {
    values_are_set_replaced_and_deleted(make()).await;
    scopes_are_apart(make()).await;
    any_value_comes_back(make()).await;
    none_is_lost_when_many_are_set_at_once(make()).await;
    make().secrets.check().await.unwrap();
}

async fn values_are_set_replaced_and_deleted(f: Fixture) {
    let (shop, token) = (scope("acme/shop"), name("TOKEN"));
    assert_eq!(f.secrets.get(&shop, &token).await.unwrap(), None);
    assert!(!f.secrets.delete(&shop, &token).await.unwrap());
    f.secrets.set(&shop, &token, &value("one")).await.unwrap();
    f.secrets.set(&shop, &token, &value("two")).await.unwrap();
    assert_eq!(f.secrets.get(&shop, &token).await.unwrap(), Some(value("two")));
    assert!(f.secrets.delete(&shop, &token).await.unwrap());
    assert!(!f.secrets.delete(&shop, &token).await.unwrap());
    assert_eq!(f.secrets.get(&shop, &token).await.unwrap(), None);
}

async fn scopes_are_apart(f: Fixture) {
    let scopes = ["acme", "acme/shop", "acme/shop/production", "acme/site"].map(scope);
    for scope in &scopes {
        f.secrets.set(scope, &name("TOKEN"), &value(&scope.to_string())).await.unwrap();
    }
    f.secrets.set(&scopes[1], &name("ALPHA"), &value("a")).await.unwrap();
    for scope in &scopes {
        assert_eq!(
            f.secrets.get(scope, &name("TOKEN")).await.unwrap(),
            Some(value(&scope.to_string())),
            "{scope}"
        );
    }
    assert_eq!(f.secrets.list(&scopes[1]).await.unwrap(), [name("ALPHA"), name("TOKEN")]);
    assert_eq!(f.secrets.list(&scopes[0]).await.unwrap(), [name("TOKEN")]);
    assert!(f.secrets.list(&scope("nobody")).await.unwrap().is_empty());
}

async fn any_value_comes_back(f: Fixture) {
    for text in ["", " ", "a\nb\n", "ünïcode 🔑", &"x".repeat(65_536), "\0"] {
        f.secrets.set(&scope("acme"), &name("V"), &value(text)).await.unwrap();
        assert_eq!(f.secrets.get(&scope("acme"), &name("V")).await.unwrap(), Some(value(text)));
    }
}

async fn none_is_lost_when_many_are_set_at_once(f: Fixture) {
    let sets = (0..20).map(|number| {
        let secrets = Arc::clone(&f.secrets);
        async move { secrets.set(&scope("acme"), &name(&format!("S{number}")), &value("v")).await.unwrap() }
    });
    futures::future::join_all(sets).await;
    assert_eq!(f.secrets.list(&scope("acme")).await.unwrap().len(), 20);
}

/// A file with two secrets, of different names, scopes and values.
async fn two_secrets(folder: &Path) -> SealedFile {
    let file = open(folder);
    file.set(&scope("acme"), &name("ONE"), &value("hunter2-hunter2")).await.unwrap();
    file.set(&scope("acme/shop"), &name("TWO"), &value("correct horse")).await.unwrap();
    file
}

#[tokio::test]
async fn a_sealed_file_shows_no_value_and_is_ours_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (file, other) = (two_secrets(folder.path()).await, open(folder.path()));
    assert_eq!(other.get(&scope("acme"), &name("ONE")).await.unwrap(), Some(value("hunter2-hunter2")));
    file.set(&scope("acme"), &name("ONE"), &value("changed")).await.unwrap();
    assert_eq!(
        other.get(&scope("acme"), &name("ONE")).await.unwrap(),
        Some(value("changed")),
        "no stale copy"
    );
    let text = std::fs::read_to_string(folder.path().join("secrets.sealed")).unwrap();
    assert!(
        text.contains("TWO") && !text.contains("correct horse") && !text.contains("Y29ycmVjdCBob3JzZQ"),
        "{text}"
    );
    for file in ["secrets.sealed", "secrets.key"] {
        let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let mut files: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["secrets.key", "secrets.sealed", "secrets.sealed.lock"], "no temporary files stay");
}

#[tokio::test]
async fn tampering_is_found() {
    type Tamper = fn(&mut serde_json::Value);
    let cases: [(&str, Tamper); 6] = [
        ("values swapped", |file| {
            let (one, two) = (file["secrets"][0].clone(), file["secrets"][1].clone());
            for field in ["nonce", "value"] {
                file["secrets"][0][field] = two[field].clone();
                file["secrets"][1][field] = one[field].clone();
            }
        }),
        ("a name changed", |file| file["secrets"][0]["name"] = "OTHER".into()),
        ("a scope changed", |file| file["secrets"][0]["scope"] = "mallory".into()),
        ("a value cut", |file| file["secrets"][0]["value"] = "AAAA".into()),
        ("a nonce that is none", |file| file["secrets"][0]["nonce"] = "AAAA".into()),
        ("a newer version", |file| file["version"] = 2.into()),
    ];
    for (what, tamper) in cases {
        let folder = tempfile::tempdir().unwrap();
        let file = two_secrets(folder.path()).await;
        let path = folder.path().join("secrets.sealed");
        let mut content: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        tamper(&mut content);
        std::fs::write(&path, content.to_string()).unwrap();
        let error = file.check().await.unwrap_err();
        assert!(matches!(error, SecretError::Sealed(_)), "{what}: {error}");
        let key = SealingKey::from_file(&folder.path().join("secrets.key")).unwrap();
        assert!(matches!(SealedFile::open(&path, key), Err(SecretError::Sealed(_))), "{what}");
        for (scope, name) in
            [(scope("acme"), name("ONE")), (scope("mallory"), name("ONE")), (scope("acme"), name("OTHER"))]
        {
            match file.get(&scope, &name).await {
                Err(SecretError::Sealed(_)) | Ok(None) => {}
                other => panic!("{what}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn damage_and_wrong_keys_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = two_secrets(folder.path()).await;
    let path = folder.path().join("secrets.sealed");
    let other = SealingKey::from_base64("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
    let error = SealedFile::open(&path, other.clone()).unwrap_err().to_string();
    assert!(error.contains("CLOUD_CODE_SECRETS_KEY") && error.contains("sealed with the key"), "{error}");
    std::fs::write(&path, "{").unwrap();
    let error = file.set(&scope("acme"), &name("X"), &value("v")).await.unwrap_err();
    assert!(matches!(error, SecretError::Sealed(_)), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{", "what can't be read is not overwritten");

    for bad in ["", "AAAA", "not base64!"] {
        assert!(matches!(SealingKey::from_base64(bad), Err(SecretError::Sealed(_))), "{bad}");
    }
    let key_file = folder.path().join("secrets.key");
    let error = SealingKey::load(Some("AAAA"), &key_file).unwrap_err().to_string();
    assert!(error.contains("CLOUD_CODE_SECRETS_KEY"), "{error}");
    let from_file = SealingKey::load(Some(" "), &key_file).unwrap();
    assert_eq!(format!("{from_file:?}"), format!("{:?}", SealingKey::from_file(&key_file).unwrap()));
    assert_ne!(format!("{from_file:?}"), format!("{other:?}"));
    std::fs::write(&key_file, "").unwrap();
    let error = SealingKey::from_file(&key_file).unwrap_err().to_string();
    assert!(error.contains("secrets.key") && error.contains("restore"), "{error}");

    let nowhere = SealedFile::open(folder.path().join("secrets.key/x"), other).unwrap_err();
    assert!(matches!(nowhere, SecretError::Unavailable(_)), "{nowhere}");
}

#[tokio::test]
async fn one_key_is_made_when_many_start_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let starts = (0..8).map(|_| {
        let path = folder.path().join("data/secrets.key");
        tokio::task::spawn_blocking(move || format!("{:?}", SealingKey::from_file(&path).unwrap()))
    });
    let mut ids: Vec<String> =
        futures::future::join_all(starts).await.into_iter().map(Result::unwrap).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
}
