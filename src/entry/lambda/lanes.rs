//! The lanes: messages as Lambda hands them out, a batch at once, each answered by itself.

use super::Function;
use super::event::{BatchResponse, QueueEvent, QueueRecord};
use crate::adapters::aws::sqs::{Accepted, Received};
use crate::app::launch::{self, Launched};
use crate::entry::messages::{self, Locks, Outcome, answer, failed, hopeless, hopeless_launch, keep_leased};
use crate::ports::{Lane, Leased, Queue};
use cloud_code_model::ids::AttemptId;
use futures::future::join_all;
use std::time::Duration;
use tracing::Instrument;

/// How long a message is ours; renewed while its handler works, so that a killed function's messages come back after this.
const VISIBILITY: Duration = Duration::from_secs(60);
/// After which a run that another process is at is looked at again.
const AGAIN: Duration = Duration::from_secs(5);

/// Handles the lanes' messages: the dispatcher, and the reporter for the lane of runs.
pub struct Lanes {
    function: Function,
    locks: Locks,
}

impl Lanes {
    /// See [`Function::load`].
    ///
    /// # Errors
    /// The first setting that is missing or wrong.
    pub async fn load() -> anyhow::Result<Self> {
        Ok(Self::new(Function::load().await?))
    }

    /// On this function.
    pub fn new(function: Function) -> Self {
        Self { function, locks: Locks::default() }
    }

    pub(super) fn function(&self) -> &Function {
        &self.function
    }

    /// Handles a batch.
    pub async fn handle(&self, event: QueueEvent) -> BatchResponse {
        let stays = |record: QueueRecord| async move {
            let stays = self.one(&record).await;
            stays.then_some(record.message_id)
        };
        BatchResponse::of(join_all(event.records.into_iter().map(stays)).await.into_iter().flatten())
    }

    /// Handles one message, and says whether it is to stay in the queue. What is done, or given up, is deleted by then.
    async fn one(&self, record: &QueueRecord) -> bool {
        let Some(lane) = lane(&record.event_source_arn) else {
            tracing::error!(
                queue = record.event_source_arn,
                "this queue is no lane: the event source is wired wrongly"
            );
            return true;
        };
        let (app, queue) = (&self.function.app, &self.function.queue);
        let received = Received { lane, handle: record.receipt_handle.clone(), body: record.body.clone() };
        let message = match queue.accept(received, VISIBILITY).await {
            Ok(Accepted::Ours(message)) => message,
            Ok(Accepted::Later) => return true,
            Ok(Accepted::Over) => return false,
            Err(error) => {
                tracing::warn!(lane = lane.as_str(), %error, "a message could not be taken");
                return true;
            }
        };
        // The queue's own visibility is as long as the function's patience, which a killed one's message would have to wait for.
        if let Err(error) = queue.extend(&message.receipt, VISIBILITY).await {
            tracing::warn!(lane = lane.as_str(), %error, "could not shorten the time that the message is hidden");
        }
        let work = async {
            match lane {
                Lane::Launches => self.launch(&message).await,
                Lane::Deliveries | Lane::Runs => messages::handle(app, &self.locks, &message, AGAIN).await,
            }
        };
        let outcome = keep_leased(app, &message, VISIBILITY, work).await;
        if matches!(outcome, Outcome::Aside) {
            return self.park(&message).await;
        }
        let heard = answer(app, &message, &outcome).await;
        !heard || matches!(outcome, Outcome::Later(..))
    }

    /// Puts an attempt aside that has no room, and says whether its message is to stay in the queue instead.
    async fn park(&self, message: &Leased) -> bool {
        let parked = self.function.queue.park(&message.receipt).await;
        if let Err(error) = &parked {
            tracing::warn!(key = %message.key, %error, "could not be put aside");
        }
        parked.is_err()
    }

    /// Starts an attempt, where there is room.
    async fn launch(&self, message: &Leased) -> Outcome {
        let app = &self.function.app;
        let Ok(attempt) = serde_json::from_slice::<AttemptId>(&message.body) else {
            return Outcome::Never("not an attempt".to_owned());
        };
        if let Some(reason) = hopeless(message) {
            return hopeless_launch(app, &attempt, reason).await;
        }
        let running = match app.runner.list().await {
            Ok(listed) => listed.iter().filter(|listed| listed.running && listed.attempt != attempt).count(),
            Err(error) => return failed(message, &error.into()),
        };
        if running >= self.function.config.agents.concurrency {
            return Outcome::Aside;
        }
        let span =
            tracing::info_span!("launch", run = %attempt.run, job = %attempt.job, attempt = attempt.number);
        match launch::launch(app, &attempt, message.receives).instrument(span).await {
            // Its report is an event, and so is its end.
            Ok(Launched::Watch) => Outcome::Done,
            Ok(Launched::NotNeeded) => {
                self.function.unpark(1).await;
                Outcome::Done
            }
            Err(error) => messages::not_launched(message, &attempt, &error),
        }
    }
}

/// The lane whose queue this is: `arn:aws:sqs:REGION:ACCOUNT:NAME-LANE`.
fn lane(arn: &str) -> Option<Lane> {
    let name = arn.rsplit(':').next()?;
    Lane::ALL
        .into_iter()
        .find(|lane| name.strip_suffix(lane.as_str()).is_some_and(|rest| rest.ends_with('-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queues_arn_names_its_lane() {
        for (arn, expected) in [
            ("arn:aws:sqs:eu-west-1:123456789012:cloud-code-deliveries", Some(Lane::Deliveries)),
            ("arn:aws:sqs:eu-west-1:123456789012:cloud-code-runs", Some(Lane::Runs)),
            ("arn:aws:sqs:eu-west-1:123456789012:x-launches", Some(Lane::Launches)),
            ("arn:aws:sqs:eu-west-1:123456789012:cloud-code-dead", None),
            ("arn:aws:sqs:eu-west-1:123456789012:runs", None),
            ("", None),
        ] {
            assert_eq!(lane(arn), expected, "{arn}");
        }
    }
}
