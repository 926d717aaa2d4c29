//! `${{ }}` inside steps: the contexts at that moment, and a step with its expressions replaced.
//!
//! `with.prompt` is passed on as it is: the orchestrator has built it, and an issue's text stands in it.

use std::path::PathBuf;

use cloud_code_model::expression::template::Template;
use cloud_code_model::expression::{self, Contexts, Host, JobStatus, Object, Value};
use cloud_code_model::task::{Dynamic, Step};
use indexmap::IndexMap;

use crate::hash_files;

/// Inputs in which nothing is replaced.
const COMPLETE: [&str; 1] = ["prompt"];

/// Everything an expression may see.
pub(crate) struct Scope {
    pub(crate) contexts: Contexts,
    pub(crate) status: JobStatus,
    pub(crate) workspace: PathBuf,
}

impl Host for Scope {
    fn hash_files(&self, patterns: &[String]) -> Result<String, String> {
        hash_files::hash(&self.workspace, patterns)
    }

    fn status(&self) -> JobStatus {
        self.status
    }
}

impl Scope {
    /// Whether a step with this `if` is to run.
    pub(crate) fn condition(&self, text: Option<&str>) -> Result<bool, String> {
        let text = text.unwrap_or_default();
        expression::condition(text)
            .and_then(|condition| condition.evaluate(&self.contexts, self))
            .map_err(|error| format!("if: {error}"))
    }

    /// A map of variables with the expressions in its values replaced.
    pub(crate) fn variables(
        &self,
        map: &IndexMap<String, String>,
    ) -> Result<IndexMap<String, String>, String> {
        map.iter()
            .map(|(name, value)| Ok((name.clone(), self.text(&format!("env.{name}"), value)?)))
            .collect()
    }

    /// The context `env`, from here on.
    pub(crate) fn set_env(&mut self, variables: &IndexMap<String, String>) {
        let pairs = variables.iter().map(|(name, value)| (name.as_str(), Value::from(value.as_str())));
        self.contexts.insert("env", Object::case_sensitive(pairs));
    }

    /// A step with every expression replaced, but for `if` and `env`.
    pub(crate) fn resolve(&self, step: &Step) -> Result<Step, String> {
        let optional = |field: &str, text: &Option<String>| -> Result<Option<String>, String> {
            text.as_ref().map(|text| self.text(field, text)).transpose()
        };
        let mut resolved = step.clone();
        resolved.name = optional("name", &step.name)?;
        resolved.run = optional("run", &step.run)?;
        resolved.shell = optional("shell", &step.shell)?;
        resolved.working_directory = optional("working-directory", &step.working_directory)?;
        for (input, value) in &mut resolved.with {
            if !COMPLETE.contains(&input.as_str()) {
                self.replace(&format!("with.{input}"), value)?;
            }
        }
        if let Some(Dynamic::Expression(text)) = &step.timeout_minutes {
            let minutes = self.value("timeout-minutes", text)?.to_number();
            if !(minutes.is_finite() && minutes >= 0.0) {
                return Err(format!("timeout-minutes: `{text}` is not a number of minutes"));
            }
            resolved.timeout_minutes = Some(Dynamic::Value(minutes));
        }
        if let Some(Dynamic::Expression(text)) = &step.continue_on_error {
            let value = self.value("continue-on-error", text)?;
            resolved.continue_on_error =
                Some(Dynamic::Value(value.is_truthy() && value.as_str() != Some("false")));
        }
        Ok(resolved)
    }

    fn replace(&self, field: &str, value: &mut serde_json::Value) -> Result<(), String> {
        match value {
            serde_json::Value::String(text) => *value = self.value(field, text)?.to_json(),
            serde_json::Value::Array(items) => {
                for item in items {
                    self.replace(field, item)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn value(&self, field: &str, text: &str) -> Result<Value, String> {
        let template = Template::parse(text).map_err(|error| format!("{field}: {error}"))?;
        template.evaluate(&self.contexts, self).map_err(|error| format!("{field}: {error}"))
    }

    /// Text with the expressions in it replaced; an error names the field.
    pub(crate) fn render(&self, field: &str, text: &str) -> Result<String, String> {
        self.text(field, text)
    }

    fn text(&self, field: &str, text: &str) -> Result<String, String> {
        Ok(self.value(field, text)?.to_display_string().to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn scope(status: JobStatus) -> Scope {
        let contexts = serde_json::json!({ "matrix": { "cli": "script", "soft": true, "time": 3 } });
        let contexts = Contexts::new().with("matrix", &contexts["matrix"]);
        Scope { contexts, status, workspace: PathBuf::from("/nowhere") }
    }

    #[test]
    fn expressions_are_replaced_everywhere_but_in_the_prompt() {
        let step: Step = serde_yaml::from_str(
            "{uses: agent, name: '${{ matrix.cli }}!', timeout-minutes: '${{ matrix.time }}', continue-on-error: '${{ matrix.soft }}',
              with: {cli: '${{ matrix.cli }}', prompt: 'p ${{ secrets.X }}', args: ['${{ matrix.time }}']}}",
        )
        .unwrap();
        let step = scope(JobStatus::Success).resolve(&step).unwrap();
        assert_eq!(step.name.as_deref(), Some("script!"));
        assert_eq!(step.with["cli"], "script");
        assert_eq!(step.with["prompt"], "p ${{ secrets.X }}");
        assert_eq!(step.timeout_minutes, Some(Dynamic::Value(3.0)));
        assert_eq!(step.continue_on_error, Some(Dynamic::Value(true)));
    }

    #[test]
    fn conditions_know_how_the_job_stands() {
        let check = |status, text: Option<&str>, expected: bool| {
            assert_eq!(scope(status).condition(text).unwrap(), expected, "{text:?}");
        };
        check(JobStatus::Success, None, true);
        check(JobStatus::Failure, None, false);
        check(JobStatus::Failure, Some("always()"), true);
        check(JobStatus::Failure, Some("failure() && matrix.cli == 'script'"), true);
        check(JobStatus::Success, Some("${{ matrix.cli != 'script' }}"), false);
        let error = scope(JobStatus::Success).condition(Some("matrix.")).unwrap_err();
        assert!(error.starts_with("if: "), "{error}");
    }
}
