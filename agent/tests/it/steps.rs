//! Steps that run: what they see, what they hand on, and what becomes of their work.

use cloud_code_model::task::{Conclusion, PricedBy, StepConclusion as S};

use crate::harness::Lab;

#[test]
fn a_script_changes_a_file_and_a_run_step_checks_it() {
    let lab = Lab::new();
    let left = lab.run(
        r##"
- id: fix
  uses: agent
  with:
    cli: script
    prompt: "add a file named ${{ secrets.X }}"
    command: |
      cat "$CLOUD_CODE_PROMPT_FILE" > prompt.txt
      echo '{"type":"usage","input_tokens":10,"output_tokens":2,"cost_usd":0.25,"turns":3}'
      echo '{"type":"session","id":"s-9"}'
      echo "pr-title=A title" >> "$GITHUB_OUTPUT"
      echo "I added it."
- run: test -f prompt.txt && echo "${{ steps.fix.outputs.summary }}" > said.txt
"##,
        "author: { name: Bot, email: bot@example.com }\ncommit-message: Fix it",
    );
    left.expect(Conclusion::Success);
    assert_eq!(left.conclusions(), [S::Success, S::Success]);
    let fix = left.step(0);
    let usage = fix.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.cost_usd), (10, 2, Some(0.25)));
    assert_eq!(usage.priced_by, PricedBy::Cli);
    assert_eq!(
        (fix.turns, fix.session.as_deref(), fix.summary.as_deref()),
        (Some(3), Some("s-9"), Some("I added it."))
    );
    assert_eq!(fix.exit_code, Some(0));
    assert!(fix.started_at.unwrap() <= fix.finished_at.unwrap());
    let task = &left.report.tasks[0];
    assert_eq!(task.outputs["pr-title"], "A title");
    let changes = task.changes.as_ref().unwrap();
    assert_eq!((changes.commits, changes.files, changes.insertions, changes.deletions), (1, 2, 2, 0));
    assert_eq!(changes.base, lab.base);
    assert_eq!(lab.files(&changes.head), ["README.md", "prompt.txt", "said.txt"]);
    lab.check_bundle(&left.report);
    let repository = lab.repository();
    let commit = repository.find_commit(changes.head.parse().unwrap()).unwrap();
    assert_eq!((commit.author().name(), commit.author().email()), (Ok("Bot"), Ok("bot@example.com")));
    assert_eq!(commit.message(), Ok("Fix it"));
    // The prompt is complete as it comes: what looks like an expression in it is the issue's text.
    assert_eq!(
        std::fs::read_to_string(lab.root().join("prompt.txt")).unwrap(),
        "add a file named ${{ secrets.X }}"
    );
    assert!(!left.report.salvaged);
}

#[test]
fn nothing_changed_is_its_own_conclusion() {
    let lab = Lab::new();
    let left = lab.run(
        "- { uses: agent, with: { cli: script, prompt: p, command: 'echo nothing to do' } }\n- run: 'true'",
        "",
    );
    left.expect(Conclusion::NoChanges);
    assert_eq!(left.conclusions(), [S::NoChanges, S::Success]);
    let changes = left.report.tasks[0].changes.as_ref().unwrap();
    assert_eq!((changes.base.as_str(), changes.files, &changes.bundle), (changes.head.as_str(), 0, &None));
}

#[test]
fn a_failed_step_skips_the_rest_and_its_work_is_salvaged() {
    let lab = Lab::new();
    let left = lab.run(
        r##"
- run: echo half > half.txt
- { id: bad, run: "echo no; exit 3" }
- run: echo never > never.txt
- { run: "echo ${{ steps.bad.outcome }} > cleanup.txt", if: "failure() && steps.bad.conclusion == 'failure'" }
- { run: "true", if: always() }
"##,
        "",
    );
    left.expect(Conclusion::Failure);
    assert_eq!(left.conclusions(), [S::Success, S::Failure, S::Skipped, S::Success, S::Success]);
    assert_eq!(left.step(1).exit_code, Some(3));
    assert_eq!(left.message(), "Step `bad`: exit code 3");
    assert!(left.report.salvaged);
    assert_eq!(std::fs::read_to_string(lab.root().join("cleanup.txt")).unwrap(), "failure\n");
    lab.check_bundle(&left.report);
}

