//! Which secrets a job's expressions name: no other is given to it.

use super::job::Job;
use super::state::Run;
use crate::expression::template::Template;
use crate::expression::{PathPart, Reference, ReferenceKind};
use serde_json::Value;
use std::collections::BTreeSet;

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

impl Run {
    /// The secrets that a job's steps and environment name, in expressions or by an agent step's `with.secrets`.
    pub fn named_secrets(&self, job: &Job) -> NamedSecrets {
        let mut named = NamedSecrets::default();
        for step in self.steps(job) {
            // A condition may not name any. `with.secrets` is a text of names.
            let listed = step.with.get("secrets").and_then(Value::as_str).unwrap_or_default();
            let listed =
                listed.split(|c: char| c == ',' || c.is_whitespace()).filter(|name| !name.is_empty());
            named.names.extend(listed.map(str::to_ascii_uppercase));
            // Its fields are many, and each may hold an expression.
            if let Ok(all) = serde_json::to_value(&step) {
                named.value(&all);
            }
        }
        self.env(job).values().for_each(|text| named.template(text));
        named
    }
}
