//! Each rule with what it finds and what it lets be. A row is a fragment and the findings that it makes, as `line:column severity rule`.

use crate::found;
use cloud_code_model::workflow::{lint, sarif};

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(found(text), expected, "\n{text}\n{:#?}", lint("w.yml", text));
}

/// A fragment as the value of `on`.
#[track_caller]
fn on(fragment: &str, expected: &[&str]) {
    check(&format!("jobs: {{a: {{runs-on: x, steps: [{{run: x}}]}}}}\non: {fragment}\n"), expected);
}

/// A fragment as keys of a job with a step, from line 3 and column 5.
#[track_caller]
fn job(fragment: &str, expected: &[&str]) {
    let fragment = fragment.replace('\n', "\n    ");
    check(
        &format!(
            "on: push\njobs: {{a: {{runs-on: x, steps: [{{run: x}}]}},\n    b: {{{fragment}, runs-on: x, steps: [{{run: x}}]}}}}\n"
        ),
        expected,
    );
}

/// A fragment as a step, from line 6 and column 9.
#[track_caller]
fn step(fragment: &str, expected: &[&str]) {
    check(&format!("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - {fragment}\n"), expected);
}

#[test]
fn events() {
    on("push", &[]);
    on("[push, pull_request]", &[]);
    on("pusch", &["2:5 error event"]);
    on("[push, SCHEDULE]", &["2:12 error event"]);
    on("schedule", &["2:5 warning event"]);
    on("{issues: {types: [labeled, labelled]}}", &["2:32 error event"]);
    on("{push: {types: [x]}}", &["2:13 error event"]);
    on("{push: {branches: a, branches-ignore: b}}", &["2:26 error event"]);
    on("{issues: {branches: a}}", &["2:15 error event"]);
    on("{push: {branche: a}}", &["2:13 error unknown-key"]);
    on("{repository_dispatch: {types: [anything]}}", &[]);
    on("{workflow_dispatch: {unknown: 1}}", &["2:26 warning unknown-key"]);
    on("{push: null, workflow_dispatch: {inputs: null}}", &[]);
}

#[test]
fn globs() {
    on("{push: {branches: ['v[9-0]']}}", &["2:24 warning glob"]);
    on("{push: {tags: '/v1'}}", &["2:19 warning glob"]);
    on("{push: {paths: ['./a', 'b/**', '!']}}", &["2:21 warning glob", "2:36 warning glob"]);
    on("{push: {branches: ['release/**', '!release/old', 'v[12].[0-9]+']}}", &[]);
}

#[test]
fn schedules() {
    on("{schedule: [{cron: '*/5 * * * *', timezone: Europe/London}]}", &[]);
    on("{schedule: [{cron: '* * * *'}]}", &["2:24 error cron"]);
    on("{schedule: [{cron: '0 25 * * *'}]}", &["2:24 error cron"]);
    on("{schedule: [{cron: '*/2 * * * *'}]}", &["2:24 warning cron"]);
    on("{schedule: [{cron: '0 0 * * *', timezone: Nowhere}]}", &["2:47 warning cron"]);
    on("{schedule: [{timezone: Europe/London}]}", &["2:17 error missing-key"]);
}

#[test]
fn inputs() {
    on("{workflow_dispatch: {inputs: {a: {type: choice, options: [x], default: x}}}}", &[]);
    on("{workflow_dispatch: {inputs: {a: {type: choice}}}}", &["2:35 warning input"]);
    on("{workflow_dispatch: {inputs: {a: {type: boolean, default: 3}}}}", &["2:63 warning input"]);
    on("{workflow_dispatch: {inputs: {a: {type: text}}}}", &["2:45 error value"]);
    on("{workflow_call: {inputs: {a: {required: true}}}}", &["2:34 error missing-key"]);
    on("{workflow_call: {inputs: {a: {type: string, required: true, default: x}}}}", &["2:74 warning input"]);
    on("{workflow_call: {outputs: {a: {description: x}}}}", &["2:35 error missing-key"]);
}

