//! Environments.

use super::world::{Play, at};
use cloud_code_model::run::{Input, step};
use cloud_code_model::workflow::Environment;

const JOBS: &str = "  a: {environment: Production, steps: [{run: x}]}";

fn rules() -> Environment {
    Environment { reviewers: vec!["wes".into(), "Ann".into()], ..Environment::default() }
}

fn approve(by: &str) -> Input {
    Input::Approve { job: "a".into(), by: by.into() }
}

#[test]
fn a_reviewer_lets_it_pass_but_never_who_started_it() {
    let mut play = Play::with_environment(JOBS, "production", rules());
    play.expect("a environment");
    for (who, why) in [("ann", "nobody approves a run of their own"), ("ron", "no reviewer of `Production`")]
    {
        let error = play.run.may_review("a", who).unwrap_err();
        assert!(error.contains(why), "{error}");
        play.give(approve(who));
        play.expect("a environment");
    }
    assert_eq!(play.run.awaiting_review().count(), 1);
    play.give(approve("WES"));
    play.expect("a started");
    assert_eq!(play.run.awaiting_review().count(), 0);
}

#[test]
fn a_rejection_fails_the_job() {
    let mut play = Play::with_environment(JOBS, "production", rules());
    play.give(Input::Reject { job: "a".into(), by: "wes".into() });
    play.expect("a failure");
    assert_eq!(play.run.reason.as_deref(), Some("rejected by wes"));
}

#[test]
fn nobody_is_waited_for_longer_than_thirty_days() {
    let mut play = Play::with_environment(JOBS, "production", rules());
    let due = play.run.outbox.len();
    assert!(due > 0);
    step(&mut play.run, Input::Tick, at(30 * 24 * 3600 - 1));
    play.expect("a environment");
    step(&mut play.run, Input::Tick, at(30 * 24 * 3600));
    play.expect("a failure");
}

#[test]
fn a_wait_timer_and_then_the_start() {
    let rules = Environment { wait_timer: 10, ..Environment::default() };
    let mut play = Play::with_environment(JOBS, "production", rules);
    play.expect("a environment");
    play.run.outbox.clear();
    assert_eq!(play.run.due_at(), Some(at(600)), "the sweeper comes back for it");
    step(&mut play.run, Input::Tick, at(599));
    play.expect("a environment");
    step(&mut play.run, Input::Tick, at(600));
    play.expect("a started");
}

#[test]
fn only_some_branches_pass() {
    let check = |branches: &[&str], stands: &str| {
        let branches = branches.iter().map(|branch| (*branch).to_owned()).collect();
        let play =
            Play::with_environment(JOBS, "production", Environment { branches, ..Environment::default() });
        play.expect(stands);
    };
    check(&["main"], "a started");
    check(&["release/*"], "a failure");
    check(&["*", "!main"], "a failure");
}

#[test]
fn an_environment_without_rules_is_open() {
    Play::new(JOBS).expect("a started");
}

#[test]
fn a_cancel_ends_what_waits() {
    let mut play = Play::with_environment(JOBS, "production", rules());
    play.cancel();
    play.expect("a cancelled");
    assert!(play.run.is_over());
}
