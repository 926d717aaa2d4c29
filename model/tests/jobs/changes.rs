//! Branches, handing over, candidates and the one that is picked, permissions, called workflows.

use super::world::{Play, workflow};
use cloud_code_model::run::{Conclusion, ReportSummary};
use cloud_code_model::workflow::Workflow;

#[test]
fn each_of_a_matrix_has_its_own_branch() {
    let play = Play::new(
        "  one: {steps: [{uses: agent}]}
  many: { strategy: {matrix: {cli: [claude-code, codex]}}, steps: [{uses: agent, with: {cli: '${{ matrix.cli }}'}}] }
  same: { strategy: {matrix: {v: ['a b', 'a-b']}}, steps: [{run: x}] }",
    );
    let branches: Vec<_> = play.run.jobs.iter().map(|job| play.run.branch_of(job)).collect();
    assert_eq!(
        branches,
        [
            "cloud-code/issue-7",
            "cloud-code/issue-7-many-claude-code",
            "cloud-code/issue-7-many-codex",
            "cloud-code/issue-7-same-1",
            "cloud-code/issue-7-same-2",
        ]
    );
    assert_eq!(play.run.branches(), branches);
    assert_eq!(play.run.clis(play.run.job("many.2").unwrap(), "script"), ["codex"]);
    assert_eq!(play.run.clis(play.run.job("one").unwrap(), "script"), ["script"]);
}

