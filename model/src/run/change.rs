//! Jobs' changes: the branch that each goes to, whose change it starts from, which candidate is picked, and which become pull requests.

use super::attempt::Publication;
use super::job::Job;
use super::state::Run;
use crate::expression::Value;
use crate::workflow::{JobDefinition, Plan, Step};
use std::collections::HashMap;

impl Run {
    /// The branch that a job's change goes to: the run's for the workflow's first job, one of its own for any other.
    pub fn branch_of(&self, job: &Job) -> String {
        self.branch_where(job, |named| {
            let same = |other: &&Job| {
                other.parent == job.parent && other.node == job.node && named_slug(other) == named
            };
            self.jobs.iter().filter(same).count() <= 1
        })
    }

    /// Whether one of its attempts that are not over works on this branch, or will.
    pub fn works_on(&self, branch: &str) -> bool {
        let open = self.jobs.iter().filter(|job| !job.is_over());
        open.filter_map(|job| job.attempt().map(|attempt| (job, attempt))).any(|(job, attempt)| {
            attempt.origin.as_ref().map_or_else(|| self.branch_of(job), |origin| origin.branch.clone())
                == branch
        })
    }

    /// The branches of all jobs, in their order: as [`Run::branch_of`] has each, without a look at all others for each.
    pub fn branches(&self) -> Vec<String> {
        let mut many: HashMap<(Option<&str>, &str, String), usize> = HashMap::new();
        for job in self.jobs.iter().filter(|job| job.matrix.is_some()) {
            *many.entry((job.parent.as_deref(), &job.node, named_slug(job))).or_default() += 1;
        }
        let branch = |job: &Job| {
            self.branch_where(job, |named| {
                many.get(&(job.parent.as_deref(), &job.node, named.to_owned())).is_none_or(|many| *many <= 1)
            })
        };
        self.jobs.iter().map(branch).collect()
    }

    /// The branch, where `alone` says whether a matrix has no other job of this name.
    fn branch_where(&self, job: &Job, alone: impl FnOnce(&str) -> bool) -> String {
        let first = self.plan.jobs.first().is_none_or(|first| first.key == job.node);
        if first && job.parent.is_none() && job.matrix.is_none() {
            return self.branch.clone();
        }
        let mut slug = slug(&job.key);
        if job.parent.is_none() && job.matrix.as_ref().is_some_and(|matrix| !matrix.is_empty()) {
            let named = named_slug(job);
            let taken = self.plan.jobs.iter().any(|definition| slug_of(&definition.key, &[]) == named);
            if !taken && alone(&named) {
                slug = named;
            }
        }
        format!("{}-{slug}", self.branch)
    }

    /// The published change that a job starts from; none where it starts from the issue's own base.
    ///
    /// # Errors
    /// Where several changes could be meant, in words for the workflow's author.
    pub fn start_of(&self, job: &Job) -> Result<Option<(&Job, &Publication)>, String> {
        let Some(node) = self.definition(job).and_then(|definition| definition.from.as_deref()) else {
            return Ok(None);
        };
        let published: Vec<(&Job, &Publication)> = self.candidates(job.parent.as_deref(), node);
        if let [only] = published[..] {
            return Ok(Some(only));
        }
        // Of a matrix, the one whose values are this job's.
        let same = |other: &Job| match (&job.matrix, &other.matrix) {
            (Some(own), Some(other)) => {
                let mut common =
                    own.iter().filter_map(|(key, value)| Some((value, other.get(key)?))).peekable();
                common.peek().is_some() && common.all(|(own, other)| own == other)
            }
            _ => false,
        };
        let mut fitting = published.iter().filter(|(other, _)| same(other));
        match (fitting.next(), fitting.next()) {
            (Some(found), None) => Ok(Some(*found)),
            _ if published.is_empty() => Ok(None),
            _ => Err(format!(
                "`from: needs.{node}` could mean any of {} changes; let one be picked first (`pick:`)",
                published.len()
            )),
        }
    }

