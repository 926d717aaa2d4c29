//! What people add to a run under way: into each agent's task, or on to a run of its own, and never lost.

use super::*;
use cloud_code_model::run::{Addition, AdditionState, Rerun};

const APPEND: &str = "append/implement/1";

pub(super) fn also(comment: u64, words: &str) -> Input {
    let (by, words) = ("ann".to_owned(), words.to_owned());
    Input::Also { addition: Addition { comment, subject: 7, by, words, at: at(0) } }
}

/// A report whose agent says that it has begun with these.
fn heard(attempt: u32, sequence: u64, conclusion: Option<Conclusion>, heard: &[u64]) -> Input {
    let report = ReportSummary { sequence, conclusion, heard: heard.into(), ..ReportSummary::default() };
    Input::Reported { job: JOB.into(), attempt, report }
}

fn states(run: &Run) -> Vec<AdditionState> {
    run.additions.iter().map(|addition| run.state_of(addition)).collect()
}

fn done(run: &mut Run) {
    for id in run.outbox.iter().map(|outgoing| outgoing.id).collect::<Vec<_>>() {
        step(run, Input::EffectDone { id }, at(1));
    }
}

/// Plays inputs on a fresh run, and compares what became of the additions and which of their effects are wanted.
fn check(inputs: Vec<Input>, expected: &[AdditionState], effects: &[&str]) {
    let mut run = new_run(0);
    play(&mut run, inputs.clone());
    assert_eq!(states(&run), expected, "{inputs:?}");
    let ours = |key: &String| key.starts_with("append") || key.starts_with("follow-up");
    let keys: Vec<String> = keys(&run).into_iter().filter(ours).collect();
    assert_eq!(keys, effects, "{inputs:?}");
}

#[test]
fn words_go_to_whoever_is_at_work_and_are_never_lost() {
    use AdditionState::{Dropped, Heard, Late, Waiting};
    let success = Some(Conclusion::Success);
    let begun = || vec![prepared(1), launched(1), report(1, 1, None, false)];
    let then = |more: Vec<Input>| [begun(), more].concat();
    check(then(vec![also(5, "a")]), &[Waiting], &[APPEND]);
    // The same comment again is the same addition.
    check(then(vec![also(5, "a"), also(5, "a"), also(6, "b")]), &[Waiting, Waiting], &[APPEND]);
    check(then(vec![also(5, "a"), heard(1, 2, None, &[5])]), &[Heard], &[APPEND]);
    check(then(vec![also(5, "a"), heard(1, 2, success, &[5])]), &[Heard], &[]);
    check(
        then(vec![also(5, "a"), also(6, "b"), heard(1, 2, success, &[5])]),
        &[Heard, Late],
        &["follow-up/6"],
    );
    // What was never given can't be heard.
    check(then(vec![also(5, "a"), heard(1, 2, success, &[6, 4711])]), &[Late], &["follow-up/5"]);
    // A later report that is silent about it takes it back: the last one counts.
    check(
        then(vec![also(5, "a"), heard(1, 2, None, &[5]), heard(1, 3, success, &[])]),
        &[Late],
        &["follow-up/5"],
    );
    check(
        then(vec![also(5, "a"), report(1, 2, Some(Conclusion::Failure), false)]),
        &[Late],
        &["follow-up/5"],
    );
    check(then(vec![also(5, "a"), observed(1, Observation::Missing)]), &[Late], &["follow-up/5"]);
    // Waiting for a runner, it is told from the beginning; one that was written before it is written anew.
    check(vec![also(5, "a")], &[Waiting], &[]);
    check(vec![prepared(1), also(5, "a"), launched(1)], &[Waiting], &[APPEND]);
    let failed = Input::LaunchFailed { job: JOB.into(), attempt: 1, reason: "no image".into() };
    check(vec![also(5, "a"), failed], &[Late], &["follow-up/5"]);
    // Nobody is at work.
    check(then(vec![report(1, 2, success, true), also(5, "a")]), &[], &[]);
    check(then(vec![report(1, 2, success, false), also(5, "a")]), &[], &[]);
    check(then(vec![cancel(), also(5, "a")]), &[], &[]);
    // A person ended it.
    let ended = || report(1, 2, Some(Conclusion::Cancelled), false);
    check(then(vec![also(5, "a"), cancel(), ended()]), &[Dropped], &[]);
    check(then(vec![also(5, "a"), heard(1, 2, None, &[5]), cancel()]), &[Heard], &[APPEND]);
    let job = Input::CancelJob { job: JOB.into(), by: "ann".into() };
    check(then(vec![also(5, "a"), job, ended()]), &[Dropped], &[]);
    // A newer run of its group ended it: it goes on to that one.
    let other = cloud_code_model::ids::RunId::derive("other", "w");
    let replaced = Input::Cancel { by: "r".into(), replaced_by: Some(other), force: false };
    check(then(vec![also(5, "a"), replaced, ended()]), &[Late], &["follow-up/5"]);
}

