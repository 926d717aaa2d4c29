//! Effects that stop whoever executes them: killed for want of memory, or of time.

use super::{
    Conclusion, Effect, Input, JOB, PUBLISH, Run, at, keys, launched, new_run, play, prepared, report, step,
};
use cloud_code_model::run::Outgoing;

fn begin(run: &mut Run, by: &str, seconds: i64) {
    step(run, Input::Begin { by: by.into(), seconds: 60 }, at(seconds));
}

fn of<'a>(run: &'a Run, key: &str) -> &'a Outgoing {
    run.outbox.iter().find(|outgoing| outgoing.effect.key() == key).unwrap()
}

/// A run whose only effect is this one.
fn with_only(mut run: Run, key: &str) -> Run {
    for outgoing in run.outbox.clone() {
        if outgoing.effect.key() != key {
            step(&mut run, Input::EffectDone { id: outgoing.id }, at(2));
        }
    }
    assert_eq!(keys(&run), [key]);
    run
}

fn publishing() -> Run {
    let mut run = new_run(0);
    play(&mut run, [prepared(1), launched(1), report(1, 1, Some(Conclusion::Success), true)]);
    with_only(run, PUBLISH)
}

#[test]
fn what_is_begun_is_counted_and_is_taken_up_at_once_after_one_crash() {
    let mut run = publishing();
    begin(&mut run, "a", 10);
    assert_eq!(run.under_way().unwrap().effect.key(), PUBLISH);
    assert_eq!((of(&run, PUBLISH).interrupted, of(&run, PUBLISH).due_at <= at(10)), (1, true));
    // Another can't begin it; who renews does not begin it again; who was killed and comes back does.
    begin(&mut run, "b", 11);
    step(&mut run, Input::Claim { by: "a".into(), seconds: 60 }, at(12));
    assert_eq!((of(&run, PUBLISH).interrupted, run.under_way().is_some()), (1, true));
    begin(&mut run, "a", 13);
    assert_eq!(of(&run, PUBLISH).interrupted, 2);
    assert_eq!(of(&run, PUBLISH).due_at, at(15), "a second one waits, should it be killed");
    begin(&mut run, "a", 14);
    assert!(run.under_way().is_none());
    // A try that ends, however, begins the count anew.
    begin(&mut run, "a", 15);
    let id = run.under_way().unwrap().id;
    step(&mut run, Input::EffectFailed { id, error: "502".into(), retry_after: None }, at(16));
    assert_eq!((of(&run, PUBLISH).interrupted, of(&run, PUBLISH).tries), (0, 1));
    step(&mut run, Input::Release { by: "a".into() }, at(17));
    assert!(run.under_way().is_none());
}

/// Begins again and again as others who were killed, for two days; says how often it came to be begun.
fn killed_for_ever(run: &mut Run, key: &str) -> usize {
    let mut begun = 0;
    for minute in 1..2 * 24 * 60 {
        begin(run, &format!("w{minute}"), minute * 60 + 61);
        begun += usize::from(run.under_way().is_some_and(|outgoing| outgoing.effect.key() == key));
    }
    begun
}

#[test]
fn a_publication_that_kills_ends_its_run_with_a_reason() {
    let mut run = publishing();
    assert_eq!(killed_for_ever(&mut run, PUBLISH), 10);
    assert_eq!(run.conclusion, Some(Conclusion::Failure));
    let reason = run.jobs[0].attempts[0].reason.as_deref().unwrap();
    assert_eq!(
        reason,
        "the change could not be published: whoever did it was stopped 10 times in the middle, perhaps for want of memory or time"
    );
}

#[test]
fn what_only_tells_is_given_up_and_what_must_be_done_is_tried_ever_more_rarely() {
    let mut run = with_only(new_run(0), "tell");
    assert_eq!(killed_for_ever(&mut run, "tell"), 10);
    assert!(keys(&run).is_empty());
    assert!(
        run.history.last().unwrap().what.starts_with("gave up on tell: whoever did it was stopped 10 times")
    );

    let mut run = new_run(0);
    play(&mut run, [prepared(1), launched(1), report(1, 1, Some(Conclusion::Failure), false)]);
    let discard = Effect::Discard { job: JOB.into(), attempt: 1 }.key();
    let mut run = with_only(run, &discard);
    let begun = killed_for_ever(&mut run, &discard);
    assert!((200..400).contains(&begun), "{begun}");
    assert!(of(&run, &discard).error.as_deref().unwrap().contains("10 times in the middle"));
}
