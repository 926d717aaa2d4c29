//! What starts a run besides issues: the clock, somebody's wish, an event from elsewhere, a pull request that changes certain files.

use crate::harness::{API_TOKEN, Options, SHOP, World, indented, program};
use cloud_code::adapters::vps::sql::Database;
use cloud_code::http::api::view::ApiRun;
use cloud_code::ports::{Store, SystemClock};
use cloud_code_forge::{Access, VariableScope};
use jiff::SignedDuration;
use serde_json::json;
use std::sync::Arc;

/// A workflow of one step.
fn workflow(on: &str, step: &str) -> String {
    format!("name: w\non: {on}\njobs:\n  a:\n    steps:\n      - run: |\n{}", indented(step, 10))
}

impl World {
    /// The runs that a kind of event started, newest first, once there are so many and all of them are over.
    async fn started_by(&self, event: &str, count: usize) -> Vec<ApiRun> {
        self.until(&format!("{count} runs by {event}"), async || {
            let mut runs = self.runs().await;
            runs.retain(|run| run.trigger.event == event);
            (runs.len() == count && runs.iter().all(ApiRun::is_over)).then_some(runs)
        })
        .await
    }

    /// `cloud-code …` against this world's server: what it prints, and whether it succeeded.
    async fn cli(&self, args: &[&str]) -> (bool, String) {
        let mut command = program(self.dir());
        command.args(args).env("CLOUD_CODE_TOKEN", API_TOKEN);
        command.env("CLOUD_CODE_SERVER", format!("http://{}", self.setting("LISTEN_ADDR")));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }
}

