//! `cloud-code runs …` against a real server on loopback.

use super::world::{TOKEN, World, done, failed, noon, queued, running};
use clap::Parser;
use cloud_code::entry::cli::runs::{RunsArgs, Surroundings, execute_in};
use cloud_code::ports::{Artifact, Store};
use cloud_code_model::run::{Input, Run, step};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    runs: RunsArgs,
}

fn surroundings(token: Option<&str>) -> Surroundings {
    Surroundings { token: token.map(str::to_owned), terminal: false, colours: false, now: Some(noon()) }
}

/// What the command prints, or its error.
async fn runs_in(surroundings: Surroundings, server: &str, args: &str) -> Result<String, String> {
    let words = ["runs", "--server", server].into_iter().chain(args.split_whitespace());
    let args = Cli::try_parse_from(words).map_err(|error| error.to_string())?.runs;
    let mut out = Vec::new();
    execute_in(args, &surroundings, &mut out)
        .await
        .map_err(|error| error.to_string().replace(server, "SERVER"))?;
    Ok(String::from_utf8(out).unwrap())
}

async fn runs(server: &str, args: &str) -> Result<String, String> {
    runs_in(surroundings(Some(TOKEN)), server, args).await
}

#[tokio::test]
async fn lists() {
    let world = World::new();
    let server = world.serve().await;
    assert_eq!(runs(&server, "list").await.unwrap(), "no runs\n");
    world.keep(&done("d-1", "Totals are wrong")).await;
    world
        .keep(&running("d-2", "A title that goes on and on, as titles do when nobody stops them in time"))
        .await;
    world
        .keep(&failed("d-3", "bad \u{1b}]0;owned\u{7} title", "the change touches .github/workflows/ci.yml"))
        .await;
    insta::assert_snapshot!(runs(&server, "list").await.unwrap(), @r#"
    RUN                     STATUS         ISSUE         STARTED     TITLE
    r-db680556bc93da1da469  ✗ failure      acme/shop#42  10 min ago  bad �]0;owned� title
    r-af46b3cb366eea8c14eb  ✓ success      acme/shop#42  10 min ago  Totals are wrong
    r-8a8820678e6e14888ff2  ● in progress  acme/shop#42  10 min ago  A title that goes on and on, as titles do when nobody stops…
    "#);
    let coloured = Surroundings { colours: true, ..surroundings(Some(TOKEN)) };
    let coloured = runs_in(coloured, &server, "list --status completed --limit 1").await.unwrap();
    assert!(
        coloured.contains("\u{1b}[32m✓ success\u{1b}[0m")
            || coloured.contains("\u{1b}[31m✗ failure\u{1b}[0m"),
        "{coloured}"
    );
    assert!(coloured.contains("more: --cursor "), "{coloured}");
    let json: serde_json::Value = serde_json::from_str(&runs(&server, "list --json").await.unwrap()).unwrap();
    assert_eq!(json["runs"].as_array().unwrap().len(), 3);
    assert_eq!(runs(&server, "list --repository acme/none").await.unwrap(), "no runs\n");
}

#[tokio::test]
async fn shows() {
    let world = World::new();
    let server = world.serve().await;
    let well = done("d-1", "Totals are wrong");
    world.keep(&well).await;
    insta::assert_snapshot!(runs(&server, &format!("show {}", well.id)).await.unwrap(), @r#"
    ✓ success  Totals are wrong  acme/shop#42

      run       r-af46b3cb366eea8c14eb
      issue     https://github.example/acme/shop/issues/42
      workflow  implement (built-in:implement)
      started   10 min ago by ada (issues labeled)
      took      8 min 0 s
      cost      $0.42 (12.3k tokens in, 800 cached, 950 out)
      branch    cloud-code/issue-42 at 77ab0c11d2e3 (3 files, +40 −2, 1 commit)
      pull      https://github.example/acme/shop/pull/43 (draft)

    implement  ✓ success  7 min 0 s
      ✓ agent
      ✓ cargo test

    Being tried again
      tell after 1 try, next in 4 min: the forge did not answer: <connection refused>

    History
      10 min ago    queued by ada (issues labeled)
      9 min ago     implement: attempt 1 launched
      8 min ago     implement: attempt 1 runs
      3 min ago     implement: attempt 1 finished (success), publishing
      2 min ago     implement: pushed cloud-code/issue-42 at 77ab0c11d2e3f4a5b6c7d8e9f00112233445566a
      2 min ago     implement: success
    "#);
    let badly =
        failed("d-2", "Totals are wrong", "the change touches .github/workflows/ci.yml, which is protected");
    world.keep(&badly).await;
    insta::assert_snapshot!(runs(&server, &format!("show {}", badly.id)).await.unwrap(), @r#"
    ✗ failure  Totals are wrong  acme/shop#42
      the change touches .github/workflows/ci.yml, which is protected

      run       r-8a8820678e6e14888ff2
      issue     https://github.example/acme/shop/issues/42
      workflow  implement (built-in:implement)
      started   10 min ago by ada (issues labeled)
      took      9 min 0 s
      cost      $0.42 (12.3k tokens in, 800 cached, 950 out)

    implement  ✗ failure  8 min 0 s
      ✓ agent
      – cargo test

    History
      10 min ago    queued by ada (issues labeled)
      9 min ago     implement: attempt 1 launched
      8 min ago     implement: attempt 1 runs
      1 min ago     implement: failure
    "#);
    let waiting = queued("d-3", "Totals are wrong");
    world.keep(&waiting).await;
    insta::assert_snapshot!(runs(&server, &format!("show {}", waiting.id)).await.unwrap(), @r#"
    ○ queued  Totals are wrong  acme/shop#42

      run       r-db680556bc93da1da469
      issue     https://github.example/acme/shop/issues/42
      workflow  implement (built-in:implement)
      started   10 min ago by ada (issues labeled)
      took      10 min 0 s so far

    implement  ○ queued

    History
      10 min ago    queued by ada (issues labeled)
    "#);
    let json = runs(&server, &format!("show {} --json", well.id)).await.unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["conclusion"], "success");
}

#[tokio::test]
async fn logs() {
    let world = World::new();
    let server = world.serve().await;
    let run = failed("d-1", "t", "bad");
    world.keep(&run).await;
    let large = "0123456789abcdef".repeat(100_000) + "\u{1b}[2Jend\n";
    world.write(&run, Artifact::Log, large.as_bytes()).await;
    assert!(runs(&server, &format!("logs {}", run.id)).await.unwrap() == large);
    let terminal = Surroundings { terminal: true, ..surroundings(Some(TOKEN)) };
    let shown = runs_in(terminal, &server, &format!("logs {} --follow", run.id)).await.unwrap();
    assert!(shown.ends_with("efJend\n"), "{}", &shown[shown.len() - 20..]);
    assert_eq!(
        runs(&server, &format!("logs {} --job x", run.id)).await.unwrap_err(),
        "the run has no job \"x\"; its jobs: implement (HTTP 404)"
    );
}

#[tokio::test]
async fn a_followed_log_goes_on_to_the_end() {
    let world = World::new();
    let server = world.serve().await;
    let run = running("d-1", "t");
    world.keep(&run).await;
    world.write(&run, Artifact::Log, b"one\n").await;
    let args = format!("logs {} -f", run.id);
    let following = tokio::spawn(async move { runs(&server, &args).await });
    world.write(&run, Artifact::Log, b"one\ntwo\n").await;
    end(&world, &run).await;
    assert_eq!(following.await.unwrap().unwrap(), "one\ntwo\n");
}

async fn end(world: &World, run: &Run) {
    let mut stored = world.store.load(&run.id).await.unwrap().unwrap();
    let refused = Input::ReportRefused { job: "implement".to_owned(), attempt: 1, reason: "bad".to_owned() };
    step(&mut stored.run, refused, noon());
    world.store.save(&stored.run, stored.version).await.unwrap();
}

#[tokio::test]
async fn cancels() {
    let world = World::new();
    let server = world.serve().await;
    let run = running("d-1", "t");
    world.keep(&run).await;
    let said = runs(&server, &format!("cancel {}", run.id)).await.unwrap();
    assert_eq!(said, format!("{} is being cancelled\n", run.id));
    assert!(world.store.load(&run.id).await.unwrap().unwrap().run.cancel.is_some());
    let over = done("d-2", "t");
    world.keep(&over).await;
    let said = runs(&server, &format!("cancel {}", over.id)).await.unwrap();
    assert_eq!(said, format!("{} had ended before; nothing was changed\n", over.id));
    let json = runs(&server, &format!("cancel {} --json", over.id)).await.unwrap();
    assert!(json.contains("\"outcome\": \"already_over\""), "{json}");
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let world = World::new();
    let server = world.serve().await;
    let error = async |token: Option<&str>, server: &str, args: &str| {
        runs_in(surroundings(token), server, args).await.unwrap_err()
    };
    insta::assert_snapshot!(error(None, &server, "list").await, @r#"
    SERVER let nothing be read: an API token is needed: one of those in the server's API_TOKENS
    Set CLOUD_CODE_TOKEN, or give --token-file, with one of the tokens in the server's API_TOKENS.
    "#);
    insta::assert_snapshot!(error(Some("wrong"), &server, "list").await, @r#"
    SERVER let nothing be read: this is none of the tokens in the server's API_TOKENS
    Set CLOUD_CODE_TOKEN, or give --token-file, with one of the tokens in the server's API_TOKENS.
    "#);
    insta::assert_snapshot!(error(Some(TOKEN), &server, "show r-00000000000000000000").await, @r#"there is no run r-00000000000000000000 (HTTP 404)"#);
    insta::assert_snapshot!(error(Some(TOKEN), "127.0.0.1:1", "list").await, @r#""SERVER" is no address of a server: give --server or CLOUD_CODE_SERVER as http://HOST:PORT or https://HOST"#);
    insta::assert_snapshot!(error(Some(TOKEN), "http://127.0.0.1:1", "list").await, @r#"
    cannot connect to SERVER: io: Connection refused (os error 111)
    Is the server running (cloud-code serve)? Is --server or CLOUD_CODE_SERVER right?
    "#);
    insta::assert_snapshot!(error(Some(TOKEN), &server, "list --token-file /nowhere/token").await, @r#"cannot read the token file /nowhere/token: No such file or directory (os error 2)"#);
    insta::assert_snapshot!(error(Some(TOKEN), &server, "show 17").await, @r#"
    error: invalid value '17' for '<RUN>': a run's id is r- and 20 hexadecimal digits; `cloud-code runs list` shows them

    For more information, try '--help'.
    "#);
    let foreign =
        axum::Router::new().fallback(async || (axum::http::StatusCode::BAD_GATEWAY, "<html>bad gateway"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, foreign).await.unwrap() });
    insta::assert_snapshot!(error(Some(TOKEN), &address, "list").await, @r#"SERVER gave an answer that is not Cloud Code's: HTTP 502"#);
}

#[tokio::test]
async fn a_token_from_a_file() {
    let world = World::new();
    let server = world.serve().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{TOKEN}\n")).unwrap();
    let args = format!("list --token-file {}", file.path().display());
    assert_eq!(runs_in(surroundings(None), &server, &args).await.unwrap(), "no runs\n");
}
