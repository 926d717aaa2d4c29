//! What one job's agents leave to those of another: a note of what was done, in words that every CLI understands, and the candidates that a
//! judge picks from.

use cloud_code_model::run::{Job, Publication, Run};
use cloud_code_model::untrusted::{fenced, visible};
use std::fmt::Write;

/// Of each job's own words so much is passed on.
const MAX_SUMMARY: usize = 4_000;

/// The notes for a job; empty where it takes nothing over.
pub(super) fn notes(run: &Run, job: &Job) -> String {
    let mut out = String::new();
    if let Ok(Some((earlier, publication))) = run.start_of(job) {
        let _ = writeln!(
            out,
            "# What was done before you\n\nYour checkout stands at the change of the job `{}`. Go on from it; do not begin anew.\n",
            earlier.key
        );
        one(&mut out, run, earlier, publication);
    }
    if let Some(candidates) = run.choice(job) {
        let _ = writeln!(
            out,
            "# The candidates\n\nEach is a change to the same task, on a branch of its own, made from `{}`. Look at each with `git diff` between its base and \
             its commit, and try it where you can (`git checkout --detach COMMIT`). Then say which one is best by writing the line `pick=BRANCH` to the file \
             whose path is in the environment variable GITHUB_OUTPUT. Only that one becomes a pull request. Change no files yourself.\n",
            run.repository.default_branch
        );
        for (candidate, publication) in candidates {
            one(&mut out, run, candidate, publication);
        }
    }
    out
}

fn one(out: &mut String, run: &Run, job: &Job, publication: &Publication) {
    let (files, insertions, deletions) = publication.diffstat;
    let clis = run.clis(job, "the default CLI").join(", ");
    let _ = writeln!(
        out,
        "- `{}` by {clis}: branch `{}`, commit `{}`, base `{}`; {files} files, +{insertions} -{deletions}, {} commits",
        job.key, publication.branch, publication.sha, publication.base, publication.commits
    );
    let report = job.attempt().and_then(|attempt| attempt.report.as_ref());
    if let Some(summary) = report.and_then(|report| report.summary.as_deref()) {
        let _ = writeln!(out, "\n{}", fenced("summary", &visible(summary, MAX_SUMMARY)));
    }
}
