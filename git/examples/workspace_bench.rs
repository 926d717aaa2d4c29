//! Times what a run waits for once a repository is mirrored: a fetch without news, and the creation of a workspace.
//!
//! `workspace_bench URL FOLDER ROUNDS` mirrors the repository at URL below FOLDER, then does both ROUNDS times and prints
//! the first fetch, and the median and the worst of the rounds, in milliseconds, one `name=value` a line.
//! `tests/load/workspace.sh` sets it beside `git clone`.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cloud_code_git::mirror::{MirrorKey, Mirrors};
use cloud_code_git::workspace::{self, WorkspaceSpec};
use cloud_code_git::{GitError, Remote};

fn main() -> Result<(), GitError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(folder), Some(rounds)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err(GitError::Invalid("usage: workspace_bench URL FOLDER ROUNDS".into()));
    };
    let rounds: usize = rounds.parse().map_err(|_| GitError::Invalid("ROUNDS must be a number".into()))?;
    let folder = PathBuf::from(folder);
    let mirrors = Mirrors::new(folder.join("mirrors"));
    let key = MirrorKey::new("localhost", "load", "history")?;
    let remote = Remote::new(url.clone())?;

    let started = Instant::now();
    mirrors.fetch(&key, &remote)?;
    println!("first_fetch_ms={}", started.elapsed().as_millis());

    let mut times = Vec::new();
    for round in 0..rounds {
        let dir = folder.join(format!("workspace-{round}"));
        let started = Instant::now();
        let mirror = mirrors.fetch(&key, &remote)?;
        let base =
            mirror.resolve("HEAD")?.ok_or_else(|| GitError::Invalid("the repository is empty".into()))?;
        workspace::create(&WorkspaceSpec {
            mirror: &mirror,
            base,
            branch: "cloud-code/load",
            dir: &dir,
            objects_at: None,
            remote_url: &url,
            owner: None,
        })?;
        times.push(started.elapsed());
        if round + 1 < rounds {
            workspace::remove(&dir)?;
        }
    }
    times.sort();
    let milliseconds =
        |time: Option<&Duration>| time.map(|time| time.as_secs_f64() * 1000.0).unwrap_or_default();
    println!("workspace_ms={:.1}", milliseconds(times.get(rounds / 2)));
    println!("workspace_worst_ms={:.1}", milliseconds(times.last()));
    Ok(())
}
