//! Bounds of a report: what is refused although its shape is right.

use indexmap::IndexMap;

use super::reporting::{Changes, Report, ReportError, Status, StepReport, TaskReport, Usage};
use super::validate::{self, MAX_USD, invalid};
use super::workflow_command::Annotation;

impl Report {
    /// Checks sizes and numbers; [`Report::parse`] does so by itself.
    pub fn check(&self) -> Result<(), ReportError> {
        validate::name("run", &self.run, 256)?;
        validate::name("job", &self.job, 256)?;
        if self.attempt == 0 {
            return Err(invalid("attempt", "attempts are counted from 1"));
        }
        if let Some(message) = &self.message {
            validate::text("message", message, 16 * 1024)?;
        }
        validate::count("blocked-hosts", self.blocked_hosts.len(), 1000)?;
        self.blocked_hosts.iter().try_for_each(|host| validate::text("blocked-hosts", host, 1024))?;
        concluded("", self.status, self.conclusion.is_some())?;
        validate::count("tasks", self.tasks.len(), 100)?;
        self.tasks.iter().enumerate().try_for_each(|(index, task)| task.check(&format!("tasks[{index}].")))
    }
}

impl TaskReport {
    fn check(&self, at: &str) -> Result<(), ReportError> {
        validate::name(&format!("{at}id"), &self.id, 256)?;
        validate::count(&format!("{at}steps"), self.steps.len(), 1000)?;
        for (index, step) in self.steps.iter().enumerate() {
            step.check(&format!("{at}steps[{index}]."))?;
        }
        outputs(at, &self.outputs)?;
        self.changes.as_ref().map_or(Ok(()), |changes| changes.check(&format!("{at}changes.")))
    }
}

impl StepReport {
    fn check(&self, at: &str) -> Result<(), ReportError> {
        validate::name(&format!("{at}id"), &self.id, 256)?;
        concluded(at, self.status, self.conclusion.is_some())?;
        for (field, value, max) in [
            ("name", &self.name, 1024),
            ("session", &self.session, 512),
            ("cli", &self.cli, 256),
            ("not-resumed", &self.not_resumed, 8 * 1024),
            ("summary", &self.summary, 256 * 1024),
            ("error", &self.error, 64 * 1024),
        ] {
            if let Some(value) = value {
                validate::text(&format!("{at}{field}"), value, max)?;
            }
        }
        if let Some(turns) = self.turns {
            validate::number(&format!("{at}turns"), u64::from(turns), 1_000_000)?;
        }
        if let Some(usage) = &self.usage {
            usage.check(&format!("{at}usage."))?;
        }
        validate::count(&format!("{at}annotations"), self.annotations.len(), 100)?;
        for (index, annotation) in self.annotations.iter().enumerate() {
            annotation.check(&format!("{at}annotations[{index}]."))?;
        }
        outputs(at, &self.outputs)
    }
}

impl Annotation {
    fn check(&self, at: &str) -> Result<(), ReportError> {
        validate::text(&format!("{at}message"), &self.message, 64 * 1024)?;
        for (field, value) in [("title", &self.title), ("file", &self.file)] {
            if let Some(value) = value {
                validate::text(&format!("{at}{field}"), value, 4096)?;
            }
        }
        Ok(())
    }
}

impl Usage {
    fn check(&self, at: &str) -> Result<(), ReportError> {
        for (field, value) in [
            ("input-tokens", self.input_tokens),
            ("cached-input-tokens", self.cached_input_tokens),
            ("output-tokens", self.output_tokens),
        ] {
            validate::number(&format!("{at}{field}"), value, 1_000_000_000_000)?;
        }
        match self.cost_usd {
            Some(cost) if !validate::within(cost, MAX_USD) => {
                Err(invalid(format!("{at}cost-usd"), format!("expected a number from 0 to {MAX_USD}")))
            }
            _ => Ok(()),
        }
    }
}

impl Changes {
    fn check(&self, at: &str) -> Result<(), ReportError> {
        // SHA-1 and SHA-256 object ids.
        validate::hex(&format!("{at}base"), &self.base, &[40, 64])?;
        validate::hex(&format!("{at}head"), &self.head, &[40, 64])?;
        for (field, value) in [
            ("commits", self.commits),
            ("files", self.files),
            ("insertions", self.insertions),
            ("deletions", self.deletions),
        ] {
            validate::number(&format!("{at}{field}"), value, 1_000_000_000)?;
        }
        if let Some(bundle) = &self.bundle {
            validate::file_name(&format!("{at}bundle"), bundle)?;
        }
        match &self.sha256 {
            Some(sha256) => validate::hex(&format!("{at}sha256"), sha256, &[64]),
            None if self.bundle.is_some() => Err(invalid(format!("{at}sha256"), "a bundle needs its sha256")),
            None => Ok(()),
        }
    }
}

/// A conclusion is there exactly when the thing is over.
fn concluded(at: &str, status: Status, conclusion: bool) -> Result<(), ReportError> {
    match (status, conclusion) {
        (Status::Completed, false) => Err(invalid(format!("{at}conclusion"), "missing although completed")),
        (Status::Queued | Status::InProgress, true) => {
            Err(invalid(format!("{at}conclusion"), "given although not completed"))
        }
        _ => Ok(()),
    }
}

/// Actions takes 1 MB of outputs a job: <https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idoutputs>
fn outputs(at: &str, outputs: &IndexMap<String, String>) -> Result<(), ReportError> {
    let field = format!("{at}outputs");
    validate::count(&field, outputs.len(), 1000)?;
    let mut bytes = 0;
    for (key, value) in outputs {
        validate::name(&field, key, 256)?;
        validate::text(&field, value, 1024 * 1024)?;
        bytes += key.len() + value.len();
    }
    validate::number(&field, bytes as u64, 1024 * 1024)
}
