//! `strategy`.

use super::world::Play;
use cloud_code_model::run::Conclusion;

#[test]
fn a_matrix_becomes_jobs_with_names_and_values() {
    let play = Play::new(
        "  t:
    strategy: { matrix: { os: [linux, mac], n: [1, 2], exclude: [{os: mac, n: 2}] } }
    timeout-minutes: ${{ matrix.n }}
    continue-on-error: ${{ matrix.os == 'mac' }}
    steps: [{run: x}]
  u:
    name: \"u ${{ matrix.a }} of ${{ strategy.job-total }}\"
    strategy: { matrix: { a: [x, y] } }
    steps: [{run: x}]",
    );
    play.expect("t.1 started, t.2 started, t.3 started, u.1 started, u.2 started");
    let names: Vec<_> = play.run.jobs.iter().map(|job| job.spec.name.as_str()).collect();
    assert_eq!(names, ["t (linux, 1)", "t (linux, 2)", "t (mac, 1)", "u x of 2", "u y of 2"]);
    let minutes: Vec<_> = play.run.jobs.iter().map(|job| job.spec.timeout_minutes).collect();
    assert_eq!(minutes, [1.0, 2.0, 1.0, 45.0, 45.0]);
    assert!(play.run.jobs[2].continue_on_error && !play.run.jobs[0].continue_on_error);
}

#[test]
fn a_matrix_from_an_earlier_output() {
    let mut play = Play::new(
        "  plan: {steps: [{run: x}]}
  work:
    needs: plan
    strategy: { matrix: '${{ fromJSON(needs.plan.outputs.m) }}' }
    steps: [{run: x}]
  after: {needs: work, steps: [{run: x}]}",
    );
    play.end_with("plan", Conclusion::Success, &[("m", r#"{"v":["a","b"]}"#)], &[]);
    play.expect("plan success, work.1 started, work.2 started, after blocked");
    play.end_with("work.2", Conclusion::Success, &[("o", "two"), ("p", "")], &[]);
    play.end_with("work.1", Conclusion::Success, &[("o", ""), ("p", "one")], &[]);
    play.expect("plan success, work.1 success, work.2 success, after started");
    let needs = &play.run.context_values(play.run.job("after").unwrap())["needs"]["work"];
    assert_eq!(
        needs["outputs"],
        serde_json::json!({"o": "two", "p": "one"}),
        "an empty output takes nothing back"
    );
    assert_eq!(needs["jobs"][1]["matrix"]["v"], "b");
}

#[test]
fn a_matrix_that_is_none_fails() {
    for (value, expected) in
        [("[]", "a matrix is a mapping"), (r#"{"v":[]}"#, "has no values"), ("nonsense", "matrix")]
    {
        let mut play = Play::new(
            "  plan: {steps: [{run: x}]}\n  work: {needs: plan, strategy: {matrix: '${{ fromJSON(needs.plan.outputs.m) }}'}, steps: [{run: x}]}",
        );
        play.end_with("plan", Conclusion::Success, &[("m", value)], &[]);
        play.expect("plan success, work failure");
        let reason = play.run.reason.clone().unwrap();
        assert!(
            reason.starts_with("w.yml:5:") && reason.contains(expected) || value == "nonsense",
            "{reason}"
        );
    }
}

const THREE: &str = "    strategy: { STRATEGY matrix: { n: [1, 2, 3] } }\n    steps: [{run: x}]\n";

#[test]
fn the_first_failure_ends_the_others_unless_told_otherwise() {
    let mut play = Play::new(&format!(
        "  t:\n{}  after: {{needs: t, if: always(), steps: [{{run: x}}]}}",
        THREE.replace("STRATEGY", "")
    ));
    play.launch("t.1");
    play.end("t.2", Conclusion::Failure);
    play.expect("t.1 started, t.2 failure, t.3 cancelled, after blocked");
    play.stopped("t.1");
    play.expect("t.1 cancelled, t.2 failure, t.3 cancelled, after started");
    let needs = play.run.context_values(play.run.job("after").unwrap());
    assert_eq!(needs["needs"]["t"]["result"], "failure");

    let mut play = Play::new(&format!("  t:\n{}", THREE.replace("STRATEGY", "fail-fast: false,")));
    play.end("t.2", Conclusion::Failure);
    play.expect("t.1 started, t.2 failure, t.3 started");
}

#[test]
fn a_forgiven_failure_ends_nobody() {
    let jobs = format!("  t:\n    continue-on-error: true\n{}", THREE.replace("STRATEGY", ""));
    let mut play = Play::new(&jobs);
    play.end("t.2", Conclusion::Failure);
    play.expect("t.1 started, t.2 failure, t.3 started");
}

#[test]
fn only_so_many_at_once() {
    let mut play = Play::new(&format!("  t:\n{}", THREE.replace("STRATEGY", "max-parallel: 1,")));
    play.expect("t.1 started, t.2 ready, t.3 ready");
    play.end("t.1", Conclusion::Success);
    play.expect("t.1 success, t.2 started, t.3 ready");
    play.end("t.2", Conclusion::Failure);
    play.expect("t.1 success, t.2 failure, t.3 cancelled");

    let play = Play::new(&format!("  t:\n{}", THREE.replace("STRATEGY", "max-parallel: 2,")));
    play.expect("t.1 started, t.2 started, t.3 ready");
}

#[test]
fn a_skipped_matrix_stays_one_job() {
    let play = Play::new(&format!("  t:\n    if: false\n{}", THREE.replace("STRATEGY", "")));
    play.expect("t skipped");
    assert_eq!(play.run.conclusion, Some(Conclusion::Skipped));
}
