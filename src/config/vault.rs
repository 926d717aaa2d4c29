//! Where Vault is, and who we are there.
//!
//! `SECRETS_URL=vault:MOUNT/PATH`, with `?kv=1` or `?kv=2` where Vault must not be asked for the engine's version, and `&approle=MOUNT`
//! where AppRole is mounted elsewhere. Vault's own names of variables are understood too; `VAULT_ADDR` and `VAULT_TOKEN`, which many a shell
//! has set for Vault's command line, mean nothing without `vault:`, but ours then are a mistake.

use super::places::wrong;
use super::{ConfigError, Environment};
use crate::ports::SecretText;
use std::path::PathBuf;

/// The mount that a new Vault has.
const MOUNT: &str = "secret";
/// Where AppRole is mounted unless somebody chose.
const APPROLE: &str = "approle";

/// Where secrets are in Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultPlace {
    /// Vault's address, no slash at the end.
    pub url: String,
    /// The namespace.
    pub namespace: Option<String>,
    /// PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// `MOUNT` or `MOUNT/PATH`.
    pub path: String,
    /// The KV engine's version, 1 or 2, where it is not asked of Vault.
    pub kv_version: Option<u8>,
    /// How we log in.
    pub login: VaultLogin,
}

/// How we log in to Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultLogin {
    /// With a token that somebody made.
    Token(VaultCredential),
    /// By an AppRole.
    AppRole {
        /// Where it is mounted below `auth/`.
        mount: String,
        /// The role.
        role_id: String,
        /// Its secret.
        secret_id: VaultCredential,
    },
}

/// Text, or a file that has it and may have another one later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultCredential {
    /// The text.
    Text(SecretText),
    /// The file.
    File(PathBuf),
}

impl VaultPlace {
    /// `path` is what follows `vault:`.
    pub(super) fn read(env: &Environment, path: &str) -> Result<Self, ConfigError> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = match path.trim_matches('/') {
            "" => MOUNT,
            path => path,
        };
        if !is_path(path) {
            return wrong(
                "SECRETS_URL",
                format!("`{path}` is no path in Vault; write vault:MOUNT/PATH, e.g. vault:secret/cloud-code"),
            );
        }
        let (mut kv_version, mut approle) = (None, APPROLE.to_owned());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("kv", "1")) => kv_version = Some(1),
                Some(("kv", "2")) => kv_version = Some(2),
                Some(("approle", mount)) if is_path(mount) => mount.clone_into(&mut approle),
                _ => {
                    return wrong(
                        "SECRETS_URL",
                        format!("`{pair}` is not known; kv=1, kv=2 and approle=MOUNT are"),
                    );
                }
            }
        }
        Ok(Self {
            url: url(env)?,
            namespace: env.get("VAULT_NAMESPACE").map(|name| name.trim_matches('/').to_owned()),
            ca_file: env.get("VAULT_CACERT").map(PathBuf::from),
            path: path.to_owned(),
            kv_version,
            login: login(env, approle)?,
        })
    }
}

/// What no part of a path may be is left out of it: nothing has to be escaped in addresses and policies, and "the path parameter cannot
/// end in periods" (api-docs/index of hashicorp/vault).
fn is_path(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let part = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && part.chars().all(plain)
    };
    path.len() <= 256 && path.split('/').all(part)
}

fn url(env: &Environment) -> Result<String, ConfigError> {
    let (ours, theirs) = (env.address("VAULT_URL")?, env.address("VAULT_ADDR")?);
    let (variable, url) = match (ours, theirs) {
        (Some(ours), Some(theirs)) if ours != theirs => {
            return wrong("VAULT_URL", "VAULT_ADDR is another address; take one of them out");
        }
        (Some(url), _) => ("VAULT_URL", url),
        (None, Some(url)) => ("VAULT_ADDR", url),
        (None, None) => {
            return wrong(
                "VAULT_URL",
                "SECRETS_URL names Vault; set Vault's address, e.g. https://vault.example.com:8200",
            );
        }
    };
    if url.contains(['?', '#']) || url.ends_with("/v1") {
        return wrong(
            variable,
            "write it without `/v1` and what follows, e.g. https://vault.example.com:8200",
        );
    }
    if let Some(rest) = url.strip_prefix("http://")
        && !is_loopback(rest.split('/').next().unwrap_or_default())
    {
        return wrong(
            variable,
            "over http to another machine everybody on the way could read the token and all secrets; write https (VAULT_CACERT for a \
             CA of your own), or put a Vault Agent or Vault Proxy on this machine and name that",
        );
    }
    Ok(url)
}

