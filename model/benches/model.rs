//! What the model costs, and that it grows with what it is given and no faster: each figure at a size and at four times that size.
//!
//! ```text
//! cargo bench -p cloud-code-model
//! ```
//!
//! Prints a line a figure. The best of several rounds counts: what else runs on a machine only ever adds. Nothing here fails for being slow;
//! the simulated steps a second are printed by `cargo test --release --test simulation -- --nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    dead_code,
    missing_docs,
    reason = "a benchmark"
)]

#[path = "../tests/jobs/world.rs"]
mod world;

use cloud_code_model::expression::{Contexts, Expression, JobStatus, Value};
use cloud_code_model::run::{Conclusion, preview};
use cloud_code_model::workflow;
use serde_json::json;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

fn best(mut work: impl FnMut()) -> Duration {
    let once = |work: &mut dyn FnMut()| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    };
    let first = once(&mut work);
    // About a second in all.
    let rounds = (1.0 / first.as_secs_f64().max(1e-9)).clamp(3.0, 2_000.0) as usize;
    (0..rounds).map(|_| once(&mut work)).min().unwrap_or(first).min(first)
}

fn shown(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1e-3 => format!("{:.2} µs", seconds * 1e6),
        seconds => format!("{:.2} ms", seconds * 1e3),
    }
}

/// One figure at a size and at four times that.
fn figure(what: &str, size: usize, mut cost: impl FnMut(usize) -> Duration) -> Duration {
    let (small, large) = (cost(size), cost(4 * size));
    let ratio = large.as_secs_f64() / small.as_secs_f64();
    println!("{what} | {size}: {} | {}: {} | {ratio:.1}×", shown(small), 4 * size, shown(large));
    small
}

fn jobs(many: usize) -> String {
    let mut text = String::from("name: many\non: { issues: { types: [labeled] } }\njobs:\n");
    for job in 0..many {
        let needs = if job > 0 { format!("    needs: j{}\n", job - 1) } else { String::new() };
        write!(
            text,
            "  j{job}:\n    runs-on: docker\n{needs}    steps:\n      - uses: actions/checkout@v4\n      - id: s\n        run: echo ${{{{ github.sha }}}}\n        env: {{ A: '${{{{ runner.os }}}}' }}\n      - run: echo ${{{{ steps.s.outputs.x }}}}\n        if: success() && github.ref == 'refs/heads/main'\n"
        )
        .unwrap();
    }
    text
}

fn lint(many: usize) -> Duration {
    let text = jobs(many);
    let findings = workflow::lint("w.yml", &text);
    assert!(findings.is_empty(), "{findings:?}");
    best(|| drop(black_box(workflow::lint("w.yml", black_box(&text)))))
}

/// What a reader without places or checks takes for the same text.
fn plain_yaml(many: usize) -> Duration {
    let text = jobs(many);
    best(|| drop(black_box(serde_yaml::from_str::<serde_yaml::Value>(black_box(&text)).unwrap())))
}

fn plan(many: usize) -> Duration {
    let values: Vec<String> = (0..many / 4).map(|value| value.to_string()).collect();
    let text = format!(
        "on: issues\njobs:\n  a:\n    name: 'a ${{{{ matrix.x }}}} ${{{{ matrix.y }}}}'\n    strategy: {{ matrix: {{ x: [a, b, c, d], y: [{}] }} }}\n    steps: [{{ run: 'echo ${{{{ matrix.x }}}}' }}]\n",
        values.join(", ")
    );
    let workflow = workflow::read("w.yml", &text).unwrap();
    let event = json!({ "event_name": "issues", "event": { "action": "opened", "issue": { "number": 1 } } });
    let asked = preview::Asked::from_json(&event, None).unwrap();
    assert_eq!(preview::preview(&workflow, &asked)["jobs"].as_array().unwrap().len(), many);
    best(|| drop(black_box(preview::preview(&workflow, &asked))))
}

fn contexts() -> Contexts {
    let github = json!({ "ref": "refs/heads/main", "event": { "issue": { "labels": [{ "name": "bug" }, { "name": "ui" }] } } });
    Contexts::new()
        .with("github", Value::from(github))
        .with("matrix", Value::from(json!({ "os": "linux", "n": 3 })))
}

fn expression(terms: usize) -> String {
    vec!["contains(github.event.issue.labels.*.name, 'bug') && matrix.n >= 2 && format('{0}-x', matrix.os) != github.ref"; terms]
        .join(" && ")
}

fn parse(terms: usize) -> Duration {
    let text = expression(terms);
    best(|| drop(black_box(Expression::parse(black_box(&text)).unwrap())))
}

fn evaluate(terms: usize) -> Duration {
    let (parsed, contexts) = (Expression::parse(&expression(terms)).unwrap(), contexts());
    assert_eq!(parsed.evaluate(&contexts, &JobStatus::Success).unwrap(), Value::Bool(true));
    best(|| drop(black_box(parsed.evaluate(black_box(&contexts), &JobStatus::Success).unwrap())))
}

/// One step of the engine, on the average of a run from its first job to its last: each of its jobs is launched and reports its end.
fn engine_step(many: usize) -> Duration {
    let mut text = String::new();
    for job in 0..many {
        writeln!(text, "  j{job}: {{ steps: [{{ run: x }}] }}").unwrap();
    }
    let workflow = world::workflow("", &text);
    let mut shortest = Duration::MAX;
    for _ in 0..2 {
        let mut play = world::Play::of(workflow.clone());
        let begun = Instant::now();
        for job in 0..many {
            play.end(&format!("j{job}"), Conclusion::Success);
            // As the store does once the effects are done.
            play.run.outbox.clear();
        }
        shortest = shortest.min(begun.elapsed());
        assert!(play.run.is_over(), "{}", play.stands());
    }
    shortest / u32::try_from(2 * many).unwrap()
}

fn main() {
    println!("figure | n | 4n | ratio (4 or less: linear)");
    let ours = figure("lint of a workflow of n jobs", 100, lint);
    let theirs = plain_yaml(100);
    println!(
        "  the same text read by serde_yaml, without places or checks: {}; ours: {:.1}×",
        shown(theirs),
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
    figure("plan of a matrix of n jobs", 64, plan);
    let read = figure("an expression of n times 8 operators and functions, read", 10, parse);
    let evaluated = figure("the same, evaluated", 10, evaluate);
    println!(
        "  a second: {:.0} expressions of 8 read, {:.0} evaluated",
        10.0 / read.as_secs_f64(),
        10.0 / evaluated.as_secs_f64()
    );
    figure("a step of the engine in a run of n jobs", 250, engine_step);
    figure("a step of the engine in a run of n jobs", 1_000, engine_step);
}
