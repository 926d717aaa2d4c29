//! `needs` and `if`, as GitHub has them.

use super::world::Play;
use cloud_code_model::run::{Conclusion, JobResult};

const ALL: [JobResult; 4] =
    [JobResult::Success, JobResult::Failure, JobResult::Cancelled, JobResult::Skipped];

/// A chain of jobs behind one whose result is given: `if:` of each, and whether each runs (`x`) or is skipped (`-`), for the first job's
/// results success, failure, cancelled, skipped.
#[test]
fn every_status_and_every_function_several_levels_deep() {
    for (conditions, runs) in [
        // One level.
        (&[""][..], ["x", "-", "-", "-"]),
        (&["success()"], ["x", "-", "-", "-"]),
        (&["failure()"], ["-", "x", "-", "-"]),
        (&["always()"], ["x", "x", "x", "x"]),
        (&["cancelled()"], ["-", "-", "-", "-"]),
        (&["!cancelled()"], ["x", "x", "x", "x"]),
        (&["!failure()"], ["x", "-", "x", "x"]),
        (&["success() || failure()"], ["x", "x", "-", "-"]),
        (&["true"], ["x", "-", "-", "-"]),
        (&["false"], ["-", "-", "-", "-"]),
        (&["${{ always() && false }}"], ["-", "-", "-", "-"]),
        (&["needs.j0.result == 'failure'"], ["-", "-", "-", "-"]),
        (&["always() && needs.j0.result == 'failure'"], ["-", "x", "-", "-"]),
        (&["always() && needs.j0.result == 'skipped'"], ["-", "-", "-", "x"]),
        (&["success('j0')"], ["x", "-", "-", "-"]),
        (&["failure('j0')"], ["-", "x", "-", "-"]),
        // Two levels: what lies further back still counts.
        (&["", ""], ["xx", "--", "--", "--"]),
        (&["always()", ""], ["xx", "x-", "x-", "x-"]),
        (&["always()", "success()"], ["xx", "x-", "x-", "x-"]),
        (&["always()", "failure()"], ["x-", "xx", "x-", "x-"]),
        (&["", "failure()"], ["x-", "-x", "--", "--"]),
        (&["", "always()"], ["xx", "-x", "-x", "-x"]),
        (&["failure()", ""], ["--", "x-", "--", "--"]),
        (&["failure()", "failure()"], ["--", "xx", "--", "--"]),
        (&["failure()", "always()"], ["-x", "xx", "-x", "-x"]),
        (&["!cancelled()", "!cancelled()"], ["xx", "xx", "xx", "xx"]),
        (&["always()", "success('j1')"], ["xx", "xx", "xx", "xx"]),
        // Three levels.
        (&["always()", "always()", ""], ["xxx", "xx-", "xx-", "xx-"]),
        (&["", "", "always()"], ["xxx", "--x", "--x", "--x"]),
        (&["", "failure()", ""], ["x--", "-x-", "---", "---"]),
        (&["", "", "failure()"], ["xx-", "--x", "---", "---"]),
        (&["failure()", "always()", "failure()"], ["-x-", "xxx", "-x-", "-x-"]),
    ] {
        for (result, expected) in ALL.into_iter().zip(runs) {
            assert_eq!(chain(conditions, result), expected, "{conditions:?} after {result:?}");
        }
    }
}

fn chain(conditions: &[&str], result: JobResult) -> String {
    let first = if result == JobResult::Skipped { "if: false, " } else { "" };
    let mut jobs = format!("  j0: {{ {first}steps: [{{run: x}}] }}\n");
    for (n, condition) in conditions.iter().enumerate() {
        let condition = if condition.is_empty() { String::new() } else { format!("if: \"{condition}\", ") };
        jobs.push_str(&format!("  j{}: {{ needs: j{n}, {condition}steps: [{{run: x}}] }}\n", n + 1));
    }
    let mut play = Play::new(&jobs);
    match result {
        JobResult::Success => play.end("j0", Conclusion::Success),
        JobResult::Failure => play.end("j0", Conclusion::Failure),
        JobResult::Cancelled => {
            play.launch("j0");
            play.give(cloud_code_model::run::Input::CancelJob { job: "j0".into(), by: "ann".into() });
            play.stopped("j0");
        }
        JobResult::Skipped => {}
    }
    let mut ran = String::new();
    for n in 1..=conditions.len() {
        let key = format!("j{n}");
        match play.run.job(&key).unwrap().conclusion {
            Some(Conclusion::Skipped) => ran.push('-'),
            Some(other) => panic!("{key}: {other:?}"),
            None => {
                ran.push('x');
                play.end(&key, Conclusion::Success);
            }
        }
    }
    assert!(play.run.is_over());
    ran
}

