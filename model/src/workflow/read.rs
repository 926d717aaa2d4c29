//! Reading a workflow file.

use super::{Concurrency, Job, Step, Workflow};
use indexmap::IndexMap;
use serde_yaml::{Mapping, Value};

/// Why a workflow file can't be used: the user's mistake, with where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {at}{message}")]
pub struct WorkflowError {
    /// The file.
    pub path: String,
    /// `line:column: ` for YAML that can't be read, else the way to the value, e.g. `jobs.build.steps[0]: `.
    pub at: String,
    /// What is wrong and what was expected.
    pub message: String,
}

/// Files beyond this are refused unread.
const MAX_BYTES: usize = 256 * 1024;

type Read<T> = Result<T, (String, String)>;

/// Reads the text of a workflow file.
///
/// # Errors
/// When it is no YAML, or no workflow, or uses what this version does not run.
pub fn read(path: &str, text: &str) -> Result<Workflow, WorkflowError> {
    let error = |at: String, message: String| WorkflowError { path: path.to_owned(), at, message };
    if text.len() > MAX_BYTES {
        return Err(error(
            String::new(),
            format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len()),
        ));
    }
    let value: Value = serde_yaml::from_str(text).map_err(|problem| {
        let at = problem.location().map(|at| format!("{}:{}: ", at.line(), at.column())).unwrap_or_default();
        error(at, problem.to_string())
    })?;
    workflow(path, &value).map_err(|(at, message)| {
        let at = if at.is_empty() { at } else { format!("{at}: ") };
        error(at, message)
    })
}

fn workflow(path: &str, value: &Value) -> Read<Workflow> {
    let root = mapping(value, "")?;
    known(root, "", &["name", "run-name", "on", "permissions", "env", "defaults", "concurrency", "jobs"])?;
    // YAML 1.1 readers take a bare `on` for true; this one does not, but a quoted or unquoted key may be either.
    let on = root.get("on").or_else(|| root.get(Value::Bool(true)));
    let on =
        events(on.ok_or_else(|| fault("", "there is no `on:`; name the events that start this workflow"))?)?;
    let env = strings(root.get("env"), "env")?;
    let jobs = root.get("jobs").ok_or_else(|| fault("", "there are no `jobs:`"))?;
    let mut list = Vec::new();
    for (key, value) in mapping(jobs, "jobs")? {
        let key = text(key, "jobs")?;
        list.push(job(&key, value, &env)?);
    }
    match list.len() {
        0 => return Err(fault("jobs", "a workflow needs a job")),
        1 => {}
        _ => {
            return Err(fault(
                "jobs",
                "a run of several jobs is not supported by this version; keep one job a workflow",
            ));
        }
    }
    Ok(Workflow {
        path: path.to_owned(),
        name: root.get("name").map(|name| text(name, "name")).transpose()?.unwrap_or_else(|| path.to_owned()),
        on,
        concurrency: root.get("concurrency").map(concurrency).transpose()?,
        env,
        jobs: list,
    })
}

fn events(value: &Value) -> Read<IndexMap<String, Vec<String>>> {
    Ok(match value {
        Value::String(name) => IndexMap::from([(name.clone(), Vec::new())]),
        Value::Sequence(names) => {
            names.iter().map(|name| Ok((text(name, "on")?, Vec::new()))).collect::<Read<IndexMap<_, _>>>()?
        }
        _ => {
            let mut events = IndexMap::new();
            for (name, filter) in mapping(value, "on")? {
                let name = text(name, "on")?;
                let types = match filter.get("types") {
                    None => Vec::new(),
                    Some(Value::Sequence(types)) => types
                        .iter()
                        .map(|kind| text(kind, &format!("on.{name}.types")))
                        .collect::<Read<_>>()?,
                    Some(one) => vec![text(one, &format!("on.{name}.types"))?],
                };
                events.insert(name, types);
            }
            events
        }
    })
}

fn concurrency(value: &Value) -> Read<Concurrency> {
    if let Value::String(group) = value {
        return Ok(Concurrency { group: group.clone(), cancel_in_progress: false });
    }
    let map = mapping(value, "concurrency")?;
    known(map, "concurrency", &["group", "cancel-in-progress", "queue"])?;
    let group = map.get("group").ok_or_else(|| fault("concurrency", "there is no `group:`"))?;
    Ok(Concurrency {
        group: text(group, "concurrency.group")?,
        cancel_in_progress: flag(map.get("cancel-in-progress"), "concurrency.cancel-in-progress")?,
    })
}

