//! The real `claude` program in its real image, from a signed webhook to a pull request; only the model is played.
//! Needs the image cloud-code-agent-claude-code and `CLOUD_CODE_TEST_DOCKER=1`.

use super::containers::wanted;
use super::world::{PATIENCE, REPOSITORY, World};
use cloud_code_forge::llm::{LlmServer, Script, Turn, Usage};
use cloud_code_model::run::Run;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const KEY: &str = "sk-ant-test-0123456789-abcdefghij-KLMNOP";

const WORKFLOW: &str = r#"name: implement
on:
  issues: { types: [labeled] }
jobs:
  implement:
    timeout-minutes: 5
    steps:
      - id: fix
        uses: agent
        with: { cli: claude-code, model: claude-sonnet-4-5, max-turns: 20 }
      - name: Tests
        run: test "$(sh greet.sh Ada)" = "hello, Ada"
"#;

/// A world whose server hands this model to containers: `key` and the base URL's variable, with what follows the root there.
pub(super) async fn world_with(
    workflow: &str,
    key: (&str, &str),
    base: (&str, &str),
    turns: Vec<Turn>,
) -> (World, LlmServer) {
    // Containers do not reach loopback.
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let llm = LlmServer::bind(any, vec![Script { when: None, turns }]).await.unwrap();
    let mut world = World::with_workflow(workflow).await;
    for (name, value) in [
        ("RUNNER", "docker"),
        ("DOCKER_EXTRA_HOSTS", "host.docker.internal:host-gateway"),
        key,
        (base.0, &format!("http://host.docker.internal:{}{}", llm.address().port(), base.1)),
    ] {
        world.set(name, value);
    }
    world.start().await;
    (world, llm)
}

async fn world(turns: Vec<Turn>) -> (World, LlmServer) {
    world_with(WORKFLOW, ("ANTHROPIC_API_KEY", KEY), ("ANTHROPIC_BASE_URL", ""), turns).await
}

