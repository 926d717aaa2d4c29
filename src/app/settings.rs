//! What the operator chose, as the use cases need it.

use crate::ports::{Limits, Runner};
use cloud_code_model::network::{AllowList, Mode};
use cloud_code_model::policy::ChangePolicy;
use cloud_code_model::run::Timing;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a stop may take beyond the runner's patience: its last signals, and the news of the end.
const STOP_MARGIN_SECONDS: i64 = 30;

/// Choices that govern runs.
#[derive(Clone)]
pub struct Settings {
    /// The label that starts a run.
    pub label: String,
    /// The CLI of an agent step that names none.
    pub default_cli: String,
    /// Image names are this and the CLI's name, e.g. `cloud-code-agent-` + `claude-code` + `:latest`.
    pub image_prefix: String,
    /// The tag of the agent images.
    pub image_tag: String,
    /// What a container may take.
    pub limits: Limits,
    /// Leases and other durations.
    pub timing: Timing,
    /// What a change may touch.
    pub policy: ChangePolicy,
    /// Whether new pull requests are drafts also when the run succeeded.
    pub draft: bool,
    /// Where people reach the server, without a slash at the end; `None` leaves links out.
    pub public_url: Option<String>,
    /// Bots (logins) that may start runs all the same.
    pub allowed_bots: Vec<String>,
    /// Author of the commits that the agent makes for what a CLI left uncommitted.
    pub author: (String, String),
    /// US dollars a job may cost unless its workflow says otherwise.
    pub budget_usd: Option<f64>,
    /// Minutes without output after which a CLI is taken for hung.
    pub silence_minutes: f64,
    /// Environment of the server that is handed to CLIs which ask for it by name: settings and secrets.
    pub agent_env: BTreeMap<String, String>,
    /// The way out of jobs that do not say, on runners that can confine.
    pub network: Mode,
    /// What restricted jobs may reach, whatever their workflows add.
    pub network_allow: AllowList,
    /// How often a launch is tried while the runner can't be reached.
    pub launch_tries: u32,
    /// How often a running attempt is looked at, after a first while in which that is more often.
    pub watch_interval: Duration,
    /// Label run states on the issue.
    pub state_labels: bool,
}

impl Settings {
    /// The durations of a run whose attempts are on this runner: nothing of an attempt is put away while its runner may still be ending it.
    pub fn timing_on(&self, runner: &dyn Runner) -> Timing {
        let patience = i64::try_from(runner.stop_patience().as_secs()).unwrap_or(i64::MAX);
        Timing { stop_seconds: patience.saturating_add(STOP_MARGIN_SECONDS), ..self.timing }
    }
}

/// The environment of agents by its names only: among the values are secrets.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("label", &self.label)
            .field("default_cli", &self.default_cli)
            .field("limits", &self.limits)
            .field("timing", &self.timing)
            .field("policy", &self.policy)
            .field("public_url", &self.public_url)
            .field("agent_env", &self.agent_env.keys())
            .finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            label: "cloud-code".to_owned(),
            default_cli: "claude-code".to_owned(),
            image_prefix: "cloud-code-agent-".to_owned(),
            image_tag: "latest".to_owned(),
            limits: Limits::default(),
            timing: Timing::default(),
            policy: ChangePolicy::default(),
            draft: false,
            public_url: None,
            allowed_bots: Vec::new(),
            author: ("cloud-code[bot]".to_owned(), "cloud-code[bot]@users.noreply.github.com".to_owned()),
            budget_usd: None,
            silence_minutes: 10.0,
            agent_env: BTreeMap::new(),
            network: Mode::default(),
            network_allow: AllowList::default(),
            launch_tries: 6,
            watch_interval: Duration::from_millis(600),
            state_labels: true,
        }
    }
}

impl Settings {
    /// The image for a CLI.
    pub fn image(&self, cli: &str) -> String {
        format!("{}{cli}:{}", self.image_prefix, self.image_tag)
    }
}
