//! `cloud-code demo`: the whole way on this machine. A small GitHub on loopback, a server with everything embedded, an
//! issue, and at the end a pull request. Only GitHub and the model are played; what lies between them is the real thing.

use super::progress::Progress;
use super::{CommandResult, logging, print_line};
use crate::app::App;
use crate::config::{Config, Environment};
use crate::entry::vps::{self, Server, ServerOptions};
use crate::ports::RunFilter;
use anyhow::{Context, ensure};
use clap::Args;
use cloud_code_forge::{Forge, ForgeConfig, Role, Webhook};
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{Conclusion, Run};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// `cloud-code demo`
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Where the job runs: `process` needs nothing; `docker` needs the image cloud-code-agent-script.
    #[arg(long, default_value = "process", value_name = "docker|process")]
    runner: String,
    /// Keep everything up at the end, to look at the pages, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

const REPOSITORY: &str = "acme/greeter";
const TOKEN: &str = "demo-token-of-sixteen-or-more";
const SECRET: &str = "the demo's webhook secret";

const README: &str = "# greeter\n\nSays hello. Try `sh greet.sh`.\n";
const GREET: &str = "#!/bin/sh\n# Greets.\necho \"Hello, world!\"\n";
const TEST: &str = "#!/bin/sh\nset -e\n[ \"$(sh greet.sh)\" = \"Hello, world!\" ]\n[ \"$(sh greet.sh Ada)\" = \"Hello, Ada!\" ]\necho \"2 tests passed\"\n";

/// The model is played by a line of shell; everything else of this workflow is as anybody would write it.
const WORKFLOW: &str = r#"name: implement
on:
  issues: { types: [labeled] }
jobs:
  implement:
    timeout-minutes: 2
    steps:
      - id: fix
        name: Agent
        uses: agent
        with:
          cli: script
          command: |
            grep -q 'Greet people by name' "$CLOUD_CODE_PROMPT_FILE"
            sed -i 's/Hello, world!/Hello, ${1:-world}!/' greet.sh
            echo 'The greeting takes a name now, and stays as it was without one.'
      - name: Tests
        run: sh test.sh
"#;