fn job(key: &str, value: &Value, outer_env: &IndexMap<String, String>) -> Read<Job> {
    let at = format!("jobs.{key}");
    let valid = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && key.len() <= 100;
    if !valid {
        return Err(fault(
            &at,
            "a job's key begins with a letter or `_` and holds only letters, digits, `-` and `_`",
        ));
    }
    let map = mapping(value, &at)?;
    known(
        map,
        &at,
        &["name", "runs-on", "timeout-minutes", "budget-usd", "retries", "env", "steps", "permissions"],
    )?;
    let mut env = outer_env.clone();
    env.extend(strings(map.get("env"), &format!("{at}.env"))?);
    let Some(Value::Sequence(items)) = map.get("steps") else {
        return Err(fault(&at, "`steps:` must be a list"));
    };
    if items.is_empty() {
        return Err(fault(&at, "a job needs a step"));
    }
    let steps = items
        .iter()
        .enumerate()
        .map(|(n, item)| step(item, &format!("{at}.steps[{n}]")))
        .collect::<Read<Vec<_>>>()?;
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) =
        steps.iter().filter_map(|step| step.id.as_deref()).find(|id| !seen.insert(id.to_lowercase()))
    {
        return Err(fault(&format!("{at}.steps"), &format!("the id `{twice}` stands twice")));
    }
    let timeout = number(map.get("timeout-minutes"), &format!("{at}.timeout-minutes"))?;
    let retries = number(map.get("retries"), &format!("{at}.retries"))?.unwrap_or(0.0);
    if retries > 5.0 {
        return Err(fault(&format!("{at}.retries"), "at most 5"));
    }
    Ok(Job {
        key: key.to_owned(),
        name: map.get("name").map(|name| text(name, &at)).transpose()?.unwrap_or_else(|| key.to_owned()),
        runs_on: map.get("runs-on").map(|name| text(name, &format!("{at}.runs-on"))).transpose()?,
        timeout_minutes: timeout.unwrap_or(Job::DEFAULT_TIMEOUT_MINUTES),
        budget_usd: number(map.get("budget-usd"), &format!("{at}.budget-usd"))?,
        retries: retries as u32,
        env,
        steps,
    })
}

fn step(value: &Value, at: &str) -> Read<Step> {
    let map = mapping(value, at)?;
    known(
        map,
        at,
        &[
            "id",
            "name",
            "if",
            "uses",
            "run",
            "shell",
            "working-directory",
            "with",
            "env",
            "timeout-minutes",
            "continue-on-error",
        ],
    )?;
    let optional = |key: &str| map.get(key).map(|value| text(value, &format!("{at}.{key}"))).transpose();
    let step = Step {
        id: optional("id")?,
        name: optional("name")?,
        condition: optional("if")?,
        uses: optional("uses")?,
        run: optional("run")?,
        shell: optional("shell")?,
        working_directory: optional("working-directory")?,
        with: with(map.get("with"), &format!("{at}.with"))?,
        env: strings(map.get("env"), &format!("{at}.env"))?,
        timeout_minutes: number(map.get("timeout-minutes"), &format!("{at}.timeout-minutes"))?,
        continue_on_error: flag(map.get("continue-on-error"), &format!("{at}.continue-on-error"))?,
    };
    match (&step.uses, &step.run) {
        (Some(_), Some(_)) => Err(fault(at, "a step has `uses:` or `run:`, not both")),
        (None, None) => Err(fault(at, "a step needs `uses:` or `run:`")),
        (Some(uses), None) if uses != "agent" && !uses.starts_with("actions/checkout@") => Err(fault(
            &format!("{at}.uses"),
            &format!(
                "`{uses}` can't run here: this version runs `uses: agent` (and `actions/checkout`, as already done)"
            ),
        )),
        _ => Ok(step),
    }
}