#[test]
fn keys_and_values() {
    check("on: push\njobs: {a: {runs-on: x, steps: [{run: x}]}}\nname: [x]", &["3:7 error value"]);
    check("on: push\njobs: {a: {runs-on: x, steps: [{run: x}]}}\nnaem: x", &["3:1 error unknown-key"]);
    check("on: push\njobs: {a: {runs-on: x, steps: [{run: x}]}}\nON: push", &["3:1 error duplicate-key"]);
    check("on: push", &["1:1 error missing-key"]);
    check("on: push\njobs: {}", &["2:7 error missing-key"]);
    check("", &["1:1 error yaml"]);
    check("on: push\njobs: [", &["2:8 error yaml"]);
    job("timeout-minutes: '5'", &["3:26 error value"]);
    job("continue-on-error: maybe", &["3:28 error value"]);
    job(
        "permissions: {contents: write, id-token: read, nothing: read}",
        &["3:50 error value", "3:56 error unknown-key"],
    );
    job("permissions: write-everything", &["3:22 error value"]);
    job("concurrency: {cancel-in-progress: true}", &["3:22 error missing-key"]);
    job("concurrency: {group: x, queue: long}", &["3:40 error value"]);
    job("concurrency: {group: x, queue: max}", &[]);
    job("with: {a: 1}", &["3:8 error missing-key", "3:23 error unknown-key", "3:35 error unknown-key"]);
    step("{runn: x}", &["6:9 error missing-key", "6:10 error unknown-key"]);
    step("{run: x, uses: ./a}", &["6:18 error unknown-key"]);
    step("null", &["6:9 error value"]);
}

#[test]
fn ids_and_needs() {
    job("needs: a", &[]);
    job("needs: A", &[]);
    job("needs: [a, c]", &["3:20 error needs"]);
    job("needs: b", &["3:5 error needs"]);
    check(
        "on: push\njobs:\n  a: {needs: b, runs-on: x, steps: [{run: x}]}\n  b: {needs: c, runs-on: x, steps: [{run: x}]}\n  c: {needs: a, runs-on: x, steps: [{run: x}]}",
        &["3:3 error needs"],
    );
    check(
        "on: push\njobs:\n  a.b: {runs-on: x, steps: [{run: x}]}\n  __c: {runs-on: x, steps: [{run: x}]}",
        &["3:3 error id", "4:3 error id"],
    );
    check(
        "on: push\njobs:\n  a: {runs-on: x, steps: [{run: x}]}\n  A: {runs-on: x, steps: [{run: x}]}",
        &["4:3 error duplicate-key"],
    );
    step("{run: x, id: a}\n      - {run: x, id: A}", &["7:22 error id"]);
    step("{run: x, id: 1a}", &["6:22 error id"]);
}

#[test]
fn expressions() {
    step("run: echo ${{ github.sha", &["6:14 error expression"]);
    step("run: echo ${{ }}", &["6:14 error expression"]);
    step("run: echo ${{ nothing.a }} ${{ other }}", &["6:14 error context", "6:14 error context"]);
    step("run: echo ${{ success() }}", &["6:14 error context"]);
    step("{run: x, if: \"${{ secrets.A }}\"}", &["6:22 error context"]);
    step("{run: x, if: hashFiles('a') != ''}", &[]);
    step("run: echo ${{ contains('a') }}", &["6:14 error expression"]);
    step("run: echo ${{ fromJSON('{') }}", &["6:14 warning expression"]);
    job("if: env.A", &["3:13 error context"]);
    job("env: {A: '${{ env.B }}', B: '${{ secrets.C }}'}", &["3:18 error context"]);
    job("name: '${{ runner.os }}'", &["3:15 error context"]);
    // A block of several lines is told where the expression is.
    step("run: |\n          one\n          two ${{ nothing }}", &["8:19 error context"]);
}

#[test]
fn properties() {
    step("run: echo ${{ github.shaa }}", &["6:14 warning property"]);
    step("run: echo ${{ runner.so }}", &["6:14 warning property"]);
    step("run: echo ${{ inputs.a }}", &["6:14 warning property"]);
    step("run: echo ${{ steps.a.outputs.b }}", &["6:14 warning property"]);
    step(
        "{id: a, run: x}\n      - run: echo ${{ steps.a.outputs.b }} ${{ steps.a.output }}",
        &["7:14 warning property"],
    );
    step("run: echo ${{ matrix.a }}", &["6:14 warning property"]);
    step("run: echo ${{ github.event }}", &["6:14 warning type"]);
    step("run: echo ${{ vars.A.b }}", &["6:14 warning type"]);
    job("env: {A: '${{ needs.a.outputs.b }}'}", &["3:18 warning property"]);
    job(
        "needs: a, env: {A: '${{ needs.a.result }}', B: '${{ needs.a.outputs.b }}'}",
        &["3:56 warning property"],
    );
    job(
        "strategy: {matrix: {v: [1], include: [{w: 2}]}}, env: {A: '${{ matrix.v }}${{ matrix.w }}${{ matrix.u }}'}",
        &["3:67 warning property"],
    );
}

