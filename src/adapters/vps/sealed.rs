//! Secrets in one sealed file.
//!
//! The file is JSON: a header with the id of the key, and one entry a secret, whose value is encrypted with
//! XChaCha20-Poly1305 under a nonce of its own. Scope, name and key id are authenticated with the value, so that no value
//! can be moved to another name. Scopes and names stand in clear. Each change writes the whole file anew beside the old one
//! and renames it, under a lock file, so that several processes lose none of each other's changes.

use crate::ports::{Scope, SecretError, SecretName, SecretStore, SecretText};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, Generate, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the first field of the file says.
const FORMAT: &str = "cloud-code-secrets";

/// The only version of the file there has been.
const VERSION: u32 = 1;

/// A sealed file is read whole; larger ones are none of ours.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The key that seals: 32 bytes. Nothing shows it.
#[derive(Clone)]
pub struct SealingKey {
    key: Key,
    id: String,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

impl SealingKey {
    fn new(bytes: [u8; 32]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"cloud-code sealing key id");
        hash.update(bytes);
        Self { key: Key::from(bytes), id: hex::encode(&hash.finalize()[..8]) }
    }

    /// Reads a key as `CLOUD_CODE_SECRETS_KEY` has it: base64 of 32 bytes.
    ///
    /// # Errors
    /// [`SecretError::Sealed`] when it is something else.
    pub fn from_base64(text: &str) -> Result<Self, SecretError> {
        let bytes = BASE64.decode(text.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self::new).ok_or_else(|| {
            SecretError::Sealed(
                "the key is not base64 of 32 bytes; `openssl rand -base64 32` makes one".to_owned(),
            )
        })
    }

    /// Reads the key file, or makes it, with mode 0600 and a new random key, where there is none. It holds what
    /// [`Self::from_base64`] takes.
    ///
    /// # Errors
    /// [`SecretError::Unavailable`] when the file can't be read or made, [`SecretError::Sealed`] when it holds no key.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_key_file(path).map_err(|error| unavailable(path, error))?;
                std::fs::read_to_string(path).map_err(|error| unavailable(path, error))?
            }
            Err(error) => return Err(unavailable(path, error)),
        };
        let mode = std::fs::metadata(path).map_err(|error| unavailable(path, error))?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "other users may read the key of the secrets: chmod 600 it");
        }
        Self::from_base64(&text).map_err(|_| {
            SecretError::Sealed(format!(
                "{} does not hold a key (base64 of 32 bytes): restore it from a copy",
                path.display()
            ))
        })
    }

    /// The key of the environment where it is set, else that of the key file.
    ///
    /// # Errors
    /// As [`Self::from_base64`] and [`Self::from_file`]; the message names `CLOUD_CODE_SECRETS_KEY` or the file.
    pub fn load(environment: Option<&str>, file: &Path) -> Result<Self, SecretError> {
        match environment.filter(|text| !text.trim().is_empty()) {
            Some(text) => Self::from_base64(text)
                .map_err(|error| SecretError::Sealed(format!("CLOUD_CODE_SECRETS_KEY: {error}"))),
            None => Self::from_file(file),
        }
    }
}

/// Makes the key under another name and links it in place: of two processes that start at once, one makes the key.
fn make_key_file(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let key = Key::try_generate().map_err(|error| std::io::Error::other(error.to_string()))?;
    let temporary = beside(path, &format!(".{}", uuid::Uuid::new_v4().simple()));
    let made = write_synced(&temporary, format!("{}\n", BASE64.encode(key)).as_bytes()).and_then(|()| {
        match std::fs::hard_link(&temporary, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => sync_folder_of(path),
        }
    });
    let removed = std::fs::remove_file(&temporary);
    made.and(removed)
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    format: String,
    version: u32,
    key_id: String,
    secrets: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    scope: String,
    name: String,
    /// Base64 of 24 bytes.
    nonce: String,
    /// Base64 of the encrypted value and its tag.
    value: String,
}

