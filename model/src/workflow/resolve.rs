//! What a workflow brings in from its repository: workflows that its jobs call, and composite actions that its steps use.

use super::check::check_action;
use super::definition::{Action, Environment, Plan, Step};
use super::finding::{Finding, Severity};
use super::read::{Reader, WorkflowError, read, text};
use super::yaml::{self, Limits, Node, Position};
use indexmap::IndexMap;

/// How deep a called workflow may call others, or an action use others, as in Actions.
const MAX_DEPTH: usize = 10;

/// Called workflows and used actions of one workflow, however often each is named.
const MAX_USES: usize = 500;

/// A repository's files: the text of one; the inner `None` says that there is no such file, the outer that nobody has looked yet.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<Option<String>>;

impl Plan {
    /// Whether a job, or one of a called workflow, names an environment.
    pub fn names_environments(&self) -> bool {
        self.jobs.iter().any(|job| {
            let called = job.call.as_ref().and_then(|call| call.plan.as_ref());
            job.environment.is_some() || called.is_some_and(Self::names_environments)
        })
    }

    /// Puts the called workflows and composite actions into their places, as far as their files were looked up. Says which files are still
    /// to be looked up: call it again with them.
    ///
    /// # Errors
    /// A file that is not there, that is no workflow or composite action, or that calls itself.
    pub fn resolve(&mut self, files: Lookup<'_>) -> Result<Vec<String>, WorkflowError> {
        let mut walk = Walk { files, missing: Vec::new(), uses: 0 };
        self.resolve_at(0, &mut walk)?;
        walk.missing.sort_unstable();
        walk.missing.dedup();
        Ok(walk.missing)
    }

    fn resolve_at(&mut self, depth: usize, walk: &mut Walk<'_>) -> Result<(), WorkflowError> {
        for job in &mut self.jobs {
            resolve_steps(&mut job.steps, 0, walk)?;
            let Some(call) = &mut job.call else { continue };
            let path = call.uses.trim_start_matches("./").to_owned();
            if call.plan.is_none() {
                walk.count(&path)?;
                let Some(found) = (walk.files)(&path) else {
                    walk.missing.push(path);
                    continue;
                };
                let found = found.ok_or_else(|| {
                    fault(&path, Position::START, "there is no such workflow on the default branch")
                })?;
                let called = read(&path, &found)?;
                if !called.on.contains_key("workflow_call") {
                    return Err(fault(
                        &path,
                        Position::START,
                        "it is called, and does not say `on: workflow_call`",
                    ));
                }
                if depth >= MAX_DEPTH {
                    return Err(fault(
                        &path,
                        Position::START,
                        "workflows call each other too deep, or in a circle",
                    ));
                }
                call.name = called.name;
                call.plan = Some(called.plan);
            }
            if let Some(plan) = &mut call.plan {
                plan.resolve_at(depth + 1, walk)?;
            }
        }
        Ok(())
    }
}

struct Walk<'a> {
    files: Lookup<'a>,
    missing: Vec<String>,
    uses: usize,
}

impl Walk<'_> {
    fn count(&mut self, path: &str) -> Result<(), WorkflowError> {
        self.uses += 1;
        if self.uses > MAX_USES {
            let message = format!("more than {MAX_USES} workflows and actions are brought in");
            return Err(fault(path, Position::START, &message));
        }
        Ok(())
    }
}

fn resolve_steps(steps: &mut [Step], depth: usize, walk: &mut Walk<'_>) -> Result<(), WorkflowError> {
    for step in steps {
        let Some(folder) = step.uses.as_deref().and_then(|uses| uses.strip_prefix("./")) else { continue };
        if step.action.is_none() {
            let folder = folder.trim_end_matches('/');
            let paths = ["action.yml", "action.yaml"].map(|name| match folder {
                "" => name.to_owned(),
                folder => format!("{folder}/{name}"),
            });
            walk.count(&paths[0])?;
            let mut found = None;
            for path in &paths {
                match (walk.files)(path) {
                    None => {
                        walk.missing.push(path.clone());
                        break;
                    }
                    Some(None) => {}
                    Some(Some(text)) => {
                        found = Some(action(path, &text)?);
                        break;
                    }
                }
            }
            match found {
                Some(action) if depth < MAX_DEPTH => step.action = Some(Box::new(action)),
                Some(_) => {
                    return Err(fault(
                        &paths[0],
                        Position::START,
                        "actions use each other too deep, or in a circle",
                    ));
                }
                None if paths.iter().all(|path| (walk.files)(path).is_some()) => {
                    return Err(fault(
                        &paths[0],
                        Position::START,
                        "there is no such action on the default branch",
                    ));
                }
                None => continue,
            }
        }
        if let Some(action) = &mut step.action {
            resolve_steps(&mut action.steps, depth + 1, walk)?;
        }
    }
    Ok(())
}

