//! Tables for both files: what is read, what is refused, and with which words.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const TASKING: &str = r#"
version: 1
run: r-5f0c
job: implement
attempt: 1
future: { of: [the, format] }
tasks:
  - id: t1
    repository: { owner: acme, name: shop, default_branch: trunk }
    base: 9f2c
    branch: cloud-code/issue-42
    env: { CI: true, PORT: 80, NAME: "x" }
    context: { github: { event: { issue: { number: 42 } } } }
    steps:
      - id: fix
        uses: agent
        with: { cli: claude-code, model: sonnet, prompt: "Do it", session: null, max-turns: 60 }
      - run: cargo test
        if: true
        timeout-minutes: 1.5
        continue-on-error: "${{ matrix.soft }}"
    limits: { timeout-minutes: 45, budget-usd: 5.0, silence-minutes: 10 }
"#;

const REPORT: &str = r#"
version: 1
run: r-5f0c
job: implement
attempt: 1
sequence: 17
at: 2026-11-23T01:02:03Z
status: completed
conclusion: success
tasks:
  - id: t1
    status: completed
    steps:
      - { id: fix, status: completed, conclusion: success, exit-code: 0, started-at: 2026-11-23T01:00:03Z,
          usage: { input-tokens: 2000, cached-input-tokens: 0, output-tokens: 400, cost-usd: 0.02, priced-by: cli },
          turns: 2, session: 9bd6, summary: "done &a *b" }
    outputs: { pr-title: "A title", number: 3 }
    changes: { base: 9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c, head: 77ab77ab77ab77ab77ab77ab77ab77ab77ab77ab,
               commits: 1, files: 3, insertions: 40, deletions: 2, bundle: changes.bundle,
               sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 }
"#;

const MAX: usize = 1 << 20;

#[test]
fn a_tasking_is_read_with_its_defaults_and_survives_writing() {
    let tasking = Tasking::parse(TASKING.as_bytes()).unwrap();
    let task = &tasking.tasks[0];
    assert!(tasking.closed);
    assert_eq!(task.repository.default_branch, "trunk");
    assert_eq!(task.env["CI"], "true");
    assert_eq!(task.env["PORT"], "80");
    assert_eq!(task.limits.budget_usd, Some(5.0));
    assert_eq!(task.steps[1].condition.as_deref(), Some("true"));
    assert_eq!(task.steps[1].timeout_minutes, Some(Dynamic::Value(1.5)));
    assert_eq!(task.steps[1].continue_on_error, Some(Dynamic::Expression("${{ matrix.soft }}".to_owned())));
    let StepKind::Agent(agent) = task.steps[0].kind().unwrap() else { panic!("an agent step") };
    assert_eq!(agent.max_turns, Some(60));
    assert_eq!(agent.session, None);
    assert_eq!(agent.model.as_deref(), Some("sonnet"));
    assert_eq!(Tasking::parse(tasking.to_yaml().unwrap().as_bytes()).unwrap(), tasking);
}

#[test]
fn a_report_is_read_and_survives_writing() {
    let report = Report::parse(REPORT.as_bytes(), MAX).unwrap();
    assert_eq!(report.conclusion, Some(Conclusion::Success));
    let step = &report.tasks[0].steps[0];
    assert_eq!(step.usage.unwrap().priced_by, PricedBy::Cli);
    assert_eq!(step.summary.as_deref(), Some("done &a *b"));
    assert_eq!(report.tasks[0].outputs["number"], "3");
    assert_eq!(Report::parse(report.to_yaml().unwrap().as_bytes(), MAX).unwrap(), report);
}

#[test]
fn reports_that_are_refused() {
    let check = |from: &str, to: &str, words: &str| {
        assert!(REPORT.contains(from), "{from}");
        let error = Report::parse(REPORT.replacen(from, to, 1).as_bytes(), MAX).expect_err(to).to_string();
        assert!(error.contains(words), "{to}: {error}");
    };
    check("version: 1", "version: 2", "has version 2, this server reads version 1");
    check("version: 1", "version: one", "has version \"one\"");
    check("version: 1\n", "\n", "has version missing");
    check("attempt: 1", "attempt: 0", "attempt");
    check("attempt: 1", "attempt: 99999999999", "attempt");
    check("sequence: 17", "sequence: -1", "sequence");
    check("conclusion: success\ntasks", "tasks", "missing although completed");
    check("conclusion: success\n", "conclusion: great\n", "great");
    check("status: completed\nconclusion", "status: queued\nconclusion", "although not completed");
    check("cost-usd: 0.02", "cost-usd: .nan", "tasks[0].steps[0].usage.cost-usd: expected a number");
    check("cost-usd: 0.02", "cost-usd: -1", "cost-usd");
    check("cost-usd: 0.02", "cost-usd: .inf", "cost-usd");
    check("cost-usd: 0.02", "cost-usd: 1e300", "cost-usd");
    check("input-tokens: 2000", "input-tokens: 18446744073709551615", "input-tokens");
    check("output-tokens: 400", "output-tokens: -3", "output-tokens");
    check("files: 3", "files: 99999999999", "changes.files");
    check("base: 9f2c", "base: ../9", "changes.base");
    for bundle in ["../x", "/etc/passwd", ".hidden", "a/b", "a b", "''"] {
        check("bundle: changes.bundle", &format!("bundle: {bundle}"), "changes.bundle");
    }
    check("sha256: e3b0", "sha256: E3B0", "sha256");
    check("id: t1", "id: \"t\\u0001\"", "control character");
    check("summary: \"done", "summary: \"\\0done", "NUL");
    check("id: t1", "id: !thing aGk=", "tags");
    check("run: r-5f0c", "run: [a]", "run");
    check("id: t1", &format!("id: {}", "x".repeat(300)), "at most 256");
    check("status: completed\n    steps", "status: completed\n    steps: 3\n    other", "steps");
}

