//! What a stranger's report, an outlandish number, or an outage of hours must not do to a run.

use super::*;

#[test]
fn a_report_that_is_spoilt_while_its_change_is_published_changes_nothing() {
    let refused = Input::ReportRefused { job: JOB.into(), attempt: 1, reason: "spoilt".into() };
    let mut run = new_run(0);
    play(
        &mut run,
        [prepared(1), launched(1), report(1, 1, Some(Conclusion::Success), true), refused.clone()],
    );
    assert_eq!(run.jobs[0].attempts[0].state, AttemptState::Publishing);
    play(&mut run, [published(1)]);
    assert_eq!((run.conclusion, run.publication().is_some()), (Some(Conclusion::Success), true));
    // Before that it ends the attempt.
    let mut run = new_run(0);
    play(&mut run, [prepared(1), launched(1), refused]);
    assert_eq!(run.conclusion, Some(Conclusion::Failure));
}

#[test]
fn no_number_from_outside_ends_the_program() {
    let mut run = new_run(0);
    run.jobs[0].spec.timeout_minutes = 1e300;
    play(&mut run, [prepared(1), launched(1)]);
    let deadline = run.jobs[0].attempts[0].deadline.unwrap();
    assert!(deadline <= at(2) + SignedDuration::from_hours(36 * 24), "{deadline}");
    let id = run.outbox[0].id;
    step(
        &mut run,
        Input::EffectFailed { id, error: "x".into(), retry_after: Some(SignedDuration::MAX) },
        at(3),
    );
    assert!(run.outbox[0].due_at <= at(3) + SignedDuration::from_hours(2));
}

#[test]
fn only_what_may_be_is_given_up() {
    let fail_on = |run: &mut Run, key: &str| {
        let mut now = at(10);
        for _ in 0..40 {
            let Some(outgoing) = run.outbox.iter().find(|outgoing| outgoing.effect.key() == key) else {
                return;
            };
            now = now.max(outgoing.due_at);
            let failed = Input::EffectFailed { id: outgoing.id, error: "down".into(), retry_after: None };
            step(run, failed, now);
        }
    };
    let mut run = new_run(0);
    for key in ["launch/implement/1", "tell"] {
        fail_on(&mut run, key);
    }
    assert_eq!(keys(&run), ["launch/implement/1"]);
    play(&mut run, [cancel()]);
    for key in ["discard/implement/1", "tell"] {
        fail_on(&mut run, key);
    }
    assert_eq!(keys(&run), ["discard/implement/1"], "what it left behind must go some day");
}
