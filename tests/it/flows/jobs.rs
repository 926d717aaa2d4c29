//! Runs of several jobs, from the label to the pull request. The workflows of `docs/examples` are run as they stand there, but for the CLIs.

use crate::harness::{Options, SHOP, World};

/// An example of the docs, with a script in the place of each CLI.
fn example(name: &str, scripts: &[(&str, &str)]) -> Options {
    let path = format!("{}/docs/examples/{name}.yml", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (cli, script) in scripts {
        let line = format!("          cli: {cli}\n");
        assert!(text.contains(&line), "{name} has no {line:?}");
        let with = format!("          cli: script\n          command: |\n            {script}\n");
        text = text.replacen(&line, &with, 1);
    }
    Options::default().workflow(&text)
}

#[tokio::test(flavor = "multi_thread")]
async fn clis_work_side_by_side_on_branches_of_their_own() {
    let world = World::start(example(
        "side-by-side",
        &[("${{ matrix.cli }}", "echo 'by ${{ matrix.cli }}, ${{ strategy.job-index }}' > answer.txt")],
    ))
    .await;
    let number = world.ask("Answer", "");
    let comment = world.expect_comment(number, &["✅ **Done.**"]).await;
    for (cli, index) in [("claude-code", 0), ("codex", 1)] {
        let branch = format!("cloud-code/issue-1-implement-{cli}");
        assert_eq!(world.file(&branch, "answer.txt").unwrap(), format!("by {cli}, {index}\n"));
        assert!(comment.body.contains(&format!("- ✅ implement ({cli}): #")), "{}", comment.body);
    }
    assert_eq!(world.forge.pulls(SHOP).unwrap().len(), 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_cli_hands_over_to_another() {
    let world = World::start(example(
        "handover",
        &[
            ("claude-code", "echo one > one.txt; echo '{\"type\":\"summary\",\"text\":\"I wrote one.\"}'"),
            ("codex", "cat one.txt > two.txt; cp \"$CLOUD_CODE_PROMPT_FILE\" prompt.txt"),
        ],
    ))
    .await;
    let number = world.ask("Count", "");
    world.expect_comment(number, &["✅ **Done.**", "- ✅ implement: #2", "- ✅ polish: #2"]).await;
    let pull = world.expect_pull(number).await;
    assert_eq!(pull.head_branch, "cloud-code/issue-1", "it goes on in the same pull request");
    assert_eq!(world.file(&pull.head_branch, "two.txt").as_deref(), Some("one\n"));
    let prompt = world.file(&pull.head_branch, "prompt.txt").unwrap();
    for wanted in [
        "Review the change in 1 file(s)",
        "# What was done before you",
        "I wrote one.",
        "`implement` by script",
    ] {
        assert!(prompt.contains(wanted), "{wanted:?} is not in {prompt}");
    }
    assert_eq!(world.forge.pulls(SHOP).unwrap().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_picks_one_candidate_and_only_that_becomes_a_pull_request() {
    let judge = "cp \"$CLOUD_CODE_PROMPT_FILE\" \"$TMPDIR/p\"; grep -q 'issue-1-attempt-claude-code' \"$TMPDIR/p\" && echo pick=codex >> \"$GITHUB_OUTPUT\"";
    let world = World::start(example(
        "best-of",
        &[("${{ matrix.cli }}", "echo '${{ matrix.cli }}' > answer.txt"), ("claude-code", judge)],
    ))
    .await;
    let number = world.ask("Answer", "");
    world.expect_comment(number, &["✅ **Done.**", "attempt (claude-code): branch", "- ✅ judge: #2"]).await;
    let pull = world.expect_pull(number).await;
    assert_eq!(pull.head_branch, "cloud-code/issue-1-attempt-codex");
    assert_eq!(world.file(&pull.head_branch, "answer.txt").as_deref(), Some("codex\n"));
    assert_eq!(world.forge.pulls(SHOP).unwrap().len(), 1);
    world.finish().await;
}

const OUTPUTS: &str = "name: outputs
on: { issues: { types: [labeled] } }
env: { WHERE: workflow, OUTER: kept }
defaults: { run: { shell: bash } }
jobs:
  plan:
    env: { WHERE: job }
    outputs: { parts: '${{ steps.list.outputs.parts }}', where: '${{ steps.list.outputs.where }}' }
    steps:
      - id: list
        env: { WHERE: step }
        run: |
          echo 'parts={\"part\":[\"a\",\"b\"]}' >> $GITHUB_OUTPUT
          echo \"where=$WHERE $OUTER\" >> $GITHUB_OUTPUT
  work:
    needs: plan
    strategy: { matrix: '${{ fromJSON(needs.plan.outputs.parts) }}' }
    outputs: { last: '${{ matrix.part }}' }
    steps:
      - uses: agent
        with: { cli: script, command: \"echo '${{ matrix.part }} ${{ needs.plan.outputs.where }}' > ${{ matrix.part }}.txt\" }
  never:
    needs: work
    if: failure()
    steps: [{ run: exit 1 }]
  after:
    needs: [work, plan]
    if: contains(fromJSON('[\"a\",\"b\"]'), needs.work.outputs.last)
    steps: [{ run: 'test \"${{ needs.work.result }}\" = success' }]
";

#[tokio::test(flavor = "multi_thread")]
async fn outputs_make_a_matrix_and_reach_later_jobs() {
    let world = World::start(Options::default().workflow(OUTPUTS)).await;
    let number = world.ask("Divide", "");
    world
        .expect_comment(
            number,
            &[
                "✅ **Done.**",
                "- ➖ plan",
                "- ✅ work (a): #",
                "- ✅ work (b): #",
                "- ⏭️ never",
                "- ➖ after",
            ],
        )
        .await;
    for part in ["a", "b"] {
        let text = world.file(&format!("cloud-code/issue-1-work-{part}"), &format!("{part}.txt")).unwrap();
        assert_eq!(
            text,
            format!("{part} step kept\n"),
            "a step's env wins over its job's over the workflow's"
        );
    }
    let run = world.expect_conclusion(number, "success").await;
    assert_eq!(
        run.jobs.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(),
        ["plan", "work.1", "work.2", "never", "after"]
    );
    assert_eq!(run.jobs[0].outputs["where"], "step kept");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn called_workflows_and_composite_actions_of_the_repository_run() {
    let world = World::start(
        Options::default()
            .workflow("on: { issues: { types: [labeled] } }\njobs:\n  call:\n    uses: ./.cloud-code/called.yml\n    with: { who: world }\n")
            .file(
                ".cloud-code/called.yml",
                "on: { workflow_call: { inputs: { who: { type: string } } } }\njobs:\n  greet:\n    steps:\n      - { id: hi, uses: ./tools/greet, with: { who: '${{ inputs.who }}' } }\n      - uses: agent\n        with: { cli: script, command: \"echo '${{ steps.hi.outputs.said }}' > said.txt\" }\n",
            )
            .file(
                "tools/greet/action.yml",
                "name: greet\ninputs: { who: { default: nobody }, how: { default: hello } }\noutputs: { said: { value: '${{ steps.say.outputs.text }}' } }\nruns:\n  using: composite\n  steps:\n    - { id: say, shell: bash, run: 'echo \"text=${{ inputs.how }} ${{ inputs.who }}\" >> $GITHUB_OUTPUT' }\n    - { if: failure(), shell: bash, run: exit 1 }\n",
            ),
    )
    .await;
    let number = world.ask("Greet", "");
    world.expect_comment(number, &["✅ **Done.**", "call / greet"]).await;
    let pull = world.expect_pull(number).await;
    assert_eq!(world.file(&pull.head_branch, "said.txt").as_deref(), Some("hello world\n"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_approves_and_only_then_it_starts() {
    let workflow = "on: { issues: { types: [labeled] } }\njobs:\n  ship:\n    environment: production\n    steps: [{ uses: agent, with: { cli: script, command: 'echo x > x.txt' } }]\n";
    let world = World::start(
        Options::default()
            .workflow(workflow)
            .file(".cloud-code/environments.yml", "production: { reviewers: [ann, wes] }\n"),
    )
    .await;
    let number = world.ask("Ship", "");
    world
        .expect_comment(number, &["⏸️ `ship` waits for an approval of `production` by `ann` or `wes`"])
        .await;
    world.comment("ann", number, "/cloud-code approve");
    world
        .expect_comment(
            number,
            &["@ann, that can't be done: ann started this run, and nobody approves a run of their own."],
        )
        .await;
    let run = world.runs().await.remove(0);
    assert_eq!(run.jobs[0].state, "environment");
    let answer = world.http("POST", &format!("/api/v1/runs/{}/approve?job=ship&by=tri", run.id)).await;
    assert_eq!(answer.status, 409, "{}", answer.body);
    world.comment("wes", number, "/cloud-code approve ship");
    world.expect_comment(number, &["@wes, `ship` approved."]).await;
    world.expect_comment(number, &["✅ **Done.**"]).await;
    world.expect_pull(number).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_runs_again() {
    let workflow = "on: { issues: { types: [labeled] } }\njobs:\n  good:\n    steps: [{ run: 'true' }]\n  bad:\n    steps: [{ run: 'test ${{ github.run_attempt }} = 2' }]\n  after:\n    needs: [good, bad]\n    steps: [{ run: 'true' }]\n";
    let world = World::start(Options::default().workflow(workflow)).await;
    let number = world.ask("Try", "");
    world.expect_comment(number, &["❌ **Failed.**", "- ➖ good", "- ❌ bad", "- ⏭️ after"]).await;
    world.comment("ann", number, "/cloud-code rerun");
    world.expect_comment(number, &["@ann, what failed runs again."]).await;
    let comment = world.expect_comment(number, &["➖ **No changes.**", "- ➖ bad", "- ➖ after"]).await;
    assert!(comment.body.contains("- ➖ good"), "{}", comment.body);
    let run = world.expect_conclusion(number, "no_changes").await;
    let tries: Vec<_> = run.jobs.iter().map(|job| job.attempts.len()).collect();
    assert_eq!(tries, [1, 2, 1]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_a_group_wait_for_each_other() {
    let workflow = "on: { issues: { types: [labeled] } }\nconcurrency: { group: all, queue: max }\njobs:\n  a:\n    steps: [{ run: 'sleep 0.3' }]\n";
    let world = World::start(Options::default().workflow(workflow).env("CONCURRENCY", 4)).await;
    let numbers: Vec<u64> = (0..4).map(|n| world.ask(&format!("Wish {n}"), "")).collect();
    for number in &numbers {
        world.expect_comment(*number, &["➖ **No changes.**"]).await;
    }
    let mut runs = world.runs().await.into_iter().map(|run| run.id).collect::<Vec<_>>();
    runs.sort();
    let mut times = Vec::new();
    for id in runs {
        let run = world.run(&id).await;
        times.push((run.started_at.unwrap(), run.finished_at.unwrap()));
    }
    times.sort();
    assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0), "one after the other: {times:?}");
    world.finish().await;
}