#[test]
fn a_report_is_bounded() {
    assert_eq!(Report::parse(&[b'a'; 11], 10).unwrap_err(), ReportError::TooLarge { bytes: 11, max: 10 });
    assert_eq!(Report::parse(b"version: \xff", MAX).unwrap_err(), ReportError::NotText);
    let check = |text: String, words: &str| {
        let error = Report::parse(text.as_bytes(), MAX).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    // Depth, and the classic that doubles at each line.
    check(format!("version: 1\nx: {}", "[".repeat(100_000)), "brackets");
    check(format!("version: 1\nx: {}", "[".repeat(2_000)), "");
    check(format!("version: 1\nx: {}{}", "[".repeat(200), "]".repeat(200)), "recursion limit");
    let mut laughs = "version: 1\na0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for line in 1..12 {
        let previous = format!("*a{}", line - 1);
        laughs.push_str(&format!("a{line}: &a{line} [{}]\n", [previous.as_str(); 9].join(", ")));
    }
    check(laughs, "unfold");
    // One long text, asked for again and again in a place where it is kept.
    let text = format!(
        "version: 1\nx: &x {}\ntasks: [{{id: t, outputs: {{{}}}}}]",
        "y".repeat(100_000),
        (0..10_000).map(|n| format!("k{n}: *x, ")).collect::<String>()
    );
    check(text, "unfold");
    // Within bounds, an alias is plain YAML.
    let text = REPORT.replace("\"A title\"", "&t some").replace("number: 3", "number: *t");
    assert_eq!(Report::parse(text.as_bytes(), MAX).unwrap().tasks[0].outputs["number"], "some");
}

#[test]
fn taskings_that_are_refused() {
    let check = |from: &str, to: &str, words: &str| {
        assert!(TASKING.contains(from), "{from}");
        let error = Tasking::parse(TASKING.replacen(from, to, 1).as_bytes()).expect_err(to).to_string();
        assert!(error.contains(words), "{to}: {error}");
    };
    check("version: 1", "version: 7", "has version 7, this agent reads version 1");
    check("attempt: 1", "attempt: 0", "attempt");
    check("budget-usd: 5.0", "budget-usd: .nan", "tasks[0].limits.budget-usd");
    check("timeout-minutes: 45", "timeout-minutes: -1", "tasks[0].limits.timeout-minutes");
    check("silence-minutes: 10", "silence-minutes: .inf", "silence-minutes");
    check("branch: cloud-code/issue-42", "branch: ''", "branch");
    check("CI: true", "CI: [a]", "`CI` must be a string");
    check("run: r-5f0c", "run: r-5f0c: x", "line");
}

#[test]
fn steps_that_are_refused() {
    let check = |yaml: &str, words: &str| {
        let step: Step = serde_yaml::from_str(yaml).unwrap();
        let error = step.kind().expect_err(yaml).to_string();
        assert!(error.contains(words), "{yaml}: {error}");
    };
    check("{}", "neither");
    check("{run: a, uses: b}", "both");
    check("{uses: docker://x}", "`uses: docker://x` is not supported");
    check("{uses: actions/setup-node@v4}", "not supported");
    check("{uses: agent}", "`with.prompt`: an agent needs a prompt");
    check("{uses: agent, with: {prompt: [a]}}", "`with.prompt`: expected a string");
    check("{uses: agent, with: {prompt: a, max-turns: 0}}", "`with.max-turns`");
    check("{uses: agent, with: {prompt: a, max-turns: many}}", "found `many`");
    check("{uses: agent, with: {prompt: a, budget-usd: 'nan'}}", "`with.budget-usd`");
    check("{uses: agent, with: {prompt: a, secrets: {a: b}}}", "`with.secrets`");
}

#[test]
fn steps_that_are_read() {
    let kind = |yaml: &str| serde_yaml::from_str::<Step>(yaml).unwrap().kind().unwrap();
    assert_eq!(kind("{uses: actions/checkout@v5}"), StepKind::Checkout);
    assert_eq!(
        kind("{run: make, shell: sh, working-directory: a}"),
        StepKind::Run(RunStep {
            script: "make".to_owned(),
            shell: Some("sh".to_owned()),
            working_directory: Some("a".to_owned())
        })
    );
    let StepKind::Agent(agent) = kind("{uses: agent, with: {prompt: p, args: -a -b, secrets: 'A, B'}}")
    else {
        panic!("an agent step")
    };
    assert_eq!(
        (agent.cli.as_str(), agent.args, agent.secrets),
        ("claude-code", vec!["-a".to_owned(), "-b".to_owned()], vec!["A".to_owned(), "B".to_owned()])
    );
}