impl Entry {
    fn is(&self, scope: &Scope, name: &SecretName) -> bool {
        self.scope == scope.to_string() && self.name == name.as_str()
    }
}

/// A file of sealed secrets.
#[derive(Debug, Clone)]
pub struct SealedFile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    key: SealingKey,
}

impl SealedFile {
    /// Opens the file, or begins with none: it is made with the first secret.
    ///
    /// # Errors
    /// [`SecretError`], when it can't be read, was sealed with another key or was tampered with.
    pub fn open(path: impl Into<PathBuf>, key: SealingKey) -> Result<Self, SecretError> {
        let inner = Inner { path: path.into(), key };
        inner.check()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, SecretError> + Send + 'static,
    ) -> Result<T, SecretError> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|error| SecretError::Unavailable(error.to_string()))?
    }
}

#[async_trait]
impl SecretStore for SealedFile {
    async fn get(&self, scope: &Scope, name: &SecretName) -> Result<Option<SecretText>, SecretError> {
        let (scope, name) = (scope.clone(), name.clone());
        self.blocking(move |file| {
            let sealed = file.read()?;
            sealed
                .secrets
                .iter()
                .find(|entry| entry.is(&scope, &name))
                .map(|entry| file.unseal(entry))
                .transpose()
        })
        .await
    }

    async fn set(&self, scope: &Scope, name: &SecretName, value: &SecretText) -> Result<(), SecretError> {
        let (scope, name, value) = (scope.clone(), name.clone(), value.clone());
        self.blocking(move |file| {
            file.change(|sealed| {
                let entry = file.seal(&scope, &name, &value)?;
                sealed.secrets.retain(|entry| !entry.is(&scope, &name));
                sealed.secrets.push(entry);
                sealed.secrets.sort_by(|a, b| (&a.scope, &a.name).cmp(&(&b.scope, &b.name)));
                Ok(true)
            })
        })
        .await
        .map(drop)
    }

    async fn delete(&self, scope: &Scope, name: &SecretName) -> Result<bool, SecretError> {
        let (scope, name) = (scope.clone(), name.clone());
        self.blocking(move |file| {
            file.change(|sealed| {
                let before = sealed.secrets.len();
                sealed.secrets.retain(|entry| !entry.is(&scope, &name));
                Ok(sealed.secrets.len() < before)
            })
        })
        .await
    }

    async fn list(&self, scope: &Scope) -> Result<Vec<SecretName>, SecretError> {
        let scope = scope.to_string();
        self.blocking(move |file| {
            let sealed = file.read()?;
            let entries = sealed.secrets.iter().filter(|entry| entry.scope == scope);
            let mut names: Vec<SecretName> =
                entries.filter_map(|entry| SecretName::parse(&entry.name)).collect();
            names.sort();
            Ok(names)
        })
        .await
    }

    async fn check(&self) -> Result<String, SecretError> {
        self.blocking(Inner::check).await?;
        Ok(format!("{} can be opened", self.inner.path.display()))
    }
}

impl Inner {
    fn check(&self) -> Result<(), SecretError> {
        self.read()?.secrets.iter().try_for_each(|entry| self.unseal(entry).map(drop))
    }

    fn sealed(&self, detail: impl fmt::Display) -> SecretError {
        SecretError::Sealed(format!("{}: {detail}", self.path.display()))
    }