#[test]
fn conditions() {
    step("{run: x, if: true}", &["6:22 warning condition"]);
    step("{run: x, if: \"1 == 2 || 'a' == 'b'\"}", &["6:22 warning condition"]);
    step("{run: x, if: '${{ always() }} && true'}", &["6:22 warning condition"]);
    step("{run: x, if: always()}", &[]);
    step("{run: x, if: github.ref == 'a'}", &[]);
}

#[test]
fn injections() {
    step("run: echo ${{ github.event.issue.title }}", &["6:23 warning injection"]);
    step(
        "run: echo ${{ github.event.commits[0].message }} ${{ github.head_ref }}",
        &["6:23 warning injection", "6:62 warning injection"],
    );
    step(
        "run: |\n          x\n          echo ${{ github['event'].comment.body }}",
        &["8:20 warning injection"],
    );
    step("{run: 'echo \"$T\"', env: {T: '${{ github.event.issue.title }}'}}", &[]);
    step("run: echo ${{ github.event.issue.number }}", &[]);
}

#[test]
fn matrices() {
    job("strategy: {matrix: {a: []}}", &["3:32 error matrix"]);
    job("strategy: {matrix: {a: [1, 2, 1]}}", &["3:39 warning matrix"]);
    job("strategy: {matrix: {a: [1, 2], exclude: [{a: 3}]}}", &["3:54 warning matrix"]);
    job("strategy: {matrix: {a: [1, 2], exclude: [{b: 1}]}}", &["3:51 warning matrix"]);
    job("strategy: {matrix: {a: [{x: 1, y: 2}], exclude: [{a: {x: 1}}]}}", &[]);
    job("strategy: {matrix: '${{ fromJSON(vars.M) }}'}", &[]);
    job("strategy: {matrix: x}", &["3:28 error value"]);
    job("strategy: {fail-fats: true}", &["3:20 error unknown-key"]);
}

#[test]
fn runners_shells_and_actions() {
    check("on: push\njobs: {a: {runs-on: macos-12, steps: [{run: x}]}}", &["2:21 warning runner"]);
    check(
        "on: push\njobs: {a: {runs-on: [ubuntu-latest, windows-latest], steps: [{run: x}]}}",
        &["2:37 warning runner"],
    );
    check("on: push\njobs: {a: {runs-on: {group: x/y}, steps: [{run: x}]}}", &["2:29 error runner"]);
    check("on: push\njobs: {a: {steps: [{run: x}]}}", &["2:8 info missing-key"]);
    check("on: push\njobs: {a: {steps: [{uses: agent}]}}", &[]);
    step("{run: x, shell: bsh}", &["6:25 warning shell"]);
    step("{run: x, shell: 'perl {0}'}", &[]);
    step("uses: actions/checkout@v2", &["6:15 warning action"]);
    step("uses: actions/checkout@v4", &[]);
    step("uses: nothing", &["6:15 error action"]);
    step("run: echo '::set-output name=a::b'", &["6:14 warning deprecated-command"]);
    step("{run: x, env: {'A B': 1}}", &["6:24 warning env-name"]);
    step("&unused {run: x}", &["6:9 warning anchor"]);
}

#[test]
fn what_is_not_run() {
    step("uses: some/action@v1", &["6:15 warning not-run"]);
    step("uses: docker://alpine", &["6:15 warning not-run"]);
    job("services: {a: x}", &["3:9 warning not-run"]);
    job(
        "container: {image: x, credentials: {username: a, password: b}}",
        &["3:9 warning not-run", "3:68 warning credentials"],
    );
    check("on: push\njobs: {a: {uses: o/r/w.yml@v1}}", &["2:18 warning not-run"]);
    check("on: push\njobs: {a: {uses: ./w.yml@v1}}", &["2:18 error reusable-workflow"]);
}

#[test]
fn agents() {
    step(
        "{uses: agent, with: {cli: claude-code, model: m, prompt: p, session: s, max-turns: 3, command: c, args: a, secrets: s, budget-usd: 0.5}}",
        &[],
    );
    step("{uses: agent, with: {promt: x}}", &["6:30 error agent"]);
    step("{uses: agent, with: {max-turns: many}}", &["6:41 error agent"]);
    step("{uses: agent, with: {budget-usd: 0}}", &["6:42 error agent"]);
    step("uses: agnet", &["6:15 error action"]);
    job("budget-usd: 3, retries: 2", &[]);
    job("retries: 9", &["3:18 error agent"]);
    job("budget-usd: much", &["3:21 error value"]);
    job("network: none", &[]);
    job("network: {mode: restricted, allow: [pypi, '*.example.com', 'example.com:8443']}", &[]);
    job("network: {mode: open, allow: [pypi]}", &["3:38 warning agent"]);
    job(
        "network: {allow: [10.0.0.1, 'https://x', '*']}",
        &["3:27 error agent", "3:37 error agent", "3:50 error agent"],
    );
    job("network: closed", &["3:18 error value"]);
    job("network: {mode: open, alow: []}", &["3:31 error unknown-key"]);
}

