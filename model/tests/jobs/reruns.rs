//! Running again.

use super::world::{Play, workflow};
use cloud_code_model::run::{Conclusion, Input, Rerun, RunStatus};

const JOBS: &str = "  a: {steps: [{run: x}]}
  b: { strategy: {fail-fast: false, matrix: {n: [1, 2]}}, steps: [{run: x}] }
  c: { needs: b, steps: [{run: x}] }
  d: { needs: a, steps: [{run: x}] }";

fn failed() -> Play {
    let mut play = Play::new(JOBS);
    play.end("a", Conclusion::Success);
    play.end("d", Conclusion::Success);
    play.end("b.1", Conclusion::Success);
    play.end("b.2", Conclusion::Failure);
    play.expect("a success, b.1 success, b.2 failure, c skipped, d success");
    assert_eq!(play.run.conclusion, Some(Conclusion::Failure));
    play
}

fn rerun(play: &mut Play, what: Rerun) {
    play.give(Input::Rerun { what, by: "wes".into() });
}

#[test]
fn what_failed_and_what_depends_on_it() {
    let mut play = failed();
    rerun(&mut play, Rerun::Failed);
    play.expect("a success, b.1 success, b.2 started, c blocked, d success");
    assert_eq!((play.run.status, play.run.round), (RunStatus::Queued, 2));
    assert_eq!(play.attempt("b.2"), 2, "attempts count on, so that nothing of the first counts");
    assert_eq!(play.run.context["run_attempt"], 2);
    play.end("b.2", Conclusion::Success);
    play.expect("a success, b.1 success, b.2 success, c started, d success");
    play.end("c", Conclusion::Success);
    assert_eq!(play.run.conclusion, Some(Conclusion::Success));
}

#[test]
fn everything() {
    let mut play = failed();
    rerun(&mut play, Rerun::All);
    play.expect("a started, b.1 started, b.2 started, c blocked, d blocked");
    assert_eq!([play.attempt("a"), play.attempt("b.1"), play.attempt("b.2")], [2, 2, 2]);
    let first = play.run.attempt_id("b.1", 1);
    assert!(play.run.attempt(&first).is_some(), "earlier attempts are kept");
}

#[test]
fn only_what_is_over_and_failed() {
    let mut play = Play::new(JOBS);
    rerun(&mut play, Rerun::All);
    assert_eq!(play.run.round, 1, "a run that is not over goes on");
    let mut play = Play::new("  a: {steps: [{run: x}]}");
    play.end("a", Conclusion::Success);
    let before = play.run.clone();
    rerun(&mut play, Rerun::Failed);
    assert_eq!(play.run, before, "nothing failed");
    rerun(&mut play, Rerun::All);
    play.expect("a started");
}

/// Found by the simulation: a job that failed too began before what it needs had run again.
#[test]
fn what_failed_waits_for_what_it_needs_and_failed_too() {
    let mut play = Play::new("  a: {steps: [{run: x}]}\n  b: {needs: a, if: always(), steps: [{run: x}]}");
    play.end("a", Conclusion::Failure);
    play.end("b", Conclusion::Failure);
    rerun(&mut play, Rerun::Failed);
    play.expect("a started, b blocked");
}

#[test]
fn the_group_is_asked_for_again() {
    let mut play = Play::of(workflow("concurrency: g", "  a: {steps: [{run: x}]}"));
    let ticket = play.run.hold.as_ref().unwrap().ticket;
    play.give(Input::Granted { ticket });
    play.end("a", Conclusion::Failure);
    rerun(&mut play, Rerun::Failed);
    play.expect("a ready");
    let again = play.run.hold.as_ref().unwrap().ticket;
    assert_ne!(again, ticket);
    play.give(Input::Granted { ticket });
    play.expect("a ready");
    play.give(Input::Granted { ticket: again });
    play.expect("a started");
}
