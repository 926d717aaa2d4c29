//! The run engine, through its one door: tables of single transitions, and random walks that check the invariants.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "engine/additions.rs"]
mod additions;
#[path = "engine/bounds.rs"]
mod bounds;
#[path = "engine/interrupted.rs"]
mod interrupted;

use cloud_code_model::run::{
    AttemptState, Conclusion, Effect, Input, NewRun, Observation, Origin, Publication, ReportSummary,
    Repository, Run, RunStatus, StopReason, Subject, Timing, Trigger, WorkflowRef, step,
};
use cloud_code_model::workflow;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

const JOB: &str = "implement";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn new_run(retries: u32) -> Run {
    let mut plan = workflow::implement().plan;
    let at_start = workflow::yaml::Position::START;
    plan.jobs[0].retries =
        Some(workflow::Token { at: at_start, value: workflow::TokenValue::Number(retries.into()) });
    let new = NewRun {
        repository: Repository {
            owner: "acme".into(),
            name: "shop".into(),
            installation: 1,
            default_branch: "main".into(),
        },
        subject: Subject { number: 7, title: "Greet".into(), url: String::new() },
        workflow: WorkflowRef { path: "built-in:implement".into(), name: "implement".into() },
        trigger: Trigger {
            delivery: "d".into(),
            event: "issues".into(),
            action: "labeled".into(),
            actor: "ann".into(),
        },
        concurrency: None,
        branch: "cloud-code/issue-7".into(),
        context: serde_json::Value::Null,
        inputs: serde_json::Value::Null,
        vars: serde_json::Value::Null,
        timing: Timing::default(),
        plan,
    };
    Run::new(new, at(0))
}

fn launched(attempt: u32) -> Input {
    Input::Launched { job: JOB.into(), attempt, handle: "c".into() }
}

fn prepared(attempt: u32) -> Input {
    let origin = Origin {
        base: "b".into(),
        branch: "cloud-code/issue-7".into(),
        continues: false,
        target: "main".into(),
    };
    Input::Prepared { job: JOB.into(), attempt, origin }
}

fn report(attempt: u32, sequence: u64, conclusion: Option<Conclusion>, has_changes: bool) -> Input {
    let report = ReportSummary { sequence, conclusion, has_changes, ..ReportSummary::default() };
    Input::Reported { job: JOB.into(), attempt, report }
}

fn observed(attempt: u32, observation: Observation) -> Input {
    Input::Observed { job: JOB.into(), attempt, observation }
}

fn exited(code: i64, out_of_memory: bool) -> Observation {
    Observation::Exited { code: Some(code), out_of_memory, detail: None }
}

fn publication() -> Publication {
    Publication {
        branch: "cloud-code/issue-7".into(),
        sha: "s".into(),
        base: "b".into(),
        pull: None,
        diffstat: (1, 1, 0),
        commits: 1,
    }
}

fn published(attempt: u32) -> Input {
    Input::Published { job: JOB.into(), attempt, publication: publication() }
}

fn cancel() -> Input {
    Input::Cancel { by: "ann".into(), replaced_by: None, force: false }
}

/// Plays inputs a second apart.
fn play(run: &mut Run, inputs: impl IntoIterator<Item = Input>) {
    let start = run.history.last().map_or(at(0), |entry| entry.at);
    for (n, input) in inputs.into_iter().enumerate() {
        step(run, input, start + SignedDuration::from_secs(n as i64 + 1));
    }
}

fn keys(run: &Run) -> Vec<String> {
    run.outbox.iter().map(|outgoing| outgoing.effect.key()).collect()
}

/// Plays inputs on a fresh run and checks how it stands.
fn check(
    inputs: Vec<Input>,
    status: RunStatus,
    conclusion: Option<Conclusion>,
    wanted: &[&str],
    unwanted: &[&str],
) {
    let mut run = new_run(0);
    play(&mut run, inputs.clone());
    assert_eq!((run.status, run.conclusion), (status, conclusion), "{inputs:?}\n{:?}", run.history);
    let keys = keys(&run);
    for key in wanted {
        assert!(keys.iter().any(|k| k == key), "{key} is missing from {keys:?} after {inputs:?}");
    }
    for key in unwanted {
        assert!(!keys.iter().any(|k| k == key), "{key} is in {keys:?} after {inputs:?}");
    }
}