/// The key is nowhere: not in the log, the comment, the pull request, the database, or any kept file.
pub(super) fn key_is_nowhere(world: &World, number: u64, key: &str) {
    let mut places = vec![("the log".to_owned(), world.log().into_bytes())];
    for comment in world.forge.comments(REPOSITORY, number).unwrap() {
        places.push(("a comment".to_owned(), comment.body.into_bytes()));
    }
    for pull in world.forge.pulls(REPOSITORY).unwrap() {
        places.push(("the pull request".to_owned(), pull.body.into_bytes()));
        places.push((
            "the diff".to_owned(),
            world.forge.pull_diff(REPOSITORY, pull.number).unwrap().into_bytes(),
        ));
    }
    for request in world.forge.requests() {
        places.push((format!("{} {}", request.method, request.path), request.body.into_bytes()));
    }
    let files = files(&world.data_dir());
    assert!(files.iter().any(|path| path.ends_with("cloud-code.db")), "{files:?}");
    places.extend(files.into_iter().map(|path| (path.display().to_string(), fs::read(&path).unwrap())));
    for (place, bytes) in places {
        let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
        assert!(!found, "the key is in {place}");
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(files(&entry.path())),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

async fn transcript(world: &World, run: &Run) -> String {
    let path = format!("/api/v1/runs/{}/transcript?job=implement&attempt=1", run.id);
    let (status, body) = world.api("GET", &path).await;
    assert_eq!(status, 200, "{body}");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_makes_a_pull_request() {
    if !wanted() {
        return;
    }
    let usage = Usage { input_tokens: 2_000, output_tokens: 300, ..Usage::default() };
    let script = "#!/bin/sh\necho \"hello, ${1:-world}\"\n";
    let turns = vec![
        Turn::bash("cat greet.sh && echo key=$ANTHROPIC_API_KEY").costing(usage),
        Turn::write("/workspace/greet.sh", script).costing(usage),
        Turn::bash("git config user.name Claude && git config user.email c@example.com && git commit -qam 'Greet people by name'")
            .costing(usage),
        Turn::text("The greeting takes a name now.").costing(usage),
    ];
    let (mut world, llm) = world(turns).await;
    let number = world.labelled_issue();
    world.labelled(number, "cloud-code:done").await;
    let run = world.exactly_one_pull(number).await;

    let pull = &world.forge.pulls(REPOSITORY).unwrap()[0];
    let diff = world.forge.pull_diff(REPOSITORY, pull.number).unwrap();
    assert!(diff.contains("+echo \"hello, ${1:-world}\""), "{diff}");
    assert!(pull.body.contains("The greeting takes a name now."), "{}", pull.body);

    // The prompt reached the model, with the key, and the tools' results did.
    let requests = llm.requests();
    let main: Vec<_> = requests.iter().filter(|request| request.main).collect();
    assert_eq!(
        main.len(),
        4,
        "{:?}",
        main.iter().map(|request| (request.turn, request.status)).collect::<Vec<_>>()
    );
    assert!(main.iter().all(|request| request.key.as_deref() == Some(KEY)));
    assert!(
        main[0].prompt.contains("Greet people by name")
            && main[0].prompt.contains("The greeting lacks a name.")
    );

    // What it cost is told: four turns of 2,000 and 300 tokens; a model's price is the CLI's to know.
    let usage = run.usage();
    assert!(usage.input_tokens >= 8_000 && usage.output_tokens >= 1_200, "{usage:?}");
    assert!(usage.cost_usd.is_some_and(|cost| cost > 0.01), "{usage:?}");
    let comment = &world.forge.comments(REPOSITORY, number).unwrap()[0].body;
    let cost = format!("${:.2}", usage.cost_usd.unwrap());
    assert!(comment.contains(&cost) && comment.contains(" tokens"), "no {cost}: {comment}");

    let transcript = transcript(&world, &run).await;
    assert!(
        transcript.contains("The greeting takes a name now.") && transcript.contains("key=***"),
        "{transcript}"
    );
    world.terminate(PATIENCE).await;
    key_is_nowhere(&world, number, KEY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_an_honest_failure() {
    if !wanted() {
        return;
    }
    let (mut world, llm) = world(vec![Turn::Unauthorized; 30]).await;
    let number = world.labelled_issue();
    world.labelled(number, "cloud-code:failed").await;
    world.quiet().await;
    let comment = &world.forge.comments(REPOSITORY, number).unwrap()[0].body;
    assert!(comment.contains("401") || comment.to_lowercase().contains("api key"), "{comment}");
    assert!(comment.contains("Nothing was pushed"), "{comment}");
    assert!(world.forge.pulls(REPOSITORY).unwrap().is_empty());
    // Nobody goes on knocking with a bad key.
    let tries = llm.requests().iter().filter(|request| request.main).count();
    assert!((1..=6).contains(&tries), "{tries} tries");
    world.nothing_left();
    world.terminate(PATIENCE).await;
    key_is_nowhere(&world, number, KEY);
}

/// A comment on the pull request goes on with the conversation that made it, in another container; the key is in neither.
#[tokio::test(flavor = "multi_thread")]
async fn a_comment_on_the_pull_request_resumes_the_session() {
    if !wanted() {
        return;
    }
    let workflow = WORKFLOW.replace("on:\n", "on:\n  issue_comment: { types: [created] }\n");
    let turns = vec![
        Turn::bash(
            "printf '%s\\n' '#!/bin/sh' 'echo \"hello, ${1:-world}\"' > greet.sh; echo key=$ANTHROPIC_API_KEY",
        ),
        Turn::text("The greeting takes a name now."),
        Turn::bash("echo '# Greets by name.' >> greet.sh"),
        Turn::text("It says so in a comment now."),
    ];
    let key = ("ANTHROPIC_API_KEY", KEY);
    let (mut world, llm) = world_with(&workflow, key, ("ANTHROPIC_BASE_URL", ""), turns).await;
    let number = world.labelled_issue();
    world.labelled(number, "cloud-code:done").await;
    world.exactly_one_pull(number).await;
    let pull = world.forge.pulls(REPOSITORY).unwrap()[0].clone();

    world.forge.comment(REPOSITORY, "ada", pull.number, "/cloud-code run say what it does").unwrap();
    world.labelled(pull.number, "cloud-code:done").await;
    let (runs, _) = world.quiet().await;
    let session = |run: &Run| run.jobs[0].attempts[0].report.as_ref().unwrap().sessions[0].clone();
    let of = |subject: u64| runs.iter().find(|run| run.subject.number == subject).expect("its run");
    let (first, second) = (session(of(number)), session(of(pull.number)));
    assert_eq!((first.resumed, second.resumed), (false, true), "{second:?}");
    assert_eq!(first.id, second.id);
    // It answered with the turns that come after those of the first run: it heard them.
    let served: Vec<_> = llm
        .requests()
        .into_iter()
        .filter(|request| request.main)
        .filter_map(|request| request.turn)
        .collect();
    assert_eq!(served, [0, 1, 2, 3]);
    let comments = world.forge.comments(REPOSITORY, pull.number).unwrap();
    assert!(
        comments.iter().any(|comment| comment.body.contains("went on with its conversation")),
        "{comments:#?}"
    );
    let text = world.forge.read_file(REPOSITORY, &pull.head_branch, "greet.sh").unwrap().unwrap();
    assert!(String::from_utf8_lossy(&text).ends_with("# Greets by name.\n"));
    world.terminate(PATIENCE).await;
    key_is_nowhere(&world, number, KEY);
}