#[test]
fn several_needs_are_all_waited_for() {
    let mut play = Play::new(
        "  a: {steps: [{run: x}]}\n  b: {steps: [{run: x}]}\n  c: {needs: [a, b], steps: [{run: x}]}\n  d: {needs: [a, b], if: failure(), steps: [{run: x}]}",
    );
    play.expect("a started, b started, c blocked, d blocked");
    play.end("a", Conclusion::Failure);
    play.expect("a failure, b started, c blocked, d blocked");
    play.end("b", Conclusion::Success);
    play.expect("a failure, b success, c skipped, d started");
    play.end("d", Conclusion::Success);
    assert_eq!(play.run.conclusion, Some(Conclusion::Failure));
}

#[test]
fn a_cancelled_run_asks_each_job_again() {
    let jobs = "  a: {steps: [{run: x}]}
  b: {if: always(), steps: [{run: x}]}
  c: {needs: a, steps: [{run: x}]}
  d: {needs: a, if: cancelled(), steps: [{run: x}]}
  e: {needs: a, if: failure(), steps: [{run: x}]}
  f: {needs: [a, d], if: always(), steps: [{run: x}]}";
    let mut play = Play::new(jobs);
    play.launch("a");
    play.launch("b");
    play.cancel();
    // `b` always runs to its end; the others wait for `a`.
    play.expect("a started, b started, c blocked, d blocked, e blocked, f blocked");
    play.stopped("a");
    play.expect("a cancelled, b started, c skipped, d started, e skipped, f blocked");
    play.end("b", Conclusion::Success);
    play.end("d", Conclusion::Success);
    play.expect("a cancelled, b success, c skipped, d success, e skipped, f started");
    play.end("f", Conclusion::Success);
    assert_eq!(play.run.conclusion, Some(Conclusion::Cancelled));
}

#[test]
fn a_forced_cancel_ends_everything() {
    let jobs = "  a: {steps: [{run: x}]}\n  b: {needs: a, if: always(), steps: [{run: x}]}\n  c: {if: always(), steps: [{run: x}]}";
    let mut play = Play::new(jobs);
    play.launch("a");
    play.launch("c");
    play.cancel();
    play.give(cloud_code_model::run::Input::Cancel { by: "wes".into(), replaced_by: None, force: true });
    play.expect("a started, b cancelled, c started");
    play.stopped("a");
    play.stopped("c");
    assert_eq!(play.run.conclusion, Some(Conclusion::Cancelled));
}

#[test]
fn a_failure_that_is_forgiven_is_none() {
    let mut play = Play::new(
        "  a: {continue-on-error: true, steps: [{run: x}]}\n  b: {needs: a, if: \"needs.a.result == 'success'\", steps: [{run: x}]}",
    );
    play.end("a", Conclusion::Failure);
    play.end("b", Conclusion::Success);
    play.expect("a failure, b success");
    assert_eq!(play.run.conclusion, Some(Conclusion::Success));
}

#[test]
fn what_can_not_be_evaluated_fails_with_its_place() {
    let mut play = Play::new(
        "  a: {steps: [{run: x}]}\n  b: {needs: a, if: \"fromJSON(needs.a.outputs.x)\", steps: [{run: x}]}",
    );
    play.end("a", Conclusion::Success);
    play.expect("a success, b failure");
    let reason = play.run.job("b").unwrap().reason.clone().unwrap();
    assert!(reason.starts_with("w.yml:5:21: if: "), "{reason}");
}

#[test]
fn outputs_reach_the_jobs_that_need_them() {
    let mut play = Play::new(
        "  a: {outputs: {v: 'x'}, steps: [{run: x}]}\n  b: {needs: a, if: \"needs.a.outputs.v == 'go'\", name: \"say ${{ needs.a.outputs.v }}\", steps: [{run: x}]}",
    );
    play.end_with("a", Conclusion::Success, &[("v", "go")], &[]);
    play.expect("a success, b started");
    assert_eq!(play.run.job("b").unwrap().spec.name, "say go");
    let context = play.run.context_values(play.run.job("b").unwrap());
    assert_eq!(context["needs"]["a"]["outputs"]["v"], "go");
}