const LAUNCH: &str = "launch/implement/1";
const STOP: &str = "stop/implement/1";
const PUBLISH: &str = "publish/implement/1";
const DISCARD: &str = "discard/implement/1";
const CHECK: &str = "check/implement/1";

#[test]
fn single_ways_through_a_run() {
    use Conclusion::{Cancelled, Failure, NoChanges, Success, TimedOut};
    use RunStatus::{Completed, InProgress, Queued};
    let go = || vec![prepared(1), launched(1)];
    let then = |more: Vec<Input>| [go(), more].concat();

    check(vec![], Queued, None, &[LAUNCH, "tell"], &[]);
    check(go(), InProgress, None, &["tell"], &[LAUNCH, DISCARD]);
    check(then(vec![report(1, 1, None, false)]), InProgress, None, &["tell"], &[PUBLISH]);
    check(then(vec![report(1, 1, Some(Success), true)]), InProgress, None, &[PUBLISH], &[DISCARD]);
    check(
        then(vec![report(1, 1, Some(Success), true), published(1)]),
        Completed,
        Some(Success),
        &[DISCARD, CHECK],
        &[PUBLISH],
    );
    check(
        then(vec![report(1, 1, Some(Success), false)]),
        Completed,
        Some(Success),
        &[DISCARD],
        &[PUBLISH, CHECK],
    );
    check(
        then(vec![report(1, 1, Some(NoChanges), false)]),
        Completed,
        Some(NoChanges),
        &[DISCARD],
        &[PUBLISH],
    );
    check(then(vec![report(1, 1, Some(Failure), true)]), Completed, Some(Failure), &[DISCARD], &[PUBLISH]);
    check(then(vec![report(1, 1, Some(TimedOut), true)]), InProgress, None, &[PUBLISH], &[]);
    check(
        then(vec![report(1, 1, Some(TimedOut), true), published(1)]),
        Completed,
        Some(TimedOut),
        &[CHECK],
        &[],
    );
    let nothing = Input::NothingToPublish { job: JOB.into(), attempt: 1 };
    check(
        then(vec![report(1, 1, Some(Success), true), nothing]),
        Completed,
        Some(NoChanges),
        &[DISCARD],
        &[CHECK],
    );
    let refused = |pushed| Input::PublishRefused { job: JOB.into(), attempt: 1, reason: "no".into(), pushed };
    check(
        then(vec![report(1, 1, Some(Success), true), refused(None)]),
        Completed,
        Some(Failure),
        &[DISCARD],
        &[CHECK],
    );
    let half = then(vec![report(1, 1, Some(Success), true), refused(Some(publication()))]);
    check(half, Completed, Some(Failure), &[DISCARD, CHECK], &[PUBLISH]);
    let failed = Input::LaunchFailed { job: JOB.into(), attempt: 1, reason: "no image".into() };
    check(vec![failed.clone()], Completed, Some(Failure), &[DISCARD], &[LAUNCH]);
    check(then(vec![failed]), InProgress, None, &[], &[DISCARD]);
    check(then(vec![observed(1, Observation::Running)]), InProgress, None, &[], &[DISCARD]);
    check(then(vec![observed(1, exited(1, false))]), Completed, Some(Failure), &[DISCARD], &[]);
    check(then(vec![observed(1, Observation::Missing)]), Completed, Some(Failure), &[DISCARD], &[]);
    check(vec![cancel()], Completed, Some(Cancelled), &[DISCARD], &[LAUNCH]);
    check(then(vec![cancel()]), InProgress, None, &[STOP], &[DISCARD]);
    check(
        then(vec![cancel(), observed(1, exited(0, false))]),
        Completed,
        Some(Cancelled),
        &[DISCARD],
        &[STOP],
    );
    check(
        then(vec![cancel(), report(1, 1, Some(Success), true)]),
        Completed,
        Some(Cancelled),
        &[DISCARD],
        &[PUBLISH],
    );
    // Too late to cancel: what is being pushed is not torn apart.
    check(
        then(vec![report(1, 1, Some(Success), true), cancel(), published(1)]),
        Completed,
        Some(Success),
        &[CHECK],
        &[],
    );
}

