//! Which secrets a job's expressions name, and which its callers pass on: no other is given to it.

use super::job::Job;
use super::state::Run;
use crate::expression::template::Template;
use crate::expression::{Contexts, JobStatus, PathPart, Reference, ReferenceKind, Value as Computed};
use crate::task::listed_secrets;
use crate::workflow::PassedSecrets;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The secrets that a job asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamedSecrets {
    /// Names, raised as GitHub does: `secrets.token` and `with.secrets: TOKEN` are both `TOKEN`.
    pub names: BTreeSet<String>,
    /// Whether an expression takes the context as a whole, e.g. `toJSON(secrets)`, or a name that only its evaluation knows.
    pub all: bool,
}

impl NamedSecrets {
    fn take(&mut self, references: &[Reference]) {
        for reference in references.iter().filter(|one| one.name.eq_ignore_ascii_case("secrets")) {
            match &reference.kind {
                ReferenceKind::Context { path } => match path.first() {
                    Some(PathPart::Name(name)) => drop(self.names.insert(name.to_ascii_uppercase())),
                    _ => self.all = true,
                },
                ReferenceKind::Function { .. } => {}
            }
        }
    }

    /// What can't be parsed names nothing: it fails where it is evaluated.
    fn template(&mut self, text: &str) {
        if text.contains("${{")
            && let Ok(template) = Template::parse(text)
        {
            self.take(&template.references());
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.template(text),
            Value::Array(items) => items.iter().for_each(|item| self.value(item)),
            Value::Object(entries) => entries.values().for_each(|value| self.value(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl PassedSecrets {
    /// The caller's secrets that it takes to have these of the called workflow.
    pub fn needs(&self, named: &NamedSecrets) -> NamedSecrets {
        match self {
            Self::None => NamedSecrets::default(),
            Self::Inherit => named.clone(),
            Self::Named(passed) => {
                let mut needed = NamedSecrets::default();
                for (name, token) in passed {
                    if named.all || named.names.contains(&name.to_ascii_uppercase()) {
                        needed.template(&token.text().unwrap_or_default());
                    }
                }
                needed
            }
        }
    }

    /// The called workflow's secrets, from the caller's and what else the caller's expressions see; by name, raised. What is passed and is
    /// empty is none. Beside them the names of those that can't be evaluated.
    pub fn give(
        &self,
        secrets: BTreeMap<String, String>,
        contexts: Contexts,
    ) -> (BTreeMap<String, String>, Vec<String>) {
        let passed = match self {
            Self::None => return Default::default(),
            Self::Inherit => return (secrets, Vec::new()),
            Self::Named(passed) => passed,
        };
        let object = secrets.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        let contexts = contexts.with("secrets", Computed::from(Value::Object(object)));
        let (mut given, mut broken) = (BTreeMap::new(), Vec::new());
        for (name, token) in passed {
            match token.render(&contexts, &JobStatus::Success) {
                Ok(value) if value.is_empty() => {}
                Ok(value) => drop(given.insert(name.to_ascii_uppercase(), value)),
                Err(_) => broken.push(name.clone()),
            }
        }
        (given, broken)
    }
}

impl Run {
    /// What the calls around a job pass on, each with the job that calls, the innermost first; nothing where the job is one of the run's own
    /// workflow.
    pub fn passed_secrets(&self, job: &Job) -> Vec<(&PassedSecrets, &Job)> {
        let mut passed = Vec::new();
        let mut parent = job.parent.as_deref();
        while let Some(caller) = parent.and_then(|key| self.job(key)) {
            passed.extend(
                self.definition(caller)
                    .and_then(|definition| definition.call.as_ref())
                    .map(|call| (&call.secrets, caller)),
            );
            parent = caller.parent.as_deref();
        }
        passed
    }

    /// The secrets that a job's steps and environment name, in expressions or by an agent step's `with.secrets`.
    pub fn named_secrets(&self, job: &Job) -> NamedSecrets {
        let mut named = NamedSecrets::default();
        for step in self.steps(job) {
            // A condition may not name any. `with.secrets` is a text of names.
            let listed = step.with.get("secrets").and_then(Value::as_str).unwrap_or_default();
            named.names.extend(listed_secrets(listed).map(str::to_ascii_uppercase));
            // Its fields are many, and each may hold an expression.
            if let Ok(all) = serde_json::to_value(&step) {
                named.value(&all);
            }
        }
        self.env(job).values().for_each(|text| named.template(text));
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::Token;
    use crate::workflow::yaml::Position;

    #[test]
    fn a_called_workflow_has_what_is_passed() {
        let named = |names: &[&str]| NamedSecrets {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            all: false,
        };
        let passed = PassedSecrets::Named(
            [("token", "${{ secrets.npm }}"), ("OTHER", "x-${{ secrets.B }}"), ("gone", "${{ secrets.C }}")]
                .map(|(name, text)| {
                    let value = crate::workflow::TokenValue::Text(text.to_owned());
                    (name.to_owned(), Token { at: Position::default(), value })
                })
                .into_iter()
                .collect(),
        );
        assert_eq!(passed.needs(&named(&["TOKEN", "NPM"])), named(&["NPM"]));
        assert_eq!(PassedSecrets::None.needs(&named(&["A"])), named(&[]));
        assert_eq!(PassedSecrets::Inherit.needs(&named(&["A"])), named(&["A"]));
        let secrets =
            || BTreeMap::from([("NPM", "n"), ("B", "b")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        let (given, broken) = passed.give(secrets(), Contexts::new());
        let given: Vec<_> = given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!((given, broken.len()), (vec![("OTHER", "x-b"), ("TOKEN", "n")], 0));
        assert!(PassedSecrets::None.give(secrets(), Contexts::new()).0.is_empty());
        assert_eq!(PassedSecrets::Inherit.give(secrets(), Contexts::new()).0, secrets());
    }
}