    fn read(&self) -> Result<Sealed, SecretError> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
                return Err(self.sealed("it is too large to be a file of secrets"));
            }
            _ => {}
        }
        let text = match std::fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key_id = self.key.id.clone();
                return Ok(Sealed {
                    format: FORMAT.to_owned(),
                    version: VERSION,
                    key_id,
                    secrets: Vec::new(),
                });
            }
            Err(error) => return Err(unavailable(&self.path, error)),
        };
        let sealed: Sealed = serde_json::from_slice(&text)
            .map_err(|error| self.sealed(format!("it is damaged ({error}); restore it from a copy")))?;
        if sealed.format != FORMAT || sealed.version != VERSION {
            return Err(self.sealed(format!(
                "it is {} version {}, this version of Cloud Code reads {FORMAT} version {VERSION}; use the one that wrote it",
                sealed.format, sealed.version
            )));
        }
        if sealed.key_id != self.key.id {
            return Err(self.sealed(format!(
                "it was sealed with the key {}, and the present key is {}; put the right key back into the key file or \
                 CLOUD_CODE_SECRETS_KEY, or remove the file and set the secrets anew",
                sealed.key_id, self.key.id
            )));
        }
        Ok(sealed)
    }

    /// Reads, changes and, when `change` says so, writes the file, with every other process waiting.
    fn change(
        &self,
        change: impl FnOnce(&mut Sealed) -> Result<bool, SecretError>,
    ) -> Result<bool, SecretError> {
        let failed = |error: std::io::Error| unavailable(&self.path, error);
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        // A file of its own: the sealed file is replaced while the lock is held.
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(beside(&self.path, ".lock"))
            .map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut sealed = self.read()?;
        if !change(&mut sealed)? {
            return Ok(false);
        }
        let mut text = serde_json::to_vec_pretty(&sealed).map_err(|error| self.sealed(error))?;
        text.push(b'\n');
        let temporary = beside(&self.path, &format!(".{}", uuid::Uuid::new_v4().simple()));
        let written = write_synced(&temporary, &text)
            .and_then(|()| std::fs::rename(&temporary, &self.path))
            .and_then(|()| sync_folder_of(&self.path));
        if let Err(error) = written {
            // It is there unless it was renamed; either way nothing depends on it.
            let _ = std::fs::remove_file(&temporary);
            return Err(failed(error));
        }
        Ok(true)
    }

    fn seal(&self, scope: &Scope, name: &SecretName, value: &SecretText) -> Result<Entry, SecretError> {
        let scope = scope.to_string();
        let nonce =
            XNonce::try_generate().map_err(|error| self.sealed(format!("no random numbers: {error}")))?;
        let aad = self.context(&scope, name.as_str());
        let payload = Payload { msg: value.reveal().as_bytes(), aad: &aad };
        let value = XChaCha20Poly1305::new(&self.key.key)
            .encrypt(&nonce, payload)
            .map_err(|_| self.sealed(format!("{name} is too large to be sealed")))?;
        let name = name.as_str().to_owned();
        Ok(Entry { scope, name, nonce: BASE64.encode(nonce), value: BASE64.encode(value) })
    }

    fn unseal(&self, entry: &Entry) -> Result<SecretText, SecretError> {
        let opened = || {
            let nonce = XNonce::from(<[u8; 24]>::try_from(BASE64.decode(&entry.nonce).ok()?).ok()?);
            let value = BASE64.decode(&entry.value).ok()?;
            let aad = self.context(&entry.scope, &entry.name);
            let payload = Payload { msg: value.as_slice(), aad: &aad };
            let text = XChaCha20Poly1305::new(&self.key.key).decrypt(&nonce, payload).ok()?;
            Some(SecretText::new(String::from_utf8(text).ok()?))
        };
        opened().ok_or_else(|| {
            self.sealed(format!(
                "{} of {} was changed by something else than Cloud Code, or is damaged; restore the file from a copy, or \
                 remove that entry and set the secret anew",
                entry.name, entry.scope
            ))
        })
    }

    /// What a value is bound to; each part is preceded by its length so that no two lists look the same.
    fn context(&self, scope: &str, name: &str) -> Vec<u8> {
        let mut aad = Vec::new();
        for part in [FORMAT, &self.key.id, scope, name] {
            aad.extend_from_slice(&(part.len() as u64).to_be_bytes());
            aad.extend_from_slice(part.as_bytes());
        }
        aad
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn unavailable(path: &Path, error: impl fmt::Display) -> SecretError {
    SecretError::Unavailable(format!("{}: {error}", path.display()))
}