#[test]
fn continue_on_error_forgives() {
    let lab = Lab::new();
    let left = lab.run(
        r##"
- { id: soft, run: "exit 1", continue-on-error: "${{ 1 == 1 }}" }
- run: echo "${{ steps.soft.outcome }} ${{ steps.soft.conclusion }}" > seen.txt
"##,
        "",
    );
    left.expect(Conclusion::Success);
    assert_eq!(left.conclusions(), [S::Failure, S::Success]);
    assert_eq!(std::fs::read_to_string(lab.root().join("seen.txt")).unwrap(), "failure success\n");
}

#[test]
fn steps_hand_on_outputs_variables_paths_and_summaries() {
    let lab = Lab::new();
    let left = lab.run(
        r##"
- id: one
  env: { MINE: "only here", SHARED: step }
  run: |
    echo "a=1" >> "$GITHUB_OUTPUT"
    printf 'long<<EOF\nfirst\nsecond\nEOF\n' >> "$GITHUB_OUTPUT"
    echo "LATER=yes" >> "$GITHUB_ENV"
    mkdir -p "$RUNNER_TEMP/tools"
    printf '#!/bin/sh\necho tool ran\n' > "$RUNNER_TEMP/tools/mytool"
    chmod +x "$RUNNER_TEMP/tools/mytool"
    echo "$RUNNER_TEMP/tools" >> "$GITHUB_PATH"
    echo "# Summary" >> "$GITHUB_STEP_SUMMARY"
    echo "$MINE $SHARED $CI $CLOUD_CODE ${{ matrix.n }} $GITHUB_REPOSITORY" > one.txt
- run: |
    mytool > two.txt
    echo "$LATER ${{ env.LATER }} [${MINE-}] $SHARED ${{ steps.one.outputs.a }}" >> two.txt
    printf '%s' "${{ steps.one.outputs.long }}" >> two.txt
"##,
        "env: { SHARED: task, FROM: '${{ matrix.n }}' }\ncontext: { matrix: { n: 7 } }",
    );
    left.expect(Conclusion::Success);
    let read = |name: &str| std::fs::read_to_string(lab.root().join(name)).unwrap();
    assert_eq!(read("one.txt"), "only here step true true 7 acme/shop\n");
    assert_eq!(read("two.txt"), "tool ran\nyes yes [] task 1\nfirst\nsecond");
    assert_eq!(left.step(0).summary.as_deref(), Some("# Summary"));
    assert_eq!(left.step(0).outputs["long"], "first\nsecond");
}

#[test]
fn shells() {
    let lab = Lab::new();
    let left = lab.run(
        r##"
- { id: pipefail, run: "false | true", continue-on-error: true }
- { id: sh, run: "false | true; echo $0", shell: sh }
- { id: python, run: "open('py.txt', 'w').write('x')", shell: python }
- { id: custom, run: "print 'perl'", shell: "perl {0}" }
- { id: folder, run: "pwd > pwd.txt", working-directory: sub }
- { id: unknown, run: "x", shell: pwsh, continue-on-error: true, if: always() }
"##,
        "",
    );
    left.expect(Conclusion::Failure);
    assert_eq!(left.conclusions(), [S::Failure, S::Success, S::Success, S::Success, S::Failure, S::Failure]);
    assert!(left.step(4).error.as_deref().unwrap().contains("there is no folder"));
    assert!(left.step(5).error.as_deref().unwrap().contains("shell: `pwsh` is not known here"));
    assert!(left.log.contains("perl"));
}

#[test]
fn mistakes_in_a_workflow_are_told() {
    let check = |step: &str, words: &str| {
        let left = Lab::new().run(step, "");
        left.expect(Conclusion::Failure);
        assert!(left.message().contains(words), "{step}: {}", left.message());
    };
    check("- { uses: actions/setup-node@v4 }", "`uses: actions/setup-node@v4` is not supported here");
    check(
        "- { uses: agent, with: { cli: nano, prompt: p } }",
        "`nano` is not known here; there are claude-code, codex, gemini, aider, opencode, script",
    );
    check("- { uses: agent, with: { cli: script, prompt: p } }", "with.command");
    check("- { uses: agent, with: { cli: script, command: x } }", "an agent needs a prompt");
    check("- { run: 'echo ${{ nothing( }}' }", "run: ");
    check("- { run: x, if: 'matrix.' }", "if: ");
    check("- { run: x, timeout-minutes: -4 }", "timeout-minutes");
    check("- { run: 'echo hello >> $GITHUB_OUTPUT' }", "`hello` is neither");
    check(
        "- { uses: agent, with: { cli: script, prompt: p, command: x, secrets: NOPE } }",
        "no secret `NOPE`",
    );
    check("- {}", "neither");
}

