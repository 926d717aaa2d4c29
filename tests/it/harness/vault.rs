//! A real server of Vault's API, RustyVault: init, tokens, AppRole, TLS and the KV engine of version 1 are real. Policies, version 2,
//! `sys/internal/ui/mounts` and renewing one's own token it does not have, and version 0.2.1 may hang once it is sealed: all that is for
//! `small_vault.rs`.
//!
//! `CLOUD_CODE_TEST_VAULT` names its program, `rvault`, which `cargo install rusty_vault` makes.

use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server, unsealed, with the KV engine of version 1 at `secret`.
pub(crate) struct RealVault {
    pub(crate) url: String,
    root: String,
    agent: ureq::Agent,
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for RealVault {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl RealVault {
    /// Starts one over plain HTTP; `None` where there is no program.
    pub(crate) fn start() -> Option<Self> {
        Self::listening(false)
    }

    /// Starts one over TLS, with a certificate for 127.0.0.1 that only [`Self::certificate`] vouches for.
    pub(crate) fn with_tls() -> Option<Self> {
        Self::listening(true)
    }

    fn listening(tls: bool) -> Option<Self> {
        let Some(program) = std::env::var_os("CLOUD_CODE_TEST_VAULT") else {
            assert!(
                std::env::var_os("CI").is_none_or(|value| value != "true"),
                "CI has to run the tests with a real Vault: set CLOUD_CODE_TEST_VAULT to rvault of `cargo install rusty_vault`"
            );
            println!(
                "skipped: needs RustyVault; set CLOUD_CODE_TEST_VAULT to rvault of `cargo install rusty_vault`"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut tls_lines = "  tls_disable = \"true\"\n".to_owned();
        if tls {
            certificate(folder.path());
            tls_lines = format!(
                "  tls_disable = \"false\"\n  tls_cert_file = \"{0}/cert.pem\"\n  tls_key_file = \"{0}/key.pem\"\n",
                folder.path().display()
            );
        }
        // It takes no port 0. Another program may take the port that was free a moment ago: then the next one.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let dir = folder.path().display();
            let config = format!(
                "storage \"file\" {{\n  path = \"{dir}/data\"\n}}\nlistener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n{tls_lines}}}\n\
                 api_addr = \"http://127.0.0.1:{port}\"\nlog_level = \"warn\"\npid_file = \"{dir}/pid\"\nwork_dir = \"{dir}\"\n"
            );
            std::fs::write(folder.path().join("vault.hcl"), config).unwrap();
            let mut command = Command::new(&program);
            command
                .args(["server", "--config"])
                .arg(folder.path().join("vault.hcl"))
                .current_dir(folder.path());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().expect("rvault starts");
            let scheme = if tls { "https" } else { "http" };
            if let Some(vault) = wait_for(port, &mut child).then_some(child) {
                let url = format!("{scheme}://127.0.0.1:{port}");
                return Some(Self::initialised(url, vault, folder));
            }
        }
        panic!("RustyVault does not listen");
    }

    fn initialised(url: String, child: Child, folder: tempfile::TempDir) -> Self {
        let tls =
            ureq::tls::TlsConfig::builder().disable_verification(true).unversioned_rustls_crypto_provider(
                std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            );
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls.build())
            .timeout_global(Some(Duration::from_secs(30)));
        let agent = config.build().new_agent();
        let mut vault = Self { url, root: String::new(), agent, child, folder };
        let init = vault.post("sys/init", &json!({ "secret_shares": 1, "secret_threshold": 1 }));
        vault.root = init["root_token"].as_str().unwrap().to_owned();
        let unsealed = vault.post("sys/unseal", &json!({ "key": init["keys"][0] }));
        assert_eq!(unsealed["sealed"], false, "{unsealed}");
        vault
    }

    /// What its certificate is vouched for by.
    pub(crate) fn certificate(&self) -> std::path::PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// The token that may do anything.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// A new token.
    pub(crate) fn token(&self) -> String {
        let made = self.post("auth/token/create", &json!({ "policies": ["tests"], "ttl": "1h" }));
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn revoke(&self, token: &str) {
        self.post(&format!("auth/token/revoke/{token}"), &json!({}));
    }

    /// An AppRole: its id and a secret id.
    pub(crate) fn approle(&self) -> (String, String) {
        self.post("sys/auth/approle", &json!({ "type": "approle" }));
        self.post("auth/approle/role/server", &json!({ "token_policies": "tests", "token_ttl": "1h" }));
        let role = self.get("auth/approle/role/server/role-id");
        let secret = self.post("auth/approle/role/server/secret-id", &json!({}));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&role["data"]["role_id"]), text(&secret["data"]["secret_id"]))
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let request = self.agent.get(format!("{}/v1/{path}", self.url));
        let mut answer = request.header("x-vault-token", &self.root).call().unwrap();
        serde_json::from_slice(&answer.body_mut().read_to_vec().unwrap()).unwrap_or_default()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        // To Vault they are the same; RustyVault takes one of them here and the other there.
        let url = format!("{}/v1/{path}", self.url);
        let put = ["sys/init", "sys/unseal"].contains(&path);
        let request = if put { self.agent.put(url) } else { self.agent.post(url) };
        let request = request.header("x-vault-token", &self.root);
        let mut answer = request.send(body.to_string()).unwrap();
        let (status, body) = (answer.status().as_u16(), answer.body_mut().read_to_vec().unwrap());
        assert!(status < 300, "{path}: {status} {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap_or_default()
    }
}

/// Whether it comes to listen.
fn wait_for(port: u16, child: &mut Child) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end && child.try_wait().unwrap().is_none() {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn certificate(dir: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=vault"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success(), "openssl made no certificate");
}