#[test]
fn that_it_was_heard_is_told() {
    let mut run = new_run(0);
    play(&mut run, [prepared(1), launched(1), report(1, 1, None, false), also(5, "a")]);
    for (sequence, told) in [(2, true), (3, false)] {
        done(&mut run);
        play(&mut run, [heard(1, sequence, None, &[5])]);
        assert_eq!(keys(&run).contains(&"tell".to_owned()), told, "report {sequence}");
    }
}

#[test]
fn an_addition_has_bounds() {
    let mut run = new_run(0);
    play(&mut run, [prepared(1), launched(1)]);
    let long = "x".repeat(Run::MAX_ADDED + 1);
    assert!(run.may_add(&long).unwrap_err().contains("8000 characters"));
    step(&mut run, also(99, &long), at(9));
    for comment in 0..30 {
        step(&mut run, also(comment, "a"), at(9));
    }
    assert_eq!(run.additions.len(), Run::MAX_ADDITIONS);
    assert_eq!(run.jobs[0].attempts[0].additions.len(), Run::MAX_ADDITIONS);
    assert!(run.may_add("a").unwrap_err().contains("20 additions"));
}

#[test]
fn a_further_attempt_is_given_what_the_one_before_it_was() {
    let mut run = new_run(1);
    play(&mut run, [prepared(1), launched(1), report(1, 1, None, false), also(5, "a")]);
    play(&mut run, [heard(1, 2, None, &[5]), observed(1, Observation::Missing)]);
    assert_eq!(run.jobs[0].attempts[1].additions, [5]);
    assert_eq!(states(&run), [AdditionState::Waiting], "its work was lost with the container");
    play(&mut run, [prepared(2), launched(2), heard(2, 1, Some(Conclusion::Success), &[])]);
    assert_eq!(states(&run), [AdditionState::Late]);
    assert!(keys(&run).contains(&"follow-up/5".to_owned()));
    done(&mut run);
    step(&mut run, Input::Rerun { what: Rerun::All, by: "ann".into() }, at(50));
    assert_eq!(run.jobs[0].attempts.last().unwrap().additions, [5]);
    play(&mut run, [prepared(3), launched(3), heard(3, 1, Some(Conclusion::Success), &[5])]);
    assert_eq!(states(&run), [AdditionState::Heard]);
}

/// A job that has no agent hears nothing.
#[test]
fn words_need_an_agent() {
    let mut run = new_run(0);
    let text = "on: issues\njobs: { implement: { steps: [{ run: x }] } }";
    run.plan = workflow::read("w.yml", text).unwrap().plan;
    play(&mut run, [prepared(1), launched(1), also(5, "a")]);
    assert!(!run.listens() && run.additions.is_empty());
}

#[test]
fn a_task_names_its_comment() {
    for (id, expected) in
        [("t-17", Some(17)), ("t1", None), ("t-", None), ("t--1", None), ("t-x", None), ("17", None)]
    {
        assert_eq!(Addition::of_task(id), expected, "{id}");
    }
    let Input::Also { addition } = also(17, "a") else { unreachable!() };
    assert_eq!(addition.task_id(), "t-17");
}