    /// Whether a job's change goes onto the branch of the one that it starts from: where no other job does so too.
    pub fn goes_on(&self, job: &Job) -> bool {
        let Some(node) = self.definition(job).and_then(|definition| definition.from.as_deref()) else {
            return false;
        };
        let parent = job.parent.as_deref();
        let definitions = self.plan_of(parent).into_iter().flat_map(|plan| &plan.jobs);
        if definitions.filter(|definition| definition.from.as_deref() == Some(node)).count() > 1 {
            return false;
        }
        let start = |job: &Job| self.start_of(job).ok().flatten().map(|(earlier, _)| earlier.key.as_str());
        let own = start(job);
        let mut siblings =
            self.jobs.iter().filter(|other| other.parent.as_deref() == parent && other.node == job.node);
        siblings.all(|other| other.key == job.key || start(other) != own)
    }

    /// The jobs of a definition that have published a change, in order.
    pub fn candidates(&self, parent: Option<&str>, node: &str) -> Vec<(&Job, &Publication)> {
        let jobs = self.jobs.iter().filter(|job| job.parent.as_deref() == parent && job.node == node);
        jobs.filter_map(|job| Some((job, job.publication()?))).collect()
    }

    /// What a judging job may pick from; none where it is no judge.
    pub fn choice(&self, job: &Job) -> Option<Vec<(&Job, &Publication)>> {
        let node = self.definition(job)?.pick.as_deref()?;
        Some(self.candidates(job.parent.as_deref(), node))
    }

    /// The candidate that a judge means by its output `pick`: a job's key or name, a branch, a commit, or a value of the matrix.
    ///
    /// # Errors
    /// Where that is none or several, in words for people.
    pub fn picked(&self, job: &Job, pick: &str) -> Result<String, String> {
        let candidates = self.choice(job).unwrap_or_default();
        let pick = pick.trim();
        let names = |(candidate, publication): &(&Job, &Publication)| {
            let values = candidate.matrix.iter().flat_map(|matrix| matrix.values());
            let mut names: Vec<String> =
                values.map(|value| Value::from(value).to_display_string().to_string()).collect();
            names.extend([candidate.key.clone(), candidate.spec.name.clone()]);
            names.extend([publication.branch.clone(), publication.sha.clone()]);
            names
        };
        let mut meant = candidates
            .iter()
            .filter(|candidate| names(candidate).iter().any(|name| name.eq_ignore_ascii_case(pick)));
        match (meant.next(), meant.next()) {
            (Some((candidate, _)), None) => Ok(candidate.key.clone()),
            (Some(_), Some(_)) => {
                Err(format!("the output `pick` is `{pick}`, which is true of several candidates"))
            }
            (None, _) => {
                let known: Vec<_> =
                    candidates.iter().map(|(_, publication)| publication.branch.as_str()).collect();
                let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
                Err(format!("the output `pick` is `{pick}`, which is no candidate: {known}"))
            }
        }
    }

    /// Whether a job's change becomes a pull request by itself: not where another job picks among such changes.
    pub fn opens_pull(&self, job: &Job) -> bool {
        let Some(plan) = self.plan_of(job.parent.as_deref()) else { return true };
        !is_candidate(plan, &job.node)
    }

    /// Whether what is published for a job may write this, by its `permissions` or its workflow's; all may where nothing is said.
    pub fn may_write(&self, job: &Job, what: &str) -> bool {
        let own = self.definition(job).and_then(|definition| definition.permissions.as_ref());
        let inner = self.plan_of(job.parent.as_deref()).and_then(|plan| plan.permissions.as_ref());
        if own.or(inner).is_some_and(|permissions| !permissions.may_write(what)) {
            return false;
        }
        // A called workflow never has more than its caller.
        match job.parent.as_deref().and_then(|key| self.job(key)) {
            Some(caller) => self.may_write(caller, what),
            None => true,
        }
    }

