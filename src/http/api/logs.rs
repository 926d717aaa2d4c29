//! Reads what an attempt printed and what its agent said. Both are a stranger's bytes: served as plain text, never as HTML.

use super::query::{Params, RunPath};
use super::runs::find;
use crate::http::Shared;
use crate::http::error::{ApiError, ErrorBody};
use crate::ports::{Artifact, ArtifactError};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use cloud_code_model::ids::AttemptId;
use cloud_code_model::run::{AttemptState, Run};
use futures::Stream;
use serde::Deserialize;
use std::time::Duration;
use utoipa::IntoParams;

/// Bytes of one page of a log, and of one piece of a stream, at most.
const PAGE_BYTES: u64 = 1024 * 1024;

/// How often a followed log is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// Where the next page begins.
pub const NEXT_OFFSET: &str = "x-next-offset";
/// `true` when nothing will follow this page.
pub const COMPLETE: &str = "x-log-complete";

/// Which part of which log.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct LogParams {
    /// The job's key; may be left out where the run has one job.
    job: Option<String>,
    /// The attempt's number; the last one where it is left out.
    attempt: Option<u32>,
    /// Bytes to skip: the `X-Next-Offset` of the page before.
    offset: Option<u64>,
    /// Send on until the attempt is over, instead of one page.
    follow: Option<bool>,
}

/// Which transcript.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TranscriptParams {
    /// The job's key; may be left out where the run has one job.
    job: Option<String>,
    /// The attempt's number; the last one where it is left out.
    attempt: Option<u32>,
}

/// The attempt that is meant, and whether it is over.
fn pick(run: &Run, job: Option<&str>, number: Option<u32>) -> Result<(AttemptId, bool), ApiError> {
    let keys = || run.jobs.iter().map(|job| job.key.as_str()).collect::<Vec<_>>().join(", ");
    let job = match (job, &run.jobs[..]) {
        (Some(key), _) => run.job(key).ok_or_else(|| {
            ApiError::not_found(format!("the run has no job {key:?}; its jobs: {}", keys()))
        })?,
        (None, [only]) => only,
        (None, _) => {
            return Err(ApiError::bad_request(format!(
                "the run has several jobs: add job= with one of {}",
                keys()
            )));
        }
    };
    let attempt = match number {
        Some(number) => job.attempts.iter().find(|attempt| attempt.number == number),
        None => job.attempts.last(),
    };
    let attempt = attempt.ok_or_else(|| {
        ApiError::not_found(format!("the job {} has attempts 1 to {}", job.key, job.attempts.len()))
    })?;
    Ok((run.attempt_id(&job.key, attempt.number), attempt.state == AttemptState::Done))
}

/// The agent's log; what the container printed where the attempt ended without one.
async fn source(state: &Shared, attempt: &AttemptId, over: bool) -> Result<Artifact, ArtifactError> {
    if !over || !state.artifacts.read_from(attempt, Artifact::Log, 0, 1).await?.is_empty() {
        return Ok(Artifact::Log);
    }
    Ok(Artifact::ContainerLog)
}

/// A log being sent.
struct Following {
    state: Shared,
    attempt: AttemptId,
    artifact: Artifact,
    offset: u64,
    /// Nothing will be added any more.
    over: bool,
}

impl Following {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        loop {
            let read =
                self.state.artifacts.read_from(&self.attempt, self.artifact, self.offset, PAGE_BYTES).await?;
            if !read.is_empty() {
                self.offset += read.len() as u64;
                return Ok(Some(read));
            }
            if self.over {
                return Ok(None);
            }
            tokio::select! {
                () = self.state.shutdown.cancelled() => return Ok(None),
                () = tokio::time::sleep(FOLLOW_EVERY) => {}
            }
            let run = find(&self.state, &self.attempt.run).await?;
            self.over = run.attempt(&self.attempt).is_none_or(|attempt| attempt.state == AttemptState::Done);
            if self.over && self.offset == 0 {
                self.artifact = source(&self.state, &self.attempt, true).await?;
            }
        }
    }

    /// An error in mid-stream breaks the connection off, so that the reader can't take the part for the whole.
    fn stream(self) -> impl Stream<Item = Result<Vec<u8>, std::io::Error>> + Send {
        futures::stream::try_unfold(self, |mut following| async move {
            match following.next().await {
                Ok(piece) => Ok(piece.map(|piece| (piece, following))),
                Err(error) => Err(std::io::Error::other(error.message)),
            }
        })
    }
}

