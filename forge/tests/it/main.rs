//! The forge through real HTTP, and through the real git program.
#![allow(clippy::unwrap_used, reason = "tests")]
#![recursion_limit = "256"]

mod app;
mod checks;
mod faults;
mod git;
mod issues;
mod llm;
mod openapi;
mod pulls;
mod receiver;
mod shapes;
mod webhooks;

use std::io::Write;

use cloud_code_forge::{Forge, ForgeConfig, Role};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const SHOP: &str = "acme/shop";

/// Says that a test is skipped, past the test harness, which keeps back what passing tests print.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// A forge with one repository and the app on it, and a client.
struct World {
    forge: Forge,
    agent: ureq::Agent,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }
}

impl World {
    async fn new() -> Self {
        let forge = Forge::start(ForgeConfig::default()).await.unwrap();
        let files = [("README.md", "# Shop\n"), ("src/main.rs", "fn main() {}\n")];
        forge.create_user("alice");
        forge.create_repo(SHOP, &files, "main", false).unwrap();
        forge.set_permission(SHOP, "alice", Some(Role::Write)).unwrap();
        forge.install_app(SHOP).unwrap();
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).max_idle_connections(0).build();
        Self { forge, agent: config.new_agent() }
    }

    fn jwt(&self) -> String {
        let now = self.now();
        self.jwt_of(&json!({ "iss": self.forge.app().id.to_string(), "iat": now - 60, "exp": now + 540 }))
    }

    fn jwt_of(&self, claims: &Value) -> String {
        let key = EncodingKey::from_rsa_pem(self.forge.app_private_key().unwrap().as_bytes()).unwrap();
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &key).unwrap()
    }

    fn now(&self) -> i64 {
        jiff::Timestamp::now().as_second()
    }

    fn installation(&self) -> u64 {
        let found = self.call("GET", "/repos/acme/shop/installation", Some(&self.jwt()), None).expect(200);
        found["id"].as_u64().unwrap()
    }

    /// A token with all of the installation's permissions, or narrowed by the body.
    fn token(&self, narrow: Value) -> String {
        let path = format!("/app/installations/{}/access_tokens", self.installation());
        let answer = self.call("POST", &path, Some(&self.jwt()), Some(narrow)).expect(201);
        answer["token"].as_str().unwrap().to_owned()
    }

    fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        self.try_call(method, path, token, body, "application/vnd.github+json").unwrap()
    }

    fn try_call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
        accept: &str,
    ) -> Result<Answer, ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.forge.api_url()))
            .header("accept", accept)
            .header("user-agent", "forge-tests");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = tokio::task::block_in_place(|| match body {
            Some(body) => self
                .agent
                .run(request.header("content-type", "application/json").body(body.to_string()).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        })?;
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let text = tokio::task::block_in_place(|| response.body_mut().read_to_string())?;
        Ok(Answer { status: response.status().as_u16(), headers, text })
    }
}