#[test]
fn reasons_are_clear() {
    let reason = |observation: Observation| {
        let mut run = new_run(0);
        play(&mut run, [prepared(1), launched(1), observed(1, observation)]);
        run.reason.unwrap()
    };
    assert!(reason(exited(137, true)).contains("out of memory"));
    assert!(reason(exited(3, false)).contains("exit code 3"));
    assert!(reason(Observation::Missing).contains("lost the container"));
}

#[test]
fn an_old_attempt_is_fenced_off() {
    let mut run = new_run(1);
    play(&mut run, [prepared(1), launched(1), observed(1, Observation::Missing)]);
    assert_eq!(run.jobs[0].attempts.len(), 2, "the job may be retried once");
    let before = run.clone();
    play(
        &mut run,
        [
            report(1, 9, Some(Conclusion::Success), true),
            published(1),
            launched(1),
            observed(1, exited(0, false)),
        ],
    );
    assert_eq!(run, before, "nothing of attempt 1 counts any more");
    play(&mut run, [prepared(2), launched(2), observed(2, Observation::Missing)]);
    assert_eq!(run.conclusion, Some(Conclusion::Failure), "no third attempt");
}

#[test]
fn a_silent_attempt_is_probed_and_then_stopped() {
    let mut run = new_run(0);
    play(&mut run, [prepared(1), launched(1), report(1, 1, None, false)]);
    let lease = run.timing.lease_seconds;
    step(&mut run, Input::Tick, at(lease + 10));
    assert!(keys(&run).contains(&"probe/implement/1".to_owned()));
    step(&mut run, report(1, 2, None, false), at(lease + 11));
    step(&mut run, Input::Tick, at(lease + 12));
    assert_eq!(run.jobs[0].attempts[0].state, AttemptState::Running, "a heartbeat mends it");
    step(&mut run, Input::Tick, at(3 * lease));
    for seconds in 3 * lease..4 * lease {
        step(&mut run, observed(1, Observation::Running), at(seconds));
    }
    assert_eq!(run.jobs[0].attempts[0].stopping, None, "the probe gives it one more lease");
    step(&mut run, Input::Tick, at(4 * lease));
    assert_eq!(run.jobs[0].attempts[0].stopping, Some(StopReason::Lost));
    // The runner does not answer either: the run ends all the same.
    let stop = run.timing.stop_seconds;
    step(&mut run, Input::Tick, at(4 * lease + stop + 1));
    assert_eq!(run.conclusion, Some(Conclusion::Failure));
    assert!(keys(&run).contains(&DISCARD.to_owned()), "the container is still to be removed");
}

#[test]
fn what_the_runner_is_still_setting_up_is_waited_for() {
    let mut run = new_run(0);
    play(&mut run, [prepared(1), launched(1)]);
    let lease = run.timing.lease_seconds;
    // Each lease that runs out leads to a probe, which finds it on its way.
    let mut now = 0;
    while now < 15 * 60 {
        now += lease + 5;
        step(&mut run, Input::Tick, at(now));
        assert!(keys(&run).contains(&"probe/implement/1".to_owned()), "after {now} s");
        step(&mut run, observed(1, Observation::Starting), at(now + 1));
        let attempt = &run.jobs[0].attempts[0];
        assert_eq!(attempt.probed, now > 15 * 60, "after {now} s");
        let probe =
            run.outbox.iter().find(|outgoing| outgoing.effect.key() == "probe/implement/1").unwrap().id;
        step(&mut run, Input::EffectDone { id: probe }, at(now + 1));
    }
    assert_eq!(run.jobs[0].attempts[0].stopping, Some(StopReason::NotStarted));
    assert!(keys(&run).contains(&STOP.to_owned()));
    step(&mut run, observed(1, Observation::Starting), at(now + 2));
    step(&mut run, observed(1, exited(137, false)), at(now + 3));
    assert_eq!(run.conclusion, Some(Conclusion::Failure));
    assert!(run.reason.as_deref().unwrap().starts_with("the task did not start within 15 minutes"));

    // What has been heard of is past its start, whatever the runner says.
    let mut run = new_run(0);
    play(&mut run, [prepared(1), launched(1), report(1, 1, None, false)]);
    step(&mut run, Input::Tick, at(lease + 10));
    step(&mut run, observed(1, Observation::Starting), at(lease + 11));
    assert!(run.jobs[0].attempts[0].probed);
}