/// One page, or the stream; for the API and for the pages.
pub(in crate::http) async fn read(
    state: Shared,
    run: &Run,
    params: &LogParams,
) -> Result<Response, ApiError> {
    let (attempt, over) = pick(run, params.job.as_deref(), params.attempt)?;
    let artifact = source(&state, &attempt, over).await?;
    let offset = params.offset.unwrap_or(0);
    let plain = ("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
    if params.follow == Some(true) {
        let following = Following { state, attempt, artifact, offset, over };
        return Ok(([plain], Body::from_stream(following.stream())).into_response());
    }
    let page = state.artifacts.read_from(&attempt, artifact, offset, PAGE_BYTES).await?;
    let complete = over && (page.len() as u64) < PAGE_BYTES;
    let next = HeaderValue::from(offset.saturating_add(page.len() as u64));
    let complete = HeaderValue::from_static(if complete { "true" } else { "false" });
    Ok(([plain, (NEXT_OFFSET, next), (COMPLETE, complete)], page).into_response())
}

/// Reads the log of a job's attempt, a page of at most 1 MiB or, with `follow`, all of it as it grows.
#[utoipa::path(
    get, path = "/runs/{id}/logs", operation_id = "readLog", tag = "runs", security(("token" = [])),
    params(("id" = String, Path, description = "The run's id", example = "r-0123456789abcdef0123"), LogParams),
    responses(
        (status = 200, description = "A part of the log, empty where there is none yet", body = String, content_type = "text/plain",
         headers(("X-Next-Offset" = u64, description = "Where the next page begins"),
                 ("X-Log-Complete" = bool, description = "Whether nothing will follow this page"))),
        (status = 400, description = "A parameter is wrong or missing", body = ErrorBody),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "There is no such run, job or attempt", body = ErrorBody),
        (status = 503, description = "The store or the artifacts are down", body = ErrorBody),
    )
)]
pub(super) async fn logs(
    State(state): State<Shared>,
    RunPath(id): RunPath,
    Params(params): Params<LogParams>,
) -> Result<Response, ApiError> {
    let run = find(&state, &id).await?;
    read(state, &run, &params).await
}

/// Reads the transcript of a job's attempt: what the coding CLI reported, one JSON object a line.
#[utoipa::path(
    get, path = "/runs/{id}/transcript", operation_id = "readTranscript", tag = "runs", security(("token" = [])),
    params(("id" = String, Path, description = "The run's id", example = "r-0123456789abcdef0123"), TranscriptParams),
    responses(
        (status = 200, description = "The transcript so far", body = String, content_type = "application/x-ndjson"),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "There is no such run, job or attempt, or no transcript of it yet", body = ErrorBody),
        (status = 503, description = "The store or the artifacts are down", body = ErrorBody),
    )
)]
pub(super) async fn transcript(
    State(state): State<Shared>,
    RunPath(id): RunPath,
    Params(params): Params<TranscriptParams>,
) -> Result<Response, ApiError> {
    let run = find(&state, &id).await?;
    let (attempt, _) = pick(&run, params.job.as_deref(), params.attempt)?;
    if state.artifacts.read_from(&attempt, Artifact::Transcript, 0, 1).await?.is_empty() {
        return Err(ApiError::not_found(format!("there is no transcript of {attempt} yet")));
    }
    let all = Following { state, attempt, artifact: Artifact::Transcript, offset: 0, over: true };
    let lines = (header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(([lines], Body::from_stream(all.stream())).into_response())
}