#[test]
fn anchors_are_followed() {
    check("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - &s {run: x}\n      - *s\n", &[]);
    check(
        "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - &s {runs: x}\n      - *s\n",
        &["6:9 error missing-key", "6:13 error unknown-key"],
    );
}

#[test]
fn findings_are_shown() {
    let text = "on: push\njobs:\n  build:\n    runs-on: x\n    steps:\n      - runn: x\n";
    let findings = lint("a/w.yml", text);
    let shown: Vec<_> = findings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    a/w.yml:6:9: error: `runn` is not known in this place; known are `background`, `cancel`, `continue-on-error`, `env`, `id`, `if`, `name`, `parallel`, `run`, `shell`, `timeout-minutes`, `uses`, `wait`, `wait-all`, `with`, `working-directory`; did you mean `run`? [unknown-key]
    a/w.yml:6:9: error: it can't be told what is meant; add one of `run` (a step that runs a script), `uses` (a step that uses an action), `wait` (a step that waits), `wait-all` (a step that waits for all), `cancel` (a step that cancels another), `parallel` (steps side by side) [missing-key]
    ");
    let log = sarif(&findings);
    assert_eq!(log["version"], "2.1.0");
    let result = &log["runs"][0]["results"][0];
    assert_eq!(result["level"], "error");
    let region = &result["locations"][0]["physicalLocation"]["region"];
    assert_eq!((region["startLine"].as_u64(), region["startColumn"].as_u64()), (Some(6), Some(9)));
    let rule = result["ruleIndex"].as_u64().unwrap() as usize;
    assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][rule]["id"], result["ruleId"]);
}

#[test]
fn kinds_of_values() {
    let matrix = |expression: &str, expected: &[&str]| {
        check(
            &format!(
                "on: push\njobs:\n  a:\n    runs-on: x\n    strategy: {{matrix: {{s: [a], n: [1], b: [true], o: [{{k: v}}], l: [[1]], d: ['${{{{ vars.D }}}}'], f: ['${{{{ fromJSON(''[1]'') }}}}']}}}}\n    steps:\n      - if: {expression}\n        run: x\n"
            ),
            expected,
        );
    };
    let odd = &["7:13 warning type"];
    // Properties and items of what has none.
    matrix("matrix.s.k == 'v'", odd);
    matrix("matrix.o.k == 'v'", &[]);
    matrix("matrix.l.k == 'v'", odd);
    matrix("matrix.l[0] == 1", &[]);
    matrix("matrix.n[0] == 1", odd);
    matrix("github.ref.name == 'v'", odd);
    matrix("github.event.issue.user.login == 'v'", &[]);
    matrix("matrix.d.k == 'v'", &[]);
    matrix("matrix.l[true] == 1", odd);
    matrix("matrix.o[1] == 1", odd);
    matrix("github.event.commits.*.message == 'a'", odd);
    // Comparisons that are always the same.
    matrix("matrix.o == 'a'", odd);
    matrix("matrix.l != 1", odd);
    matrix("matrix.o == matrix.o", &[]);
    matrix("matrix.o == null", &[]);
    matrix("matrix.n > null", odd);
    matrix("matrix.b < matrix.b", odd);
    matrix("matrix.s < matrix.o", odd);
    matrix("matrix.n > '41' && matrix.s == 1", &[]);
    matrix("strategy.job-index < strategy.job-total", &[]);
    // Parameters of functions.
    matrix("contains(matrix.o, 'a')", odd);
    matrix("contains(matrix.l, 1) && contains(matrix.s, 'a')", &[]);
    matrix("startsWith(matrix.l, 'a')", odd);
    matrix("fromJSON(matrix.o).a", odd);
    matrix("format('{0}', matrix.s, matrix.n) == 'a'", odd);
    matrix("format('{1}{0}', matrix.s, matrix.n) == 'a'", &[]);
    matrix("format('{0}', matrix.l) == 'a'", odd);
    matrix("matrix.f == 'a'", odd);
}