#[test]
fn time_limits() {
    let mut run = new_run(0);
    let queue = run.timing.queue_seconds;
    step(&mut run, Input::Tick, at(queue + 1));
    assert_eq!(run.conclusion, Some(Conclusion::TimedOut), "nobody waits for a runner for ever");

    let mut run = new_run(0);
    play(&mut run, [prepared(1), launched(1)]);
    let end = run.jobs[0].attempts[0].deadline.unwrap();
    step(&mut run, Input::Tick, end);
    assert_eq!(run.jobs[0].attempts[0].stopping, Some(StopReason::TimedOut));
    step(&mut run, report(1, 1, Some(Conclusion::Cancelled), true), end);
    assert!(keys(&run).contains(&PUBLISH.to_owned()), "what was saved by then is published");
    step(&mut run, published(1), end);
    assert_eq!(run.conclusion, Some(Conclusion::TimedOut));
}

#[test]
fn the_outbox_backs_off_and_answers_only_what_was_asked() {
    let mut run = new_run(0);
    let tell = run.outbox.iter().find(|outgoing| outgoing.effect == Effect::Tell).unwrap().id;
    step(&mut run, Input::EffectFailed { id: tell, error: "502".into(), retry_after: None }, at(1));
    let due = |run: &Run| run.outbox.iter().find(|outgoing| outgoing.effect == Effect::Tell).unwrap().due_at;
    assert_eq!(due(&run), at(3));
    step(&mut run, Input::EffectFailed { id: tell, error: "502".into(), retry_after: None }, at(3));
    assert_eq!(due(&run), at(7));
    let wait = Some(SignedDuration::from_secs(600));
    step(&mut run, Input::EffectFailed { id: tell, error: "429".into(), retry_after: wait }, at(7));
    assert_eq!(due(&run), at(607), "what the other side asks for counts");
    play(&mut run, [prepared(1), launched(1)]);
    step(&mut run, Input::EffectDone { id: tell }, at(8));
    assert!(
        keys(&run).contains(&"tell".to_owned()),
        "the newer wish to tell is not answered by the older one's end"
    );
}

#[test]
fn one_executor_at_a_time() {
    let mut run = new_run(0);
    let claim = |by: &str| Input::Claim { by: by.into(), seconds: 60 };
    step(&mut run, claim("a"), at(0));
    step(&mut run, claim("b"), at(1));
    assert_eq!(run.claim.as_ref().unwrap().by, "a");
    step(&mut run, Input::Release { by: "b".into() }, at(2));
    assert!(run.claim.is_some());
    step(&mut run, claim("b"), at(61));
    assert_eq!(run.claim.as_ref().unwrap().by, "b", "a claim ends by itself");
    step(&mut run, Input::Release { by: "b".into() }, at(62));
    assert!(run.claim.is_none());
}

