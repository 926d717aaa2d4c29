//! Keeps `reporting.yaml` current: each write is whole, under a temporary name first, with a sequence number that grows.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Write};

use cloud_code_model::mask::Masker;
use cloud_code_model::task::{Report, Status, Tasking};
use jiff::Timestamp;

use crate::workspace::{Identity, Workspace};

/// Most bytes of an earlier report that is looked at for its sequence number.
const MAX_REPORT: usize = 16 * 1024 * 1024;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportWriteError {
    /// The disk.
    #[error("the report cannot be written to {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The report itself.
    #[error("the report cannot be put into YAML: {0}")]
    Yaml(String),
}

/// The report, and where it goes.
pub(crate) struct Reporter {
    workspace: Workspace,
    report: RefCell<Report>,
    /// Whether an earlier agent had brought this very attempt to its end.
    completed_before: bool,
}

impl Reporter {
    /// Begins the report of an attempt. Its sequence goes on from a report that is there already, whoever wrote it.
    pub(crate) fn new(workspace: Workspace, identity: &Identity) -> Reporter {
        let earlier =
            fs::read(workspace.report()).ok().and_then(|bytes| Report::parse(&bytes, MAX_REPORT).ok());
        let sequence = earlier.as_ref().map_or(0, |report| report.sequence);
        let completed_before = earlier.is_some_and(|report| {
            report.status == Status::Completed
                && (report.run.as_str(), report.job.as_str(), report.attempt)
                    == (identity.run.as_str(), identity.job.as_str(), identity.attempt)
        });
        let report = Report {
            version: cloud_code_model::task::VERSION,
            run: identity.run.clone(),
            job: identity.job.clone(),
            attempt: identity.attempt,
            sequence,
            at: Timestamp::now(),
            status: Status::InProgress,
            conclusion: None,
            message: None,
            salvaged: false,
            blocked_hosts: Vec::new(),
            tasks: Vec::new(),
        };
        Reporter { workspace, report: RefCell::new(report), completed_before }
    }

    pub(crate) fn completed_before(&self) -> bool {
        self.completed_before
    }

    /// Changes the report and writes it.
    pub(crate) fn update<T>(
        &self,
        masker: &Masker,
        change: impl FnOnce(&mut Report) -> T,
    ) -> Result<T, ReportWriteError> {
        let value = change(&mut self.report.borrow_mut());
        self.write(masker, false)?;
        Ok(value)
    }

    /// Changes the report; the next write shows it.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.borrow_mut());
    }

    /// Writes the report once more, as a sign of life.
    pub(crate) fn beat(&self, masker: &Masker) -> Result<(), ReportWriteError> {
        self.write(masker, false)
    }

    /// Writes the closing report; it and all beside it are on the disk when this returns.
    pub(crate) fn close(
        &self,
        masker: &Masker,
        change: impl FnOnce(&mut Report),
    ) -> Result<(), ReportWriteError> {
        change(&mut self.report.borrow_mut());
        self.write(masker, true)
    }

    /// A look at the report.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Report) -> T) -> T {
        look(&self.report.borrow())
    }

    fn write(&self, masker: &Masker, durable: bool) -> Result<(), ReportWriteError> {
        let text = {
            let mut report = self.report.borrow_mut();
            report.sequence += 1;
            report.at = Timestamp::now();
            masked(&report, masker).to_yaml().map_err(|error| ReportWriteError::Yaml(error.to_string()))?
        };
        let path = self.workspace.report();
        self.replace(text.as_bytes(), durable)
            .map_err(|source| ReportWriteError::Io { path: path.display().to_string(), source })
    }

    fn replace(&self, bytes: &[u8], durable: bool) -> io::Result<()> {
        let temporary = self.workspace.report_temporary();
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        if durable {
            for path in [self.workspace.log(), self.workspace.transcript()] {
                match File::open(path) {
                    Ok(file) => file.sync_all()?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            file.sync_all()?;
        }
        fs::rename(&temporary, self.workspace.report())?;
        if durable {
            File::open(self.workspace.folder())?.sync_all()?;
        }
        Ok(())
    }
}

/// The report with every secret masked, in all that steps could have written into it.
fn masked(report: &Report, masker: &Masker) -> Report {
    let mut report = report.clone();
    let mask = |text: &mut String| *text = masker.mask_str(text);
    report.message.iter_mut().for_each(mask);
    for task in &mut report.tasks {
        task.outputs.values_mut().for_each(mask);
        for step in &mut task.steps {
            for text in [&mut step.name, &mut step.session, &mut step.summary, &mut step.error] {
                text.iter_mut().for_each(mask);
            }
            step.outputs.values_mut().for_each(mask);
            for annotation in &mut step.annotations {
                mask(&mut annotation.message);
                for text in [&mut annotation.title, &mut annotation.file] {
                    text.iter_mut().for_each(mask);
                }
            }
        }
    }
    report
}

impl From<&Tasking> for Identity {
    fn from(tasking: &Tasking) -> Self {
        Identity { run: tasking.run.clone(), job: tasking.job.clone(), attempt: tasking.attempt }
    }
}
