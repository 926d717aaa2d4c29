//! The server's API and pages, as a client sees them.

use super::{API_TOKEN, World};
use cloud_code::http::api::view::{ApiDecision, ApiDecisionList, ApiRun, ApiRunList};

/// An answer over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl World {
    /// Asks the server, with a token that opens both the API and the pages.
    pub(crate) async fn http(&self, method: &str, path: &str) -> Answer {
        let url = format!("http://{}{path}", self.setting("LISTEN_ADDR"));
        let authorization = if path.starts_with("/api/") {
            format!("Bearer {API_TOKEN}")
        } else {
            use base64::Engine as _;
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("test:{API_TOKEN}"));
            format!("Basic {pair}")
        };
        let method = method.to_owned();
        let asked = tokio::task::spawn_blocking(move || {
            let config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(std::time::Duration::from_secs(30)));
            let agent: ureq::Agent = config.build().into();
            let answer = match method.as_str() {
                "POST" => agent.post(&url).header("authorization", &authorization).send_empty(),
                _ => agent.get(&url).header("authorization", &authorization).call(),
            };
            let mut answer = answer.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
            let status = answer.status().as_u16();
            let body = answer.body_mut().read_to_vec().unwrap();
            Answer { status, body: String::from_utf8_lossy(&body).into_owned() }
        });
        asked.await.unwrap()
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let answer = self.http("GET", path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.body))
    }

    /// All runs, newest first.
    pub(crate) async fn runs(&self) -> Vec<ApiRun> {
        let list: ApiRunList = self.read("/api/v1/runs?limit=200").await;
        let mut runs = Vec::new();
        for row in list.runs {
            runs.push(self.run(&row.id).await);
        }
        runs
    }

    /// The runs of an issue, newest first.
    pub(crate) async fn runs_of(&self, number: u64) -> Vec<ApiRun> {
        let list: ApiRunList = self.read("/api/v1/runs?limit=200").await;
        let mut runs = Vec::new();
        for row in list.runs.iter().filter(|row| row.subject == number) {
            runs.push(self.run(&row.id).await);
        }
        runs
    }

    /// One run.
    pub(crate) async fn run(&self, id: &str) -> ApiRun {
        self.read(&format!("/api/v1/runs/{id}")).await
    }

    /// All decisions, newest first.
    pub(crate) async fn decisions(&self) -> Vec<ApiDecision> {
        let list: ApiDecisionList = self.read("/api/v1/decisions?limit=200").await;
        list.decisions
    }
}