#[test]
fn values_that_do_not_fit() {
    step("{run: x, timeout-minutes: '${{ github.ref }}'}", &["6:35 warning type"]);
    step("{run: x, timeout-minutes: '${{ fromJSON(vars.MINUTES) }}'}", &[]);
    step("{run: x, continue-on-error: '${{ github.ref }}'}", &["6:37 warning type"]);
    step("{run: x, continue-on-error: \"${{ github.ref == 'a' }}\"}", &[]);
    step("{run: x, env: {A: '${{ github.event }}'}}", &["6:27 warning type"]);
    step("{run: x, env: '${{ github.ref }}'}", &["6:23 warning type"]);
    step("run: echo ${{ null }} ${{ toJSON(github) }}", &["6:14 warning type"]);
    job("strategy: {matrix: {a: '${{ github.ref }}'}}", &["3:32 warning type"]);
    job("strategy: {matrix: '${{ github.ref }}'}", &["3:28 warning type"]);
    job("strategy: {matrix: {include: '${{ fromJSON(vars.A) }}'}}", &[]);
}

#[test]
fn steps_in_their_order() {
    step("{id: a, run: x}\n      - run: echo ${{ steps.a.outputs.b }}", &[]);
    step("run: echo ${{ steps.a.outputs.b }}\n      - {id: a, run: x}", &["6:14 warning property"]);
    step("{id: a, run: 'echo ${{ steps.a.outputs.b }}'}", &["6:22 warning property"]);
    job("outputs: {o: '${{ steps.z.outputs.b }}'}", &["3:22 warning property"]);
}

#[test]
fn inputs_of_well_known_actions() {
    step("{uses: actions/checkout@v4, with: {fetch-depth: 0}}", &[]);
    step("{uses: actions/checkout@v4, with: {fetch-dept: 0}}", &["6:44 warning action"]);
    step("{uses: actions/cache@v4, with: {path: x}}", &["6:16 warning action", "6:16 warning not-run"]);
    step("{uses: actions/cache@v4, with: '${{ fromJSON(vars.A) }}'}", &["6:16 warning not-run"]);
}

/// The findings of an action file.
#[track_caller]
fn action(text: &str, expected: &[&str]) {
    let findings = lint("tools/greet/action.yml", text);
    let found: Vec<String> = findings.iter().map(crate::short).collect();
    assert_eq!(found, expected, "\n{text}\n{findings:#?}");
}

#[test]
fn action_files() {
    let steps = |step: &str| {
        format!(
            "name: a\ninputs: {{who: {{required: true}}}}\nruns:\n  using: composite\n  steps:\n    - {step}\n"
        )
    };
    action(&steps("{id: s, run: 'echo ${{ inputs.who }} ${{ github.sha }}', shell: bash}"), &[]);
    action(&steps("{run: x}"), &["6:7 warning missing-key"]);
    action(&steps("{runn: x, shell: bash}"), &["6:7 error missing-key", "6:8 error unknown-key"]);
    action(&steps("{run: 'echo ${{ secrets.A }}', shell: bash}"), &["6:13 error context"]);
    action(&steps("{run: 'echo ${{ inputs.whom }}', shell: bash}"), &["6:13 warning property"]);
    action(&steps("{run: 'echo ${{ steps.s.outputs.x }}', shell: bash}"), &["6:13 warning property"]);
    action(&steps("{run: 'echo ${{ github.head_ref }}', shell: bash}"), &["6:23 warning injection"]);
    action(&steps("{run: x, shell: bsh}"), &["6:23 warning shell"]);
    action(&steps("{run: x, shell: sh, id: 1}"), &["6:31 error id"]);
    action(&steps("{uses: nothing}"), &["6:14 error action"]);
    action(&steps("{uses: agent, with: {cli: codex, from: needs.a}}"), &["6:40 error agent"]);
    action(&steps("{run: x, shell: sh, timeout-minutes: 3}"), &["6:27 error unknown-key"]);
    action("name: a", &["1:1 error missing-key"]);
    action("runs: {using: composite}", &["1:7 error missing-key"]);
    action("runs: {using: compsite, steps: []}", &["1:15 error value"]);
    action("runs: {using: node20, main: a.js}", &["1:15 warning not-run"]);
    action("runs: {using: node20}", &["1:7 error missing-key", "1:15 warning not-run"]);
    action(
        "runs: {using: docker, image: Dockerfile, args: ['${{ inputs.a }}']}",
        &["1:15 warning not-run", "1:49 warning property"],
    );
}
