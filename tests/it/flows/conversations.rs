//! A comment goes on with the conversation that made the pull request: the files of the CLI are carried from run to run. The CLIs are played
//! by scripts that keep their conversations where the real ones do; the real ones are in `crash/`.

use crate::harness::{LLM_KEY, Options, SHOP, World};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Adds a line to `x.txt`: how often it has been spoken to in this conversation, whether it was resumed, and whether it was told of an earlier
/// run. It writes its key into the conversation, as a CLI does with what a tool printed.
const PLAYER: &str = r##"#!/bin/sh
prompt=$(cat)
case "$prompt" in *"# What an earlier run did"*) note=told;; *) note=untold;; esac
folder=$HOME/FOLDER
case "$*" in
*"RESUME ID"*) how=resumed; [ -f "$folder/FILE" ] || { echo "no such conversation" >&2; exit LOST; } ;;
*) how=fresh; mkdir -p "$folder" ;;
esac
echo "key $OPENAI_API_KEY$GEMINI_API_KEY" >> "$folder/FILE"
keys=$(grep -c OPENKEY "$folder/FILE")
echo "$(grep -c key "$folder/FILE") $how $note keys=$keys" >> x.txt
cat TRANSCRIPT
"##;

const CODEX: &str = "01a206b4-e5b1-7552-b736-f592f63a0954";

/// Programs that play codex and gemini, and a repository whose workflow uses this one.
fn played(cli: &str) -> (TempDir, Options) {
    let dir = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("agent/tests/fixtures");
    for (name, folder, file, resume, lost) in [
        (
            "codex",
            ".codex/sessions/2026/11/23",
            format!("rollout-2026-11-23T01-02-03-{CODEX}.jsonl"),
            "resume",
            "1",
        ),
        ("gemini", ".cloud-code/gemini/none", "none".to_owned(), "--resume", "42"),
    ] {
        let transcript = fixtures.join(name).join("success.jsonl").display().to_string();
        let text = PLAYER
            .replace("FOLDER", folder)
            .replace("RESUME ID", &format!("{resume} {CODEX}"))
            .replace("FILE", &file)
            .replace("LOST", lost)
            .replace("OPENKEY", LLM_KEY)
            .replace("TRANSCRIPT", &transcript);
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let options = Options::default().workflow(&workflow(cli)).env("PATH", path);
    (dir, options.env("OPENAI_API_KEY", LLM_KEY).env("GEMINI_API_KEY", LLM_KEY))
}

fn workflow(cli: &str) -> String {
    format!(
        "name: implement\non:\n  issues: {{ types: [labeled] }}\n  issue_comment: {{ types: [created] }}\njobs:\n  implement:\n    \
         timeout-minutes: 5\n    steps: [{{ id: fix, uses: agent, with: {{ cli: {cli} }} }}]\n"
    )
}

async fn first(world: &World) -> (u64, cloud_code_forge::PullView) {
    let number = world.ask("Count", "");
    let comment = world.expect_comment(number, &["✅ **Done.**"]).await;
    assert!(!comment.body.contains("earlier run"), "{}", comment.body);
    (number, world.expect_pull(number).await)
}

fn lines(world: &World, branch: &str) -> Vec<String> {
    world.file(branch, "x.txt").unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The archives of conversations that the server has kept.
fn archives(world: &World) -> Vec<PathBuf> {
    let attempts = world.data_dir().join("attempts");
    let folders = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    };
    let all = folders(&attempts).into_iter().flat_map(|run| folders(&run)).flat_map(|job| folders(&job));
    all.map(|attempt| attempt.join("kept/session.tar.gz")).filter(|path| path.is_file()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_goes_on_with_the_conversation() {
    let (_programs, options) = played("codex");
    let world = World::start(options).await;
    let (number, pull) = first(&world).await;
    assert_eq!(lines(&world, &pull.head_branch), ["1 fresh untold keys=1"]);
    world.settle().await;
    let packed = archives(&world);
    assert_eq!(packed.len(), 1);
    world.comment("ann", pull.number, "/cloud-code run address the review");
    let went_on = "The agent went on with its conversation of the earlier run.";
    world.expect_comment(pull.number, &["✅ **Done.**", went_on]).await;
    // The key was masked on its way: the second run's own is the only one.
    assert_eq!(lines(&world, &pull.head_branch)[1..], ["2 resumed told keys=1"]);
    // Asked on the issue it is the same branch, and so the same conversation.
    world.comment("ann", number, "/cloud-code run and once more");
    world.expect_comment(number, &["✅ **Done.**", went_on]).await;
    assert_eq!(lines(&world, &pull.head_branch)[2..], ["3 resumed told keys=1"]);
    // Another issue's agent knows nothing of it.
    let other = world.ask("Something else", "");
    world.expect_comment(other, &["✅ **Done.**"]).await;
    let branch = world.expect_pull(other).await.head_branch;
    assert_eq!(lines(&world, &branch), ["1 fresh untold keys=1"]);
    world.settle().await;
    for number in [number, pull.number, other] {
        world.expect_all_comments(number, "✅ **Done.**");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_gone_on_with_is_begun_anew_and_that_is_said() {
    let (_programs, options) = played("codex");
    let world = World::start(options).await;
    let (_, pull) = first(&world).await;
    world.settle().await;
    for (harm, why) in [(Some("no archive"), "its archive cannot be read"), (None, "its files were not kept")]
    {
        for archive in archives(&world) {
            match harm {
                Some(text) => fs::write(archive, text).unwrap(),
                None => fs::remove_file(archive).unwrap(),
            }
        }
        world.comment("ann", pull.number, "/cloud-code run address the review");
        world
            .expect_comment(
                pull.number,
                &["✅ **Done.**", "could not be gone on with", why, "a note of what was done"],
            )
            .await;
        world.settle().await;
    }
    assert_eq!(lines(&world, &pull.head_branch)[1..], ["1 fresh told keys=1", "1 fresh told keys=1"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cli_goes_on_from_the_note() {
    let (_programs, options) = played("codex");
    let world = World::start(options).await;
    let (_, pull) = first(&world).await;
    world.settle().await;
    world.forge.commit_file(SHOP, "main", ".cloud-code/implement.yml", &workflow("gemini")).unwrap();
    world.comment("ann", pull.number, "/cloud-code run address the review");
    world
        .expect_comment(pull.number, &["✅ **Done.**", "it was had with codex, and this step uses gemini"])
        .await;
    assert_eq!(lines(&world, &pull.head_branch)[1..], ["1 fresh told keys=1"]);
    world.settle().await;
    world.finish().await;
}