#[test]
fn checkout_is_done_already() {
    let left = Lab::new().run("- uses: actions/checkout@v5\n- run: echo x > x", "");
    left.expect(Conclusion::Success);
}

#[test]
fn task_files_are_not_committed_by_anyone() {
    let lab = Lab::new();
    let left = lab.run(
        "- run: |\n    echo x > x\n    git add --all\n    git commit --quiet -m 'my own'\n    echo y > y",
        "author: { name: Bot, email: bot@example.com }",
    );
    left.expect(Conclusion::Success);
    let changes = left.report.tasks[0].changes.as_ref().unwrap();
    assert_eq!(changes.commits, 2);
    assert_eq!(lab.files(&changes.head), ["README.md", "x", "y"]);
    let repository = lab.repository();
    let own = repository.find_commit(changes.head.parse().unwrap()).unwrap().parent(0).unwrap();
    assert_eq!(own.author().email(), Ok("bot@example.com"));
}

#[test]
fn work_that_cannot_be_collected_is_a_failure() {
    let lab = Lab::new();
    let left =
        lab.run("- run: |\n    git checkout --quiet --orphan other\n    git commit --quiet -m other", "");
    left.expect(Conclusion::Failure);
    assert!(left.message().contains("The work could not be collected"), "{}", left.message());
    let lab = Lab::new();
    let left = lab.run("- run: rm -rf .git", "");
    left.expect(Conclusion::Failure);
    assert!(left.message().contains("could not be collected"), "{}", left.message());
}

#[test]
fn what_a_step_leaves_running_does_not_hold_it_up_and_is_ended_before_the_commit() {
    let lab = Lab::new();
    let left = lab
        .run("- run: |\n    (while :; do echo more >> more.txt; sleep 0.01; done) &\n    echo $! > pid", "");
    left.expect(Conclusion::Success);
    let pid: i32 = std::fs::read_to_string(lab.root().join("pid")).unwrap().trim().parse().unwrap();
    // Gone, or a zombie that nobody has waited for yet.
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

#[test]
fn workflow_commands_become_remarks_and_leave_the_log_readable() {
    let left = Lab::new().run(
        r##"
- run: |
    echo '::error file=src/a.rs,line=3,col=5,title=No::It does not%0Acompile'
    echo '::warning::careful' >&2
    echo '::group::Tests'
    echo '::endgroup::'
    echo '::stop-commands::t0k'
    echo '::error::not read'
    echo '::t0k::'
    echo '::notice::fine'
    echo '::set-output name=a::b'
    for n in $(seq 60); do echo "::notice::$n"; done
"##,
        "",
    );
    left.expect(Conclusion::NoChanges);
    let found = &left.step(0).annotations;
    assert_eq!(found.len(), 50);
    let error = found.iter().find(|annotation| annotation.file.is_some()).unwrap();
    assert_eq!((error.file.as_deref(), error.line, error.column), (Some("src/a.rs"), Some(3), Some(5)));
    assert_eq!((error.title.as_deref(), error.message.as_str()), (Some("No"), "It does not\ncompile"));
    let kept = |text: &str| found.iter().filter(|annotation| annotation.message == text).count();
    assert_eq!((kept("careful"), kept("fine"), kept("not read")), (1, 1, 0));
    for line in [
        "##[error]It does not\ncompile\n",
        "##[group]Tests\n",
        "::error::not read\n",
        "::set-output name=a::b\n",
    ] {
        assert!(left.log.contains(line), "{line:?}: {}", left.log);
    }
    assert!(left.log.contains("13 remarks more are in this log alone"), "{}", left.log);
}

/// A message of several lines can't smuggle a second command in: what it stands for is not read again.
#[test]
fn a_command_in_a_command_is_text() {
    let left = Lab::new().run("- run: 'echo \"::error::a%0A::add-mask::hello\"; echo hello'", "");
    assert_eq!(left.step(0).annotations[0].message, "a\n::add-mask::hello");
    assert!(left.log.contains("\nhello\n"), "{}", left.log);
}