/// Reads the text of a composite action.
fn action(path: &str, text_of_file: &str) -> Result<Action, WorkflowError> {
    let mut outcome = check_action(path, text_of_file, &Limits::default());
    outcome.findings.retain(|finding| finding.severity == Severity::Error);
    let Some(document) = outcome.document.filter(|_| outcome.findings.is_empty()) else {
        return Err(WorkflowError { path: path.to_owned(), findings: outcome.findings });
    };
    let root = &document.root;
    let runs = root.get("runs").ok_or_else(|| fault(path, root.at, "an action needs `runs`"))?;
    let using = text(runs, "using").unwrap_or_default();
    if using != "composite" {
        return Err(fault(
            path,
            runs.at,
            &format!("an action that runs `using: {using}` can't run here: `composite` ones can"),
        ));
    }
    let items = runs.get("steps").map_or(&[][..], |steps| steps.items());
    let mut reader = Reader { path, refused: Vec::new() };
    let steps: Vec<Step> = items.iter().map(|step| reader.step(step)).collect();
    if !reader.refused.is_empty() {
        return Err(WorkflowError { path: path.to_owned(), findings: reader.refused });
    }
    let entries = |node: Option<&std::sync::Arc<Node>>, key: &str| -> Vec<(String, Option<String>)> {
        let entries = node.map_or(&[][..], |node| node.entries());
        entries.iter().filter_map(|entry| Some((entry.key.text()?, text(&entry.value, key)))).collect()
    };
    Ok(Action {
        inputs: entries(root.get("inputs"), "default").into_iter().collect(),
        outputs: entries(root.get("outputs"), "value")
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect(),
        steps,
    })
}

/// Reads `.cloud-code/environments.yml`: a mapping from names to `reviewers`, `wait-timer` and `branches`.
///
/// # Errors
/// What is wrong with it, with its place, for people.
pub fn environments(path: &str, text: &str) -> Result<IndexMap<String, Environment>, String> {
    if text.trim().is_empty() {
        return Ok(IndexMap::new());
    }
    yaml::parse(text, &Limits::default()).map_err(|error| format!("{path}:{error}"))?;
    let found: Option<IndexMap<String, Environment>> =
        serde_yaml::from_str(text).map_err(|error| format!("{path}: {error}"))?;
    Ok(found.unwrap_or_default())
}

fn fault(path: &str, at: Position, message: &str) -> WorkflowError {
    let finding = Finding {
        file: path.to_owned(),
        line: at.line,
        column: at.column,
        severity: Severity::Error,
        rule: "uses",
        message: message.to_owned(),
    };
    WorkflowError { path: path.to_owned(), findings: vec![finding] }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn files<'a>(list: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<Option<String>> + 'a {
        move |path| Some(list.iter().find(|(known, _)| *known == path).map(|(_, text)| (*text).to_owned()))
    }

    const CALLER: &str = "on: push\njobs: {a: {uses: ./w/b.yml}}";

    fn check(text: &str, list: &[(&str, &str)], expected: Result<(), &str>) {
        let mut plan = read("a.yml", text).unwrap().plan;
        match (plan.resolve(&files(list)), expected) {
            (Ok(missing), Ok(())) => assert!(missing.is_empty(), "{missing:?}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn called_workflows() {
        let called = "on: workflow_call\njobs: {b: {steps: [{run: x}]}}";
        check(CALLER, &[("w/b.yml", called)], Ok(()));
        check(CALLER, &[], Err("w/b.yml:1:1: error: there is no such workflow"));
        check(
            CALLER,
            &[("w/b.yml", "on: push\njobs: {b: {steps: [{run: x}]}}")],
            Err("does not say `on: workflow_call`"),
        );
        check(CALLER, &[("w/b.yml", "on: workflow_call\njobs: {b: {uses: ./w/b.yml}}")], Err("in a circle"));
        let mut plan = read("a.yml", CALLER).unwrap().plan;
        assert_eq!(plan.resolve(&|_| None).unwrap(), ["w/b.yml"]);
    }

    #[test]
    fn composite_actions() {
        let user = "on: push\njobs: {a: {steps: [{uses: ./tools/x, with: {who: me}}]}}";
        let action = "inputs: {who: {default: you}, n: {}}\noutputs: {o: {value: '${{ steps.s.outputs.o }}'}}\nruns: {using: composite, steps: [{id: s, run: echo, shell: bash}]}";
        check(user, &[("tools/x/action.yaml", action)], Ok(()));
        let mut plan = read("a.yml", user).unwrap().plan;
        plan.resolve(&files(&[("tools/x/action.yml", action)])).unwrap();
        let found = plan.jobs[0].steps[0].action.as_ref().unwrap();
        assert_eq!(found.inputs["who"].as_deref(), Some("you"));
        assert_eq!(found.outputs["o"], "${{ steps.s.outputs.o }}");
        check(user, &[], Err("there is no such action"));
        check(
            user,
            &[("tools/x/action.yml", "runs: {using: node20, main: x.js}")],
            Err("`using: node20` can't run here"),
        );
        check(
            user,
            &[("tools/x/action.yml", "runs: {using: composite, steps: [{uses: a/b@v1}]}")],
            Err("`a/b@v1` can't run here"),
        );
        check(
            user,
            &[("tools/x/action.yml", "runs: {using: composite, steps: [{uses: ./tools/x}]}")],
            Err("in a circle"),
        );
    }

    #[test]
    fn gates() {
        let found =
            environments("e", "production: {reviewers: [ann], wait-timer: 5, branches: [main]}\nopen: {}")
                .unwrap();
        assert_eq!((found["production"].wait_timer, found.len()), (5, 2));
        assert!(environments("e", "").unwrap().is_empty());
        assert!(environments("e", "p: {reviewer: [a]}").unwrap_err().contains("unknown field `reviewer`"));
    }
}
