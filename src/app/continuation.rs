//! Going on where an earlier run on the same branch left off: its conversations with coding CLIs, where they can be had, and a note in
//! words that every CLI understands.
//!
//! Only attempts of the same repository and installation that worked on the very branch count, in the same environment: what an agent was
//! told and saw never reaches another pull request, nor a job that may see less. Pull requests from forks start no run (`intake`).

use super::{App, AppError};
use crate::ports::{Artifact, ArtifactError, RunFilter, StoreError};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::run::{Attempt, AttemptState, Conclusion, Job, Origin, ReportSummary, Run};
use cloud_code_model::task::{Conversation, Earlier, MAX_SESSION_FILE};
use cloud_code_model::untrusted::{fenced, visible};
use jiff::SignedDuration;
use std::fmt::Write;

/// Runs that are looked through for an earlier one, newest first, in pages of so many.
const PAGES: usize = 5;
const PAGE: usize = 200;
/// A conversation that is older is not gone on with: what it knows of the code is long wrong.
const EXPIRES: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Of an earlier run's own words so much is passed on.
const MAX_WORDS: usize = 4_000;

/// What an attempt goes on from.
pub(super) struct Continuation {
    /// For the agent.
    pub(super) earlier: Earlier,
    /// The conversations' archive; none where [`Earlier::lost`] says why.
    pub(super) archive: Option<Vec<u8>>,
    /// For the prompt.
    pub(super) note: String,
}