pub(super) async fn execute(args: DemoArgs, env: &Environment) -> CommandResult {
    logging::start(env, true)?;
    let dir = tempfile::tempdir()?;
    print_line("A demo of Cloud Code. It uses loopback only, no account and no key.\n")?;
    let forge = forge(dir.path()).await?;
    let config = config(&forge, dir.path(), &args)?;
    let app = Arc::new(vps::app(&config).await?);
    let server = serve(Arc::clone(&app), &config).await?;
    forge.set_webhook(Some(Webhook {
        url: format!("http://{}/webhooks/github/", server.address()),
        secret: SECRET.to_owned(),
    }));

    let number = forge.open_issue(
        REPOSITORY,
        "ada",
        "Greet people by name",
        "`greet.sh` should take a name: `sh greet.sh Ada` says `Hello, Ada!`.",
    )?;
    print_line(&format!("   forge  {} (a small GitHub)", forge.url()))?;
    print_line(&format!("  server  http://{} (runner: {})", server.address(), app.runner.name()))?;
    print_line(&format!("   issue  {REPOSITORY}#{number}: Greet people by name\n"))?;
    forge.label_issue(REPOSITORY, "ada", number, "cloud-code")?;

    let id = started(&app).await?;
    let mut progress = Progress::new(&app, id);
    progress
        .say(&format!("ada put the label `cloud-code` on #{number}; the webhook was verified and queued"))?;
    let run = tokio::time::timeout(Duration::from_secs(120), progress.follow())
        .await
        .context("the run did not end within two minutes")??;
    let shown = verify(&forge, &run, number)?;
    print_line(&shown)?;
    if args.keep {
        print_line(&format!(
            "The run's page: http://{}/runs/{} (user: any, password: {TOKEN}). Ctrl-C ends it.",
            server.address(),
            run.id
        ))?;
        tokio::signal::ctrl_c().await?;
    }
    server.stop().await?;
    print_line(
        "Next, on a repository of yours:  cloud-code run --repo . --title 'What to do' --runner process",
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn forge(dir: &Path) -> anyhow::Result<Forge> {
    let forge =
        Forge::start(ForgeConfig { data_dir: Some(dir.join("forge")), ..ForgeConfig::default() }).await?;
    let files = [
        ("README.md", README),
        ("greet.sh", GREET),
        ("test.sh", TEST),
        (".cloud-code/implement.yml", WORKFLOW),
    ];
    forge.create_user("ada");
    forge.create_repo(REPOSITORY, &files, "main", true)?;
    forge.set_permission(REPOSITORY, "ada", Some(Role::Write))?;
    forge.install_app(REPOSITORY)?;
    Ok(forge)
}

/// A server's settings as an operator would give them, by the same door.
fn config(forge: &Forge, dir: &Path, args: &DemoArgs) -> anyhow::Result<Config> {
    let app = forge.app();
    let env = [
        ("LISTEN_ADDR", "127.0.0.1:0".to_owned()),
        ("API_TOKENS", TOKEN.to_owned()),
        ("GITHUB_WEBHOOK_SECRET", SECRET.to_owned()),
        ("GITHUB_URL", forge.url()),
        ("GITHUB_API_URL", forge.api_url()),
        ("GITHUB_APP_ID", app.id.to_string()),
        ("GITHUB_APP_NAME", app.slug),
        ("GITHUB_PRIVATE_KEY", forge.app_private_key().context("the forge has no key for its App")?),
        ("DATA_DIR", dir.join("server").display().to_string()),
        ("RUNNER", args.runner.clone()),
        ("CONCURRENCY", "1".to_owned()),
        ("SWEEP_SECONDS", "5".to_owned()),
    ];
    let config = Config::read(&env.into_iter().collect())?;
    Ok(config)
}

async fn serve(app: Arc<App>, config: &Config) -> anyhow::Result<Server> {
    let options = ServerOptions::new(config, crate::metrics::install()?);
    Server::start(app, options).await
}

/// Waits for the run that the issue starts.
async fn started(app: &App) -> anyhow::Result<RunId> {
    let mut saved = app.saved.subscribe();
    let wait = async {
        loop {
            if let Some(row) = app.store.list(&RunFilter::default()).await?.items.pop() {
                return Ok(row.id);
            }
            if let Some(decision) = app.store.decisions(1).await?.pop().filter(|d| d.outcome == "refused") {
                anyhow::bail!("the issue was refused: {}", decision.reason);
            }
            let _ = tokio::time::timeout(Duration::from_millis(50), saved.recv()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.context("no run was started within 30 s")?
}

/// Looks at the forge, not at what the run says of itself.
fn verify(forge: &Forge, run: &Run, number: u64) -> anyhow::Result<String> {
    let reason = run.reason.as_deref().unwrap_or_default();
    ensure!(run.conclusion == Some(Conclusion::Success), "the run ended with {:?}: {reason}", run.conclusion);
    let pulls = forge.pulls(REPOSITORY)?;
    ensure!(pulls.len() == 1, "there are {} pull requests instead of one", pulls.len());
    let pull = &pulls[0];
    let body = &pull.body;
    ensure!(body.contains(&format!("Fixes #{number}")), "the pull request does not name the issue");
    let diff = forge.pull_diff(REPOSITORY, pull.number)?;
    ensure!(
        diff.contains("+echo \"Hello, ${1:-world}!\""),
        "the pull request has not the expected change:\n{diff}"
    );
    let comments = forge.comments(REPOSITORY, number)?;
    ensure!(comments.len() == 1, "there are {} comments on the issue instead of one", comments.len());
    let labels = forge.labels(REPOSITORY, number)?;
    ensure!(
        labels.iter().any(|label| label == "cloud-code:done"),
        "the issue has not the label cloud-code:done"
    );
    let checks = forge.check_runs(REPOSITORY, &pull.head_sha)?;
    ensure!(checks.len() == 1, "the pushed commit has {} check runs instead of one", checks.len());
    Ok(format!(
        "\nPull request #{}: {} ({} → {})\n\n{}\nThe comment on the issue:\n\n{}\n",
        pull.number,
        pull.title,
        pull.head_branch,
        pull.base_branch,
        indented(&diff),
        indented(&comments[0].body)
    ))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