#[test]
fn a_job_is_given_the_secrets_that_it_names() {
    let play = Play::of(workflow(
        "env: {OUTER: '${{ secrets.outer }}'}",
        "  one:
    env: {A: \"x${{ secrets.job_env || secrets['Or_This'] }}\"}
    steps:
      - {run: 'echo ${{ secrets.RUN }} secrets.TEXT ${{ github.secrets.NOT }}', env: {B: '${{ secrets.STEP }}'}}
      - {uses: agent, with: {cli: script, prompt: 'p ${{ secrets.PROMPT }}', secrets: 'listed, too'}}
  two: {steps: [{run: 'echo ${{ toJSON(secrets) }}'}]}
  three: {steps: [{run: \"echo ${{ secrets[format('A{0}', matrix.x)] }}\"}]}",
    ));
    let named = |job: &str| play.run.named_secrets(play.run.job(job).unwrap());
    let one = named("one");
    let names: Vec<_> = one.names.iter().map(String::as_str).collect();
    let expected = ["JOB_ENV", "LISTED", "OR_THIS", "OUTER", "PROMPT", "RUN", "STEP", "TOO"];
    assert_eq!((names.as_slice(), one.all), (&expected[..], false));
    assert!(named("two").all && named("three").all);
}

#[test]
fn a_later_job_goes_on_from_an_earlier_ones_change() {
    let mut play = Play::new(
        "  first: {steps: [{uses: agent}]}
  second: { needs: first, steps: [{uses: agent, with: {from: needs.first}}] }",
    );
    let branch = play.publish("first");
    let second = play.run.job("second").unwrap();
    let (from, publication) = play.run.start_of(second).unwrap().unwrap();
    assert_eq!((from.key.as_str(), &publication.branch), ("first", &branch));
    assert!(play.run.opens_pull(play.run.job("first").unwrap()));
}

#[test]
fn from_a_matrix_the_job_with_the_same_values_is_taken() {
    let mut play = Play::new(
        "  try: { strategy: {matrix: {cli: [a, b]}}, steps: [{uses: agent}] }
  mend: { needs: try, strategy: {matrix: {cli: [a, b]}}, steps: [{uses: agent, with: {from: needs.try}}] }
  any: { needs: try, steps: [{uses: agent, with: {from: needs.try}}] }",
    );
    play.publish("try.1");
    play.publish("try.2");
    let start =
        |key: &str| play.run.start_of(play.run.job(key).unwrap()).map(|start| start.unwrap().0.key.clone());
    assert_eq!(start("mend.2").unwrap(), "try.2");
    assert!(start("any").unwrap_err().contains("any of 2 changes"));
}

const JUDGED: &str = "  try: { strategy: {fail-fast: false, matrix: {cli: [a, b]}}, steps: [{uses: agent}] }
  mend: { needs: try, if: false, steps: [{uses: agent, with: {from: needs.try}}] }
  judge: { needs: try, if: '!cancelled()', steps: [{uses: agent, with: {pick: needs.try}}] }";

#[test]
fn a_judge_picks_one_and_only_that_is_published() {
    for (pick, expected) in [
        ("a", Ok("try.1")),
        ("B\n", Ok("try.2")),
        ("cloud-code/issue-7-try-b", Ok("try.2")),
        ("sha-of-try.1", Ok("try.1")),
        ("try.2", Ok("try.2")),
        ("neither", Err("is `neither`, which is no candidate")),
        ("", Err("is no candidate")),
    ] {
        let mut play = Play::new(JUDGED);
        play.publish("try.1");
        play.publish("try.2");
        assert!(!play.run.opens_pull(play.run.job("try.1").unwrap()), "a candidate opens no pull request");
        play.end_with("judge", Conclusion::NoChanges, &[], &[("pick", pick)]);
        let judge = play.run.job("judge").unwrap();
        let attempt = judge.attempts.last().unwrap();
        match expected {
            Ok(candidate) => {
                assert_eq!(attempt.picked.as_deref(), Some(candidate), "{pick:?}");
                assert!(play.effects().contains(&"publish/judge/1".to_owned()));
            }
            Err(part) => {
                let reason = judge.reason.clone().unwrap();
                assert!(reason.contains(part), "{reason}");
            }
        }
    }
}

#[test]
fn permissions_decide_what_is_published() {
    for (head, own, contents, pulls) in [
        ("", "", true, true),
        ("permissions: read-all", "", false, false),
        ("permissions: { contents: write }", "", true, false),
        ("permissions: read-all", "permissions: write-all,", true, true),
        ("", "permissions: { contents: write, pull-requests: write },", true, true),
        ("", "permissions: {},", false, false),
    ] {
        let mut play = Play::of(workflow(head, &format!("  a: {{ {own} steps: [{{uses: agent}}] }}")));
        let job = play.run.job("a").unwrap();
        assert_eq!(
            (play.run.may_write(job, "contents"), play.run.may_write(job, "pull-requests")),
            (contents, pulls),
            "{head} {own}"
        );
        play.launch("a");
        let report =
            ReportSummary { conclusion: Some(Conclusion::Success), has_changes: true, ..Default::default() };
        play.report("a", report);
        assert_eq!(play.effects().contains(&"publish/a/1".to_owned()), contents);
        if !contents {
            assert!(play.run.reason.clone().unwrap().contains("permissions"));
        }
    }
}

fn calling(caller: &str, called: &str) -> Workflow {
    let mut outer = workflow("", caller);
    let text = format!(
        "on: {{workflow_call: {{inputs: {{who: {{type: string, default: you}}}}, outputs: {{said: {{value: '${{{{ jobs.say.outputs.said }}}}'}}}}}}}}\njobs:\n{called}"
    );
    let inner = cloud_code_model::workflow::read("inner.yml", &text).unwrap();
    for job in &mut outer.plan.jobs {
        if let Some(call) = &mut job.call {
            call.plan = Some(inner.plan.clone());
        }
    }
    outer
}

#[test]
fn a_called_workflow_runs_its_jobs_and_gives_outputs() {
    let mut play = Play::of(calling(
        "  call: { uses: ./inner.yml, with: { who: me } }\n  after: { needs: call, name: \"${{ needs.call.outputs.said }}\", steps: [{run: x}] }",
        "  say: { name: \"for ${{ inputs.who }}\", steps: [{run: x}] }\n  end: { needs: say, steps: [{run: x}] }",
    ));
    play.expect("call calling, call.say started, call.end blocked, after blocked");
    assert_eq!(play.run.job("call.say").unwrap().spec.name, "call / for me");
    play.end_with("call.say", Conclusion::Success, &[("said", "hello")], &[]);
    play.end("call.end", Conclusion::Success);
    play.expect("call success, call.say success, call.end success, after started");
    assert_eq!(play.run.job("after").unwrap().spec.name, "hello");
}

#[test]
fn a_called_workflow_fails_and_is_cancelled_as_a_whole() {
    let two = "  say: {steps: [{run: x}]}\n  end: {needs: say, steps: [{run: x}]}";
    let mut play =
        Play::of(calling("  call: { uses: ./inner.yml }\n  after: { needs: call, steps: [{run: x}] }", two));
    play.end("call.say", Conclusion::Failure);
    play.expect("call failure, call.say failure, call.end skipped, after skipped");

    let mut play = Play::of(calling(
        "  call: { strategy: {matrix: {who: [a, b]}}, uses: ./inner.yml, with: { who: '${{ matrix.who }}' } }",
        two,
    ));
    play.expect("call.1 calling, call.1.say started, call.1.end blocked, call.2 calling, call.2.say started, call.2.end blocked");
    play.launch("call.1.say");
    play.cancel();
    play.stopped("call.1.say");
    play.expect("call.1 cancelled, call.1.say cancelled, call.1.end skipped, call.2 cancelled, call.2.say cancelled, call.2.end skipped");
}
