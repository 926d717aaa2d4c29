//! The fuzz targets on a stable compiler: every input of the corpus, and inputs made from them, the same every time. `scripts/fuzz.sh` runs
//! them for longer, led by what they reach.
//!
//! `CLOUD_CODE_FUZZ_INPUTS` says how many inputs each target gets (default: 4,000), `CLOUD_CODE_SEED` where to begin.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs, reason = "tests")]

#[path = "../../../fuzz/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/targets.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

/// What takes longer hangs, on however slow a machine: inputs of 4 KiB take milliseconds.
const HANGS: Duration = Duration::from_secs(60);

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 3, "{target} has seeds");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Tries every input in a thread of its own, so that one that hangs is told.
fn check(target: &'static str) {
    let &(name, function) = targets::TARGETS.iter().find(|row| row.0 == target).unwrap();
    let seeds = corpus(name);
    let (sender, tried) = mpsc::channel::<Vec<u8>>();
    let (answer, done) = mpsc::channel();
    std::thread::spawn(move || {
        for input in tried {
            let result = catch_unwind(AssertUnwindSafe(|| function(&input)));
            if answer.send(result.map_err(|_| input)).is_err() {
                return;
            }
        }
    });
    let mut numbers = mutate::Numbers::new(number("CLOUD_CODE_SEED", 1) as u64);
    let many = number("CLOUD_CODE_FUZZ_INPUTS", 4_000);
    let made = (0..many).map(|_| mutate::input(&seeds, &mut numbers));
    for input in seeds.iter().cloned().chain(made) {
        sender.send(input.clone()).unwrap();
        match done.recv_timeout(HANGS) {
            Ok(Ok(())) => {}
            Ok(Err(_)) => panic!("{name} breaks on {:?}", String::from_utf8_lossy(&input)),
            Err(_) => panic!("{name} hangs on {:?}", String::from_utf8_lossy(&input)),
        }
    }
    println!("{name}: {} seeds and {many} inputs made from them", seeds.len());
}

#[test]
fn workflows() {
    check("workflow");
}

#[test]
fn expressions() {
    check("expression");
}

#[test]
fn task_files() {
    check("task");
}

#[test]
fn step_outputs() {
    check("step_output");
}

#[test]
fn masks() {
    check("mask");
}

#[test]
fn comments() {
    check("comment");
}