/// Whether `HOST` or `HOST:PORT` is this machine.
fn is_loopback(authority: &str) -> bool {
    let port = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let host = authority.rsplit_once(':').filter(|(_, rest)| port(rest)).map_or(authority, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn login(env: &Environment, mount: String) -> Result<VaultLogin, ConfigError> {
    let token =
        credential(env.get("VAULT_TOKEN"), env.get("VAULT_TOKEN_FILE"), ["VAULT_TOKEN", "VAULT_TOKEN_FILE"])?;
    let role = credential(
        env.get("VAULT_ROLE_ID"),
        env.get("VAULT_ROLE_ID_FILE"),
        ["VAULT_ROLE_ID", "VAULT_ROLE_ID_FILE"],
    )?;
    let secret = credential(
        env.get("VAULT_SECRET_ID"),
        env.get("VAULT_SECRET_ID_FILE"),
        ["VAULT_SECRET_ID", "VAULT_SECRET_ID_FILE"],
    )?;
    match (token, role, secret) {
        (Some(token), None, None) => Ok(VaultLogin::Token(token)),
        (None, Some(role_id), Some(secret_id)) => {
            // It stays the same as long as the role: once is enough.
            let role_id = match role_id {
                VaultCredential::Text(text) => text.reveal().to_owned(),
                VaultCredential::File(path) => contents(&path, "VAULT_ROLE_ID_FILE")?,
            };
            Ok(VaultLogin::AppRole { mount, role_id, secret_id })
        }
        (Some(_), _, _) => wrong(
            "VAULT_TOKEN",
            "there is a token and an AppRole too; take VAULT_TOKEN out, or VAULT_ROLE_ID and VAULT_SECRET_ID",
        ),
        (None, Some(_), None) => {
            wrong("VAULT_SECRET_ID", "VAULT_ROLE_ID is set; the AppRole's secret id has to be set too")
        }
        (None, None, Some(_)) => {
            wrong("VAULT_ROLE_ID", "VAULT_SECRET_ID is set; the AppRole's id has to be set too")
        }
        (None, None, None) => wrong(
            "VAULT_TOKEN",
            "SECRETS_URL names Vault; set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, or the files that have them \
             (VAULT_TOKEN_FILE, …)",
        ),
    }
}

/// A variable's text or its file's path. No message has either: a token in the variable for its file would show.
fn credential(
    text: Option<String>,
    file: Option<String>,
    [variable, file_variable]: [&'static str; 2],
) -> Result<Option<VaultCredential>, ConfigError> {
    match (text, file) {
        (Some(_), Some(_)) => wrong(file_variable, format!("{variable} is set too; take one of them out")),
        (Some(text), None) if !text.chars().all(|c| c.is_ascii_graphic()) => {
            wrong(variable, "it has blanks or letters that Vault's never have; was something else pasted?")
        }
        (Some(text), None) => Ok(Some(VaultCredential::Text(SecretText::new(text)))),
        (None, Some(file)) => {
            let path = PathBuf::from(file);
            contents(&path, file_variable)?;
            Ok(Some(VaultCredential::File(path)))
        }
        (None, None) => Ok(None),
    }
}

fn contents(path: &std::path::Path, variable: &'static str) -> Result<String, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => wrong(variable, "the file that it names is empty"),
        Err(error) => wrong(variable, format!("the file that it names can't be read: {error}")),
    }
}

/// Settings of Vault that are ours alone, where secrets are elsewhere: somebody forgot SECRETS_URL.
pub(super) fn none_but_with_vault(env: &Environment) -> Result<(), ConfigError> {
    let ours = [
        ("VAULT_URL", env.get("VAULT_URL")),
        ("VAULT_TOKEN_FILE", env.get("VAULT_TOKEN_FILE")),
        ("VAULT_ROLE_ID", env.get("VAULT_ROLE_ID")),
        ("VAULT_ROLE_ID_FILE", env.get("VAULT_ROLE_ID_FILE")),
        ("VAULT_SECRET_ID", env.get("VAULT_SECRET_ID")),
        ("VAULT_SECRET_ID_FILE", env.get("VAULT_SECRET_ID_FILE")),
    ];
    match ours.into_iter().find(|(_, value)| value.is_some()) {
        Some((variable, _)) => {
            wrong(variable, "SECRETS_URL does not name Vault; set it to vault:MOUNT/PATH, or take this out")
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::{SecretsPlace, StorageConfig};
    use super::*;

    const TOKEN: &str = "hvs.hunter2-hunter2";

    fn read(settings: &[(&str, &str)]) -> Result<SecretsPlace, ConfigError> {
        StorageConfig::read(&settings.iter().copied().collect()).map(|storage| storage.secrets)
    }

    /// With an address and a token, unless `settings` say otherwise.
    fn place(url: &str, settings: &[(&str, &str)]) -> Result<VaultPlace, ConfigError> {
        let mut all = std::collections::BTreeMap::from([
            ("SECRETS_URL", url),
            ("VAULT_URL", "https://vault.example.com:8200/"),
            ("VAULT_TOKEN", TOKEN),
        ]);
        all.extend(settings.iter().copied());
        match read(&all.into_iter().collect::<Vec<_>>())? {
            SecretsPlace::Vault(place) => Ok(*place),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn addresses_mean_what_they_say() {
        for (url, path, kv_version, approle) in [
            ("vault:", "secret", None, "approle"),
            ("vault:kv", "kv", None, "approle"),
            ("vault:kv/team/cloud-code/", "kv/team/cloud-code", None, "approle"),
            ("vault://secret/cloud-code", "secret/cloud-code", None, "approle"),
            ("vault:kv?kv=1", "kv", Some(1), "approle"),
            ("vault:kv?kv=2&approle=ci/approle", "kv", Some(2), "ci/approle"),
        ] {
            let role = [("VAULT_TOKEN", ""), ("VAULT_ROLE_ID", "role"), ("VAULT_SECRET_ID", "secret")];
            let place = place(url, &role).unwrap();
            assert_eq!((place.path.as_str(), place.kv_version), (path, kv_version), "{url}");
            let VaultLogin::AppRole { mount, role_id, .. } = &place.login else { panic!("{place:?}") };
            assert_eq!((mount.as_str(), role_id.as_str()), (approle, "role"), "{url}");
        }
        let place = place("vault:", &[("VAULT_NAMESPACE", "admin/")]).unwrap();
        assert_eq!(place.url, "https://vault.example.com:8200");
        assert_eq!(place.namespace.as_deref(), Some("admin"));
        assert!(!format!("{place:?}").contains("hunter2"), "{place:?}");
    }

    #[test]
    fn vaults_own_names_are_understood() {
        let named = [("VAULT_URL", ""), ("VAULT_ADDR", "http://127.0.0.1:8200")];
        assert_eq!(place("vault:", &named).unwrap().url, "http://127.0.0.1:8200");
        let same = [("VAULT_ADDR", "https://vault.example.com:8200")];
        assert!(place("vault:", &same).is_ok());
        // A shell in which somebody uses Vault for other things.
        assert_eq!(
            read(&[("VAULT_ADDR", "http://vault:8200"), ("VAULT_TOKEN", TOKEN)]).unwrap(),
            SecretsPlace::File
        );
    }

    #[test]
    fn credentials_come_from_files_too() {
        let folder = tempfile::tempdir().unwrap();
        let (file, empty) = (folder.path().join("token"), folder.path().join("empty"));
        std::fs::write(&file, "the-role\n").unwrap();
        std::fs::write(&empty, "\n").unwrap();
        let (file, empty) = (file.to_str().unwrap(), empty.to_str().unwrap());
        let token = place("vault:", &[("VAULT_TOKEN", ""), ("VAULT_TOKEN_FILE", file)]).unwrap();
        assert_eq!(token.login, VaultLogin::Token(VaultCredential::File(PathBuf::from(file))));
        let role = [("VAULT_TOKEN", ""), ("VAULT_ROLE_ID_FILE", file), ("VAULT_SECRET_ID_FILE", file)];
        let VaultLogin::AppRole { role_id, .. } = place("vault:", &role).unwrap().login else { panic!() };
        assert_eq!(role_id, "the-role");
        let error = place("vault:", &[("VAULT_TOKEN", ""), ("VAULT_TOKEN_FILE", empty)]).unwrap_err();
        assert!(error.problem.contains("is empty"), "{error}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (url, settings, variable, words) in [
            ("vault:../secret", &[][..], "SECRETS_URL", "no path in Vault"),
            ("vault:secret/a b", &[], "SECRETS_URL", "no path in Vault"),
            ("vault:secret/a.", &[], "SECRETS_URL", "no path in Vault"),
            ("vault:kv?kv=3", &[], "SECRETS_URL", "`kv=3` is not known"),
            ("vault:", &[("VAULT_URL", "")], "VAULT_URL", "set Vault's address"),
            ("vault:", &[("VAULT_URL", "vault:8200")], "VAULT_URL", "with its scheme"),
            ("vault:", &[("VAULT_URL", "http://vault.example.com:8200")], "VAULT_URL", "write https"),
            ("vault:", &[("VAULT_URL", "http://127.0.0.1.example.com")], "VAULT_URL", "write https"),
            ("vault:", &[("VAULT_URL", "https://v/v1")], "VAULT_URL", "without `/v1`"),
            ("vault:", &[("VAULT_ADDR", "https://other:8200")], "VAULT_URL", "another address"),
            ("vault:", &[("VAULT_TOKEN", "")], "VAULT_TOKEN", "or VAULT_ROLE_ID"),
            ("vault:", &[("VAULT_TOKEN", "hunter2 hunter2")], "VAULT_TOKEN", "blanks"),
            ("vault:", &[("VAULT_TOKEN_FILE", TOKEN)], "VAULT_TOKEN_FILE", "VAULT_TOKEN is set too"),
            (
                "vault:",
                &[("VAULT_TOKEN", ""), ("VAULT_TOKEN_FILE", TOKEN)],
                "VAULT_TOKEN_FILE",
                "can't be read",
            ),
            ("vault:", &[("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "s")], "VAULT_TOKEN", "an AppRole too"),
            (
                "vault:",
                &[("VAULT_TOKEN", ""), ("VAULT_ROLE_ID", "r")],
                "VAULT_SECRET_ID",
                "has to be set too",
            ),
            (
                "vault:",
                &[("VAULT_TOKEN", ""), ("VAULT_SECRET_ID", "s")],
                "VAULT_ROLE_ID",
                "has to be set too",
            ),
        ] {
            let error = place(url, settings).unwrap_err();
            assert_eq!(error.variable, variable, "{url} {settings:?}: {error}");
            assert!(error.problem.contains(words), "{error} lacks {words}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        for variable in ["VAULT_URL", "VAULT_TOKEN_FILE", "VAULT_ROLE_ID", "VAULT_SECRET_ID_FILE"] {
            let error = read(&[(variable, "https://vault.example.com")]).unwrap_err();
            assert_eq!(error.variable, variable);
            assert!(error.problem.contains("does not name Vault"), "{error}");
        }
        for (host, loopback) in [
            ("localhost", true),
            ("localhost:8200", true),
            ("127.0.0.1:8200", true),
            ("127.8.9.1", true),
            ("[::1]:8200", true),
            ("[::1]", true),
            ("localhost.example.com", false),
            ("10.0.0.1:8200", false),
            ("vault:8200", false),
        ] {
            assert_eq!(is_loopback(host), loopback, "{host}");
        }
    }
}