/// Looks for the earlier attempt whose work this one goes on with.
///
/// # Errors
/// When the store, the forge or the artifacts do not answer.
pub(super) async fn find(
    app: &App,
    run: &Run,
    job: &Job,
    attempt: &AttemptId,
    origin: &Origin,
) -> Result<Option<Continuation>, AppError> {
    // One that takes up another job's change of its own run has that job's note, and a mind of its own.
    if run.start_of(job).is_ok_and(|start| start.is_some()) {
        return Ok(None);
    }
    let wanted = Wanted { job, origin, attempt };
    if let Some((key, found)) = wanted.of(run) {
        return continuation(app, run, key, found).await.map(Some);
    }
    // Runs on the issue and runs on its pull request work on the one branch.
    let pull = match origin.continues {
        true => app.forge.open_pull(&run.repository, &origin.branch).await?.map(|pull| pull.number),
        false => None,
    };
    let mut filter =
        RunFilter { repository: Some(run.repository.full_name()), limit: PAGE, ..RunFilter::default() };
    // What waits for an answer was asked lately, and what is about nothing is about nothing earlier.
    let pages = match (origin.continues, run.subject.number) {
        (true, _) => PAGES,
        (false, 0) => 0,
        (false, _) => 1,
    };
    for _ in 0..pages {
        let page = app.store.list(&filter).await?;
        for row in page.items {
            let about = row.subject > 0 && (row.subject == run.subject.number || Some(row.subject) == pull);
            let older = row.id != run.id && row.created_at <= run.created_at;
            if !older || !(about || is_branch_of(&origin.branch, row.subject, row.id.as_str())) {
                continue;
            }
            let other = match app.store.load(&row.id).await {
                Ok(Some(stored)) => stored.run,
                // One run that can't be read is no reason to begin none.
                Ok(None) | Err(StoreError::Corrupt(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let same = other.repository.full_name() == run.repository.full_name()
                && other.repository.installation == run.repository.installation;
            if let Some((key, found)) = wanted.of(&other).filter(|_| same) {
                return continuation(app, &other, key, found).await.map(Some);
            }
        }
        match page.next {
            Some(next) => filter.cursor = Some(next),
            None => break,
        }
    }
    Ok(None)
}

/// Whether a branch bears the name that runs on this subject, or this run about none, give theirs.
fn is_branch_of(branch: &str, subject: u64, run: &str) -> bool {
    let own = match subject {
        0 => format!("cloud-code/run-{}", run.trim_start_matches("r-").get(..7).unwrap_or_default()),
        number => format!("cloud-code/issue-{number}"),
    };
    branch.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The issue that runs which gave a branch its name were about; 0 where they were about none.
pub(super) fn subject_of(branch: &str) -> Option<u64> {
    if branch.starts_with("cloud-code/run-") {
        return Some(0);
    }
    branch.strip_prefix("cloud-code/issue-")?.split('-').next()?.parse().ok()
}

/// What an earlier attempt must have been.
struct Wanted<'a> {
    job: &'a Job,
    origin: &'a Origin,
    attempt: &'a AttemptId,
}

impl Wanted<'_> {
    /// The last attempt of a run that fits, with its job's key: of the job of the same key where there is one.
    fn of<'r>(&self, run: &'r Run) -> Option<(&'r str, &'r Attempt)> {
        let jobs = run.jobs.iter().flat_map(|job| {
            let retired = run.retired.get(&job.key).map_or(&[][..], Vec::as_slice);
            job.attempts.iter().chain(retired).map(move |attempt| (job, attempt))
        });
        let fits = jobs.filter(|(job, attempt)| {
            let itself = run.id == self.attempt.run
                && job.key == self.attempt.job
                && attempt.number >= self.attempt.number;
            !itself && environment(job) == environment(self.job) && self.fits(attempt)
        });
        fits.max_by_key(|(job, attempt)| (job.key == self.job.key, attempt.finished_at))
            .map(|(job, attempt)| (job.key.as_str(), attempt))
    }

    fn fits(&self, attempt: &Attempt) -> bool {
        // One that was lost has left no files; the one before it may have.
        let ended = |report: &&ReportSummary| report.conclusion.is_some() && !report.sessions.is_empty();
        let spoke = attempt.report.as_ref().filter(ended).is_some();
        let Some(origin) = attempt.origin.as_ref().filter(|origin| origin.branch == self.origin.branch)
        else {
            return false;
        };
        let stood_there = match self.origin.continues {
            true => {
                origin.continues || attempt.publication.as_ref().is_some_and(|it| it.branch == origin.branch)
            }
            // Nothing was pushed, and nothing was to be: it waits for an answer.
            false => !origin.continues && attempt.conclusion == Some(Conclusion::NeedsInput),
        };
        attempt.state == AttemptState::Done && attempt.picked.is_none() && spoke && stood_there
    }
}

fn environment(job: &Job) -> Option<&str> {
    job.gate.as_ref().map(|gate| gate.environment.as_str())
}

async fn continuation(app: &App, run: &Run, job: &str, attempt: &Attempt) -> Result<Continuation, AppError> {
    let id = run.attempt_id(job, attempt.number);
    let sessions = attempt.report.iter().flat_map(|report| &report.sessions);
    let conversations: Vec<Conversation> = sessions
        .filter(|session| !session.id.is_empty())
        .map(|session| Conversation {
            step: session.step.clone(),
            cli: session.cli.clone(),
            session: session.id.clone(),
        })
        .collect();
    let ended = attempt.finished_at.unwrap_or(attempt.created_at);
    let expired = app.clock.now().duration_since(ended) > EXPIRES;
    let (archive, lost) = match expired {
        true => (None, Some(format!("it is older than {} days", EXPIRES.as_hours() / 24))),
        false => match app.artifacts.read(&id, Artifact::Session, MAX_SESSION_FILE).await {
            Ok(Some(bytes)) => (Some(bytes), None),
            Ok(None) => (None, Some("its files were not kept".to_owned())),
            Err(ArtifactError::Unavailable(reason)) => return Err(ArtifactError::Unavailable(reason).into()),
            Err(error) => (None, Some(error.to_string())),
        },
    };
    let note = note(run, job, attempt);
    Ok(Continuation { earlier: Earlier { run: run.id.to_string(), conversations, lost }, archive, note })
}

/// What was asked, what was done, what is open.
fn note(run: &Run, job: &str, attempt: &Attempt) -> String {
    let report = attempt.report.as_ref();
    let clis: Vec<&str> =
        report.iter().flat_map(|report| &report.sessions).map(|it| it.cli.as_str()).collect();
    let mut out = format!(
        "# What an earlier run did\n\nThe run {} worked on this before you, with {}. You may have been that agent, or another may have been; \
         go on from its work, do not begin anew.\n\n- Asked: {}\n",
        run.id,
        if clis.is_empty() { "an agent".to_owned() } else { clis.join(", ") },
        one_line(&run.subject.title)
    );
    if let Some(publication) = &attempt.publication {
        let (files, insertions, deletions) = publication.diffstat;
        let _ = writeln!(
            out,
            "- Done: commit `{}` on `{}`: {files} files, +{insertions} -{deletions}",
            publication.sha, publication.branch
        );
    }
    let ended = attempt.conclusion.map_or("unknown", Conclusion::as_str);
    let _ = writeln!(out, "- Ended: {ended} (job `{job}`)");
    let mut words = |name: &str, text: Option<&str>| {
        if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
            let _ = writeln!(out, "\n{}", fenced(name, &visible(text, MAX_WORDS)));
        }
    };
    words("asked", run.context["cloud_code"]["instructions"].as_str());
    let added = run.additions.iter().filter(|addition| attempt.additions.contains(&addition.comment));
    added.for_each(|addition| words("asked", Some(&addition.words)));
    words("done", report.and_then(|report| report.summary.as_deref()));
    if attempt.conclusion != Some(Conclusion::Success) {
        words(
            "open",
            attempt.reason.as_deref().or_else(|| report.and_then(|report| report.message.as_deref())),
        );
    }
    out
}

fn one_line(text: &str) -> String {
    visible(text, 300).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::{is_branch_of, subject_of};

    #[test]
    fn branches_name_whom_they_were_made_for() {
        for (branch, expected) in [
            ("cloud-code/issue-42", Some(42)),
            ("cloud-code/issue-42-codex-2", Some(42)),
            ("cloud-code/run-0123456", Some(0)),
            ("cloud-code/issue-x", None),
            ("feature", None),
        ] {
            assert_eq!(subject_of(branch), expected, "{branch}");
        }
    }

    #[test]
    fn branches_name_what_they_are_for() {
        for (branch, subject, run, expected) in [
            ("cloud-code/issue-42", 42, "r-1", true),
            ("cloud-code/issue-42-codex", 42, "r-1", true),
            ("cloud-code/issue-421", 42, "r-1", false),
            ("cloud-code/issue-42", 4, "r-1", false),
            ("cloud-code/run-0123456", 0, "r-0123456789", true),
            ("cloud-code/run-0123456", 0, "r-9123456789", false),
            ("feature", 42, "r-1", false),
        ] {
            assert_eq!(is_branch_of(branch, subject, run), expected, "{branch} {subject} {run}");
        }
    }
}
