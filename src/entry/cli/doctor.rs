//! `cloud-code doctor`: what is set, what is there, what is wrong and how to mend it.

use super::{CommandResult, logging, print_line};
use crate::app::App;
use crate::config::{Config, Environment, RunnerKind};
use crate::entry::vps;
use cloud_code_model::cli;
use std::process::ExitCode;

/// Prints findings and counts what must be mended.
struct Findings {
    bad: usize,
}

impl Findings {
    /// Something to know, which need not be mended.
    fn note(&self, what: &str, detail: &str) -> std::io::Result<()> {
        print_line(&format!("note  {what}: {detail}"))
    }

    /// `Err` holds what to do.
    fn tell(&mut self, what: &str, found: Result<String, String>) -> std::io::Result<()> {
        match found {
            Ok(detail) => print_line(&format!("ok    {what}: {detail}")),
            Err(mend) => {
                self.bad += 1;
                print_line(&format!("WRONG {what}: {mend}"))
            }
        }
    }
}

pub(super) async fn execute(env: &Environment) -> CommandResult {
    logging::start(env, true)?;
    let mut findings = Findings { bad: 0 };
    let config = match Config::read(env) {
        Ok(config) => {
            findings.tell("settings", Ok(format!("data in {}", config.storage.data_dir.display())))?;
            config
        }
        Err(error) => {
            findings.tell("settings", Err(error.to_string()))?;
            print_line(
                "The rest can't be looked at before that is mended. .env.example lists all settings.",
            )?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let server = &config.server;
    findings.tell("API tokens", match server.api_tokens.len() {
        0 => Err("none; the API and the pages are closed. Set API_TOKENS, e.g. to the output of `openssl rand -hex 24`".to_owned()),
        count => Ok(count.to_string()),
    })?;
    match &server.public_url {
        Some(url) => findings.tell("public address", Ok(url.clone()))?,
        None => {
            findings.note("public address", "PUBLIC_URL is not set; comments will have no link to the run")?
        }
    }
    match vps::app(&config).await {
        Ok(app) => look(&app, &config, &mut findings).await?,
        Err(error) => findings.tell("storage", Err(format!("{error:#}")))?,
    }
    let verdict = match findings.bad {
        0 => "Everything is in order.".to_owned(),
        1 => "One thing is to be mended.".to_owned(),
        many => format!("{many} things are to be mended."),
    };
    print_line(&verdict)?;
    Ok(if findings.bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look(app: &App, config: &Config, findings: &mut Findings) -> std::io::Result<()> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let database = &config.storage.database_url;
    findings
        .tell("database", app.store.check().await.map(|()| database.clone()).map_err(|error| told(&error)))?;
    // Accepted, but with something lacking: that is to be mended as well.
    let whole = |said: String| if said.contains(", but ") { Err(said) } else { Ok(said) };
    findings.tell("secrets", app.secrets.check().await.map_err(|error| told(&error)).and_then(whole))?;
    findings.tell("GitHub App", app.forge.check().await.map_err(|error| told(&error)).and_then(whole))?;
    let runner = app.runner.check().await;
    let reachable = runner.is_ok();
    findings.tell(app.runner.name(), runner.map_err(|error| told(&error)))?;
    if config.agents.runner == RunnerKind::Process {
        return findings.note(
            "sandbox",
            "RUNNER=process is none: an agent may do whatever this user may. Use it for development only",
        );
    }
    for cli in cli::ALL.iter().filter(|_| reachable) {
        let image = app.settings.image(cli.name);
        let found = match app.runner.has_image(&image).await {
            Ok(true) => Ok("is there".to_owned()),
            Ok(false) if cli.name != app.settings.default_cli => {
                let detail = format!(
                    "is missing; steps with `cli: {0}` need it: scripts/build-agents.sh {0} builds it",
                    cli.name
                );
                findings.note(&format!("image {image}"), &detail)?;
                continue;
            }
            Ok(false) => Err(format!("is missing; build it with scripts/build-agents.sh {}", cli.name)),
            Err(error) => Err(told(&error)),
        };
        findings.tell(&format!("image {image}"), found)?;
    }
    let cli = cli::find(&app.settings.default_cli);
    let keys = cli.map_or(&[][..], |cli| cli.secrets);
    if !keys.is_empty() {
        let set = keys.iter().find(|key| app.settings.agent_env.contains_key(**key));
        findings.tell(&format!("key for {}", app.settings.default_cli), match set {
            Some(key) => Ok(format!("{key} is set for all repositories")),
            None => Err(format!(
                "none is set for all repositories. Set one of {}, or give each owner its own with `cloud-code secrets set OWNER {}`",
                keys.join(", "),
                keys.first().copied().unwrap_or_default()
            )),
        })?;
    }
    Ok(())
}