fn assert_success(run: &ApiRun) {
    assert_eq!(run.conclusion.as_deref(), Some("no_changes"), "{:?} {:#?}", run.reason, run.history);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_also_for_what_was_due_while_the_server_was_down() {
    let mut world = World::start(Options::default()).await;
    let step = "test '${{ github.event_name }} ${{ github.event.schedule }}' = 'schedule 30 3 1 1 *'";
    let text = workflow("{ schedule: [{ cron: '30 3 1 1 *', timezone: Europe/Paris }] }", step);
    world.forge.commit_file(SHOP, "main", ".cloud-code/yearly.yml", &text).unwrap();
    world.expect_decision("ignored", "nothing starts on `push`").await;
    world.settle().await;
    world.stop_server().await;
    let url = format!("sqlite:{}", world.data_dir().join("cloud-code.db").display());
    let database = Database::open(&url, Arc::new(SystemClock)).await.unwrap();
    let (mut known, version) = database.store().schedules(SHOP).await.unwrap().unwrap();
    let due = known.lines[0].next;
    assert!(known.refresh_at.is_some());
    known.lines[0].next = jiff::Timestamp::now() - SignedDuration::from_hours(50 * 24);
    assert!(database.store().save_schedules(&known, version).await.unwrap());
    database.close().await;
    world.start_server().await;
    let runs = world.started_by("schedule", 1).await;
    assert_success(&runs[0]);
    assert_eq!(runs[0].trigger.actor, format!("{}[bot]", world.forge.app().slug));
    assert_eq!(runs[0].workflow.path, ".cloud-code/yearly.yml");
    world.settle().await;
    world.stop_server().await;
    let database = Database::open(&url, Arc::new(SystemClock)).await.unwrap();
    let (known, _) = database.store().schedules(SHOP).await.unwrap().unwrap();
    assert_eq!(known.lines[0].next, due);
    database.close().await;
    world.start_server().await;
    assert_eq!(world.runs().await.len(), 1);
    world.finish().await;
}

const DEPLOY: &str = "
  workflow_dispatch:
    inputs:
      to: { type: choice, options: [test, prod] }
      times: { type: number, default: 2 }
      dry: { type: boolean, required: true }
  workflow_call: { inputs: { other: { type: string } } }";

#[tokio::test(flavor = "multi_thread")]
async fn somebodys_wish_with_inputs() {
    let step = "test '${{ inputs.to }} ${{ inputs.times < 3 }} ${{ inputs.dry && 1 || 0 }} ${{ github.event.inputs.times }} ${{ github.ref_name }}' = \"$EXPECTED\"";
    let text = workflow(DEPLOY, step)
        .replace("    steps:", "    env: { EXPECTED: 'prod true 0 2 main' }\n    steps:");
    let other = workflow("push", "exit 1");
    let options =
        Options::default().file(".cloud-code/deploy.yml", &text).file(".cloud-code/other.yml", &other);
    let world = World::start(options).await;
    let start = ["runs", "start", "deploy.yml", "--repository", "Acme/Shop"];
    for (more, expected) in [
        (&[][..], "the input `dry` is required"),
        (&["-f", "dry=perhaps"], "true or false, not `perhaps`"),
        (&["-f", "dry=true", "-f", "to=moon"], "one of `test`, `prod`, not `moon`"),
        (&["-f", "dry=true", "-f", "other=1"], "there is no input `other`"),
        (&["-f", "dry=true", "--by", "ron"], "ron has no write access"),
    ] {
        let (done, said) = world.cli(&[&start[..], more].concat()).await;
        assert!(!done && said.contains(expected) && said.contains("409"), "{more:?}: {said}");
    }
    for (args, expected) in [
        (["other.yml", SHOP], "does not start on `workflow_dispatch`"),
        (["none.yml", SHOP], "there is no workflow `none.yml`; there are `.cloud-code/deploy.yml`"),
        (["deploy.yml", "acme/none"], "there is no repository acme/none"),
    ] {
        let (done, said) = world.cli(&["runs", "start", args[0], "--repository", args[1]]).await;
        assert!(!done && said.contains(expected), "{args:?}: {said}");
    }
    assert!(world.runs().await.is_empty());
    let (done, said) =
        world.cli(&[&start[..], &["-f", "to=prod", "-f", "dry=false", "--by", "wes"]].concat()).await;
    assert!(done, "{said}");
    let runs = world.started_by("workflow_dispatch", 1).await;
    assert_success(&runs[0]);
    assert_eq!((runs[0].trigger.actor.as_str(), runs[0].subject.number), ("wes", 0));
    assert_eq!(said, format!("deploy.yml of Acme/Shop runs as {}\n", runs[0].id));
    assert_eq!(runs[0].repository, SHOP, "as the forge writes it");

    // By a comment it is about the issue.
    let number = world.open_issue("Deploy", "");
    world.comment("ann", number, "/cloud-code run deploy.yml dry=x");
    world.expect_comment(number, &["the input `dry` is true or false, not `x`"]).await;
    world.comment("ann", number, "/cloud-code run nothing.yml");
    world.expect_comment(number, &["no workflow `nothing.yml`"]).await;
    world.comment("ron", number, "/cloud-code run deploy.yml dry=true");
    world.expect_comment(number, &["@ron, nothing was started"]).await;
    world.comment("ann", number, "/cloud-code run deploy.yml dry=no to=prod");
    world.expect_comment(number, &["true or false, not `no`"]).await;
    world.comment("ann", number, "/cloud-code run deploy.yml to=\"prod\" dry=false");
    world.expect_comment(number, &["➖ **No changes.**"]).await;
    let run = world.expect_conclusion(number, "no_changes").await;
    assert_eq!((run.trigger.event.as_str(), run.trigger.actor.as_str()), ("workflow_dispatch", "ann"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_from_elsewhere() {
    let step =
        "test '${{ github.event.action }} ${{ github.event.client_payload.version }}' = 'released 1.2'";
    let text = workflow("{ repository_dispatch: { types: [released] } }", step);
    let world = World::start(Options::default().file(".cloud-code/released.yml", &text)).await;
    let installation = world.forge.install_app(SHOP).unwrap();
    let event = |kind: &str, who: &str| {
        json!({
            "action": kind,
            "branch": "main",
            "client_payload": { "version": "1.2" },
            "repository": { "name": "shop", "full_name": SHOP, "owner": { "login": "acme" }, "default_branch": "main" },
            "installation": { "id": installation },
            "sender": { "login": who, "type": "User" },
        })
    };
    world.forge.deliver("repository_dispatch", &event("built", "ann"));
    world.expect_decision("ignored", "nothing starts on `repository_dispatch` `built`").await;
    world.forge.deliver("repository_dispatch", &event("released", "ron"));
    world.expect_decision("refused", "only people with write access").await;
    world.forge.deliver("repository_dispatch", &event("released", "ann"));
    let runs = world.started_by("repository_dispatch", 1).await;
    assert_success(&runs[0]);
    // GitHub's own dispatch of a workflow of its own, whose file has the name of one of ours.
    let mut theirs = event("", "ann");
    theirs["workflow"] = ".github/workflows/released.yml".into();
    world.forge.deliver("workflow_dispatch", &theirs);
    world.expect_decision("ignored", "nothing starts on `workflow_dispatch`").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_changes_what_a_filter_takes() {
    let files = [
        ("docs", "{ pull_request: { paths: ['docs/**', '!docs/private/**'] } }"),
        ("code", "{ pull_request: { paths-ignore: ['docs/**'] } }"),
        ("all", "{ pull_request: {} }"),
    ];
    let options = files.iter().fold(Options::default(), |options, (name, on)| {
        let text = workflow(on, "true").replace("name: w", &format!("name: {name}"));
        options.file(&format!(".cloud-code/{name}.yml"), &text)
    });
    let world = World::start(options).await;
    let mut total = 0;
    for (branch, path, expected) in [
        ("one", "docs/a.md", &["all", "docs"][..]),
        ("two", "docs/private/a.md", &["all"]),
        ("three", "src/a.rs", &["all", "code"]),
    ] {
        world.forge.commit_file(SHOP, branch, path, "x\n").unwrap();
        let number = world.forge.open_pull(SHOP, "ann", path, "", branch).unwrap();
        total += expected.len();
        let runs = world.started_by("pull_request", total).await;
        let mut names: Vec<_> = runs
            .iter()
            .filter(|run| run.subject.number == number)
            .map(|run| run.workflow.name.as_str())
            .collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{path}");
        world.settle().await;
        world.expect_all_comments(number, "No changes.");
    }
    world.finish().await;
}

const VARS: &str = "name: vars
on: { workflow_dispatch: {} }
jobs:
  head:
    if: vars.REGION == 'north'
    steps: [{ run: \"test '${{ vars.REGION }} ${{ vars.OWNED }} ${{ vars.region }}' = 'north by-acme north'\" }]
  gated:
    environment: production
    steps: [{ run: \"test '${{ vars.REGION }} ${{ vars.OWNED }}' = 'south by-acme'\" }]
  none:
    if: vars.NONE == ''
    steps: [{ run: \"test '${{ vars.NONE }}' = ''\" }]
";

#[tokio::test(flavor = "multi_thread")]
async fn the_variables_that_people_have_set() {
    let options = Options::default()
        .file(".cloud-code/vars.yml", VARS)
        .file(".cloud-code/environments.yml", "production: {}\n");
    let world = World::start(options).await;
    let start = ["runs", "start", "vars.yml", "--repository", SHOP];
    // Without the permission there are none, and the run says so.
    let (done, said) = world.cli(&start).await;
    assert!(done, "{said}");
    let runs = world.started_by("workflow_dispatch", 1).await;
    let results = |run: &ApiRun| {
        run.jobs.iter().map(|job| job.conclusion.clone().unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(results(&runs[0]), ["skipped", "failure", "no_changes"]);
    let said = runs[0].history.iter().filter(|entry| entry.what.contains("`vars` is empty"));
    let said: Vec<_> = said.map(|entry| entry.what.as_str()).collect();
    assert!(said.len() == 1 && said[0].contains("actions_variables: read"), "{said:?}");

    let write =
        ["checks", "contents", "issues", "pull_requests"].map(|name| (name.to_owned(), Access::Write));
    let read = ["metadata", "actions_variables", "environments"].map(|name| (name.to_owned(), Access::Read));
    let permissions = write.into_iter().chain(read).collect();
    world.forge.install_app_with(SHOP, &permissions).unwrap();
    let set = |scope, name: &str, value: &str| world.forge.set_variable(SHOP, scope, name, value).unwrap();
    set(VariableScope::Organization, "REGION", "west");
    set(VariableScope::Organization, "OWNED", "by-acme");
    set(VariableScope::Repository, "REGION", "north");
    set(VariableScope::Environment("production".to_owned()), "REGION", "south");
    for number in 0..40 {
        set(VariableScope::Repository, &format!("A{number}"), "x");
    }
    let (done, said) = world.cli(&start).await;
    assert!(done, "{said}");
    let runs = world.started_by("workflow_dispatch", 2).await;
    assert_eq!(results(&runs[0]), ["no_changes", "no_changes", "no_changes"], "{:#?}", runs[0].history);
    world.finish().await;
}