fn any_input() -> impl Strategy<Value = Input> {
    let attempt = 1u32..4;
    let conclusion = prop::sample::select(vec![
        None,
        Some(Conclusion::Success),
        Some(Conclusion::Failure),
        Some(Conclusion::NoChanges),
        Some(Conclusion::TimedOut),
        Some(Conclusion::Cancelled),
    ]);
    let observation = prop::sample::select(vec![
        Observation::Starting,
        Observation::Running,
        Observation::Missing,
        exited(0, false),
        exited(137, true),
    ]);
    prop_oneof![
        attempt.clone().prop_map(prepared),
        attempt.clone().prop_map(launched),
        attempt.clone().prop_map(|attempt| Input::LaunchFailed {
            job: JOB.into(),
            attempt,
            reason: "r".into()
        }),
        (attempt.clone(), 1u64..9, conclusion, any::<bool>())
            .prop_map(|(a, s, c, changes)| report(a, s, c, changes)),
        attempt.clone().prop_map(|attempt| Input::ReportRefused {
            job: JOB.into(),
            attempt,
            reason: "r".into()
        }),
        (attempt.clone(), observation).prop_map(|(attempt, observation)| observed(attempt, observation)),
        attempt.clone().prop_map(published),
        attempt.clone().prop_map(|attempt| Input::NothingToPublish { job: JOB.into(), attempt }),
        attempt.prop_map(|attempt| Input::PublishRefused {
            job: JOB.into(),
            attempt,
            reason: "r".into(),
            pushed: None
        }),
        Just(cancel()),
        (1u64..9).prop_map(|comment| additions::also(comment, "and a test")),
        Just(Input::Tick),
        prop::sample::select(vec!["a", "b"]).prop_map(|by| Input::Begin { by: by.to_owned(), seconds: 60 }),
        (1u64..20).prop_map(|id| Input::EffectDone { id }),
        (1u64..20).prop_map(|id| Input::EffectFailed { id, error: "e".into(), retry_after: None }),
    ]
}

fn invariants(before: &Run, after: &Run, input: &Input) {
    if before.is_over() {
        assert_eq!(before.conclusion, after.conclusion, "terminal is terminal: {input:?}");
        assert_eq!(before.reason, after.reason);
        assert_eq!(before.finished_at, after.finished_at);
    }
    assert_eq!(after.is_over(), after.conclusion.is_some());
    assert_eq!(after.is_over(), after.finished_at.is_some());
    for job in &after.jobs {
        let open = job.attempts.iter().filter(|attempt| attempt.state != AttemptState::Done).count();
        assert!(open <= 1, "two attempts at once");
        assert_eq!(
            open == 0,
            job.conclusion.is_some(),
            "an open attempt and a concluded job, or neither: {input:?}"
        );
        for (n, attempt) in job.attempts.iter().enumerate() {
            assert_eq!(attempt.number as usize, n + 1, "numbers count from 1");
            if attempt.publication.is_some() {
                assert!(attempt.report.is_some(), "published without a report");
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    for outgoing in &after.outbox {
        assert!(seen.insert(outgoing.effect.key()), "an effect stands twice in the outbox");
        assert!(outgoing.id < after.next_effect);
    }
    if !after.is_over() {
        assert!(
            after.due_at().is_some()
                || after.jobs.iter().any(|job| {
                    job.attempts.last().is_some_and(|attempt| attempt.state == AttemptState::Publishing)
                }),
            "a run that nobody would look at again"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn random_walks_keep_the_invariants_and_end(
        retries in 0u32..3,
        walk in prop::collection::vec((any_input(), 0i64..400), 0..60),
    ) {
        let mut run = new_run(retries);
        let mut now = 0;
        for (input, pause) in walk {
            now += pause;
            let before = run.clone();
            step(&mut run, input.clone(), at(now));
            invariants(&before, &run, &input);
            let mut again = before.clone();
            step(&mut again, input, at(now));
            prop_assert_eq!(&again, &run, "the same input gives the same effects");
        }
        // Whatever came before: left to time, and with a publisher that gives up, every run ends.
        for _ in 0..40 {
            now += 100_000;
            let before = run.clone();
            step(&mut run, Input::Tick, at(now));
            invariants(&before, &run, &Input::Tick);
            if let Some(attempt) = run.jobs[0].attempts.last().filter(|attempt| attempt.state == AttemptState::Publishing) {
                let number = attempt.number;
                step(&mut run, Input::PublishRefused { job: JOB.into(), attempt: number, reason: "r".into(), pushed: None }, at(now));
            }
        }
        prop_assert!(run.is_over(), "{:?}", run.history);
    }
}