fn with(value: Option<&Value>, at: &str) -> Read<IndexMap<String, serde_json::Value>> {
    let Some(value) = value else { return Ok(IndexMap::new()) };
    mapping(value, at)?
        .iter()
        .map(|(key, value)| {
            let key = text(key, at)?;
            let value = serde_json::to_value(value)
                .map_err(|error| fault(&format!("{at}.{key}"), &error.to_string()))?;
            Ok((key, value))
        })
        .collect()
}

fn fault(at: &str, message: &str) -> (String, String) {
    (at.to_owned(), message.to_owned())
}

fn mapping<'a>(value: &'a Value, at: &str) -> Read<&'a Mapping> {
    value.as_mapping().ok_or_else(|| fault(at, &format!("expected a mapping, found {}", kind(value))))
}

fn known(map: &Mapping, at: &str, keys: &[&str]) -> Read<()> {
    for key in map.keys() {
        let key = if key == &Value::Bool(true) { "on".to_owned() } else { text(key, at)? };
        if !keys.contains(&key.as_str()) {
            return Err(fault(at, &format!("`{key}` is not known here; known are {}", keys.join(", "))));
        }
    }
    Ok(())
}

fn text(value: &Value, at: &str) -> Read<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null => Ok(String::new()),
        _ => Err(fault(at, &format!("expected text, found {}", kind(value)))),
    }
}

fn strings(value: Option<&Value>, at: &str) -> Read<IndexMap<String, String>> {
    let Some(value) = value else { return Ok(IndexMap::new()) };
    mapping(value, at)?.iter().map(|(key, value)| Ok((text(key, at)?, text(value, at)?))).collect()
}

fn flag(value: Option<&Value>, at: &str) -> Read<bool> {
    match value {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(fault(at, &format!("expected true or false, found {}", kind(other)))),
    }
}

fn number(value: Option<&Value>, at: &str) -> Read<Option<f64>> {
    let Some(value) = value else { return Ok(None) };
    match value.as_f64() {
        Some(number) if number.is_finite() && number >= 0.0 => Ok(Some(number)),
        _ => Err(fault(at, &format!("expected a number of at least 0, found {}", kind(value)))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
        Value::Tagged(_) => "a tagged value",
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn refused(text: &str, expected: &str) {
        let error = read("w.yml", text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} lacks {expected:?}");
    }

    #[test]
    fn a_workflow_is_read() {
        let text = "
name: fix
on: { issues: { types: [labeled] }, issue_comment: }
env: { A: 1, B: x }
concurrency: g
jobs:
  fix:
    runs-on: docker
    timeout-minutes: 5
    env: { B: y }
    steps:
      - uses: actions/checkout@v4
      - id: a
        uses: agent
        with: { cli: script, command: 'true', max-turns: 3 }
      - run: cargo test
        if: success()
        continue-on-error: true
";
        let workflow = read("w.yml", text).unwrap();
        assert_eq!(workflow.name, "fix");
        assert_eq!(workflow.on["issues"], ["labeled"]);
        assert!(workflow.on["issue_comment"].is_empty());
        let job = &workflow.jobs[0];
        assert_eq!((job.env["A"].as_str(), job.env["B"].as_str()), ("1", "y"));
        assert_eq!(job.steps[1].with["max-turns"], 3);
        assert!(job.steps[2].continue_on_error);
        assert_eq!(job.clis("claude-code"), ["script"]);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        refused("on: push", "there are no `jobs:`");
        refused("jobs: {}", "there is no `on:`");
        refused("on: push\njobs:\n  a:\n    steps: []", "jobs.a: a job needs a step");
        refused("on: push\njobs:\n  a:\n    stepz: []", "`stepz` is not known here");
        refused("on: push\njobs:\n  a:\n    steps: [{uses: x, run: y}]", "jobs.a.steps[0]: a step has");
        refused("on: push\njobs:\n  a:\n    steps: [{uses: some/action@v1}]", "can't run here");
        refused("on: push\njobs:\n  1a:\n    steps: [{run: x}]", "a job's key begins");
        refused(
            "on: push\njobs:\n  a:\n    timeout-minutes: soon\n    steps: [{run: x}]",
            "expected a number",
        );
        refused("on: [push\njobs: x", "w.yml: 2:");
        refused("on: push\njobs: {a: {steps: [{run: x}]}, b: {steps: [{run: x}]}}", "several jobs");
    }
}