    /// The steps of a job, with what `defaults` say.
    pub fn steps(&self, job: &Job) -> Vec<Step> {
        let Some(definition) = self.definition(job) else { return job.spec.steps.clone() };
        let outer = self.plan_of(job.parent.as_deref()).map(|plan| &plan.defaults);
        let pick = |own: &Option<crate::workflow::Token>, outer: Option<&Option<crate::workflow::Token>>| {
            own.as_ref().or(outer.and_then(Option::as_ref)).and_then(crate::workflow::Token::text)
        };
        let shell = pick(&definition.defaults.shell, outer.map(|outer| &outer.shell));
        let folder =
            pick(&definition.defaults.working_directory, outer.map(|outer| &outer.working_directory));
        let mut steps = definition.steps.clone();
        for step in steps.iter_mut().filter(|step| step.run.is_some()) {
            step.shell = step.shell.take().or_else(|| shell.clone());
            step.working_directory = step.working_directory.take().or_else(|| folder.clone());
        }
        steps
    }

    /// The environment of a job: its own before its workflow's.
    pub fn env(&self, job: &Job) -> indexmap::IndexMap<String, String> {
        let Some(definition) = self.definition(job) else { return job.spec.env.clone() };
        let outer = self.plan_of(job.parent.as_deref()).into_iter().flat_map(|plan| &plan.env);
        let mut env = indexmap::IndexMap::new();
        for (name, token) in outer.chain(&definition.env) {
            env.insert(name.clone(), token.text().unwrap_or_default());
        }
        env
    }

    /// The coding CLIs that a job's steps use; a step without `with.cli` uses `default_cli`.
    pub fn clis(&self, job: &Job, default_cli: &str) -> Vec<String> {
        let contexts = std::cell::OnceCell::new();
        let mut names: Vec<String> = self
            .steps(job)
            .iter()
            .filter(|step| step.is_agent())
            .filter_map(|step| match step.with.get("cli").and_then(serde_json::Value::as_str) {
                None => Some(default_cli.to_owned()),
                Some(name) if !name.contains("${{") => Some(name.to_owned()),
                Some(name) => {
                    let template = crate::expression::template::Template::parse(name).ok()?;
                    let contexts = contexts.get_or_init(|| self.contexts(job));
                    template.render(contexts, &crate::expression::JobStatus::Success).ok()
                }
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The job's outputs, from what its steps gave.
    ///
    /// # Errors
    /// An expression that can't be evaluated, in words for the workflow's author.
    pub fn outputs(
        &self,
        job: &Job,
        steps: serde_json::Value,
    ) -> Result<std::collections::BTreeMap<String, String>, String> {
        let Some(definition) = self.definition(job).filter(|definition| !definition.outputs.is_empty())
        else {
            return Ok(std::collections::BTreeMap::new());
        };
        let contexts = self.contexts(job).with("steps", Value::from(steps));
        let status = crate::expression::JobStatus::Success;
        let value = |(name, token): (&String, &crate::workflow::Token)| {
            let text = token.render(&contexts, &status);
            Ok((
                name.clone(),
                text.map_err(|error| format!("outputs.{name}: {}:{error}", self.workflow.path))?,
            ))
        };
        definition.outputs.iter().map(value).collect()
    }
}

/// Whether some job picks among this one's changes, or among those of jobs that start from them.
fn is_candidate(plan: &Plan, node: &str) -> bool {
    let mut seen: HashMap<&str, ()> = HashMap::new();
    let mut waiting = vec![node];
    while let Some(node) = waiting.pop() {
        if seen.insert(node, ()).is_some() {
            continue;
        }
        let of = |source: fn(&JobDefinition) -> Option<&str>| {
            plan.jobs.iter().filter(move |job| source(job) == Some(node))
        };
        if of(|job| job.pick.as_deref()).next().is_some() {
            return true;
        }
        waiting.extend(of(|job| job.from.as_deref()).map(|job| job.key.as_str()));
    }
    false
}

/// Text as part of a branch's name.
fn slug(text: &str) -> String {
    let mut slug: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(60)
        .collect();
    while slug.contains("--") {
        slug = slug.replace("--", "-");
    }
    slug.trim_matches('-').to_owned()
}

/// A matrix job's name for people, from its values.
fn named_slug(job: &Job) -> String {
    let values = job.matrix.iter().flat_map(|matrix| matrix.values());
    let values: Vec<String> =
        values.map(|value| Value::from(value).to_display_string().to_string()).collect();
    slug_of(&job.node, &values)
}

fn slug_of(node: &str, values: &[String]) -> String {
    slug(&[&[node.to_owned()], values].concat().join("-"))
}
