//! How the parts are, and cancelling: what the HTTP room asks of the use cases.

use crate::app::cancel::{self, Acted, Cancelled};
use crate::app::intake::{self, Dispatch, Dispatched};
use crate::app::{App, AppError};
use crate::http::{
    ActOutcome, Action, Cancel, CancelOutcome, DispatchError, DispatchOutcome, Health, PartHealth,
    WorkflowDispatch,
};
use crate::ports::{Lane, StoreError};
use async_trait::async_trait;
use cloud_code_model::ids::RunId;
use cloud_code_model::run::Rerun;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// No part may keep the answer waiting for longer.
const PATIENCE: Duration = Duration::from_secs(4);

/// Looks at the parts of an [`App`].
pub struct AppHealth(pub Arc<App>);

#[async_trait]
impl Health for AppHealth {
    async fn parts(&self) -> Vec<PartHealth> {
        let app = &self.0;
        let store = part("store", async { app.store.check().await.map(|()| "can be written".to_owned()) });
        let queue = part("queue", async {
            let depth = app.queue.depth(Lane::Deliveries).await?;
            Ok::<_, crate::ports::QueueError>(format!("{} deliveries wait", depth.waiting))
        });
        let runner = part("runner", app.runner.check());
        // Which store it is need not be known to whoever asks.
        let secrets =
            part("secrets", async { app.secrets.check().await.map(|_| "can be opened".to_owned()) });
        let (store, queue, runner, secrets) = tokio::join!(store, queue, runner, secrets);
        vec![store, queue, runner, secrets]
    }
}

async fn part<E: Display>(name: &str, look: impl Future<Output = Result<String, E>>) -> PartHealth {
    let (ok, detail) = match tokio::time::timeout(PATIENCE, look).await {
        Ok(Ok(detail)) => (true, detail),
        Ok(Err(error)) => (false, error.to_string()),
        Err(_) => (false, format!("no answer within {} s", PATIENCE.as_secs())),
    };
    PartHealth { name: name.to_owned(), ok, detail }
}

#[async_trait]
impl Cancel for AppHealth {
    async fn act(&self, run: &RunId, action: Action, by: &str) -> Result<ActOutcome, StoreError> {
        let app = &self.0;
        let acted = match &action {
            Action::CancelJob { job } => cancel::cancel_job(app, run, job, by).await,
            Action::Approve { job } => cancel::review(app, run, job, by, true).await,
            Action::Reject { job } => cancel::review(app, run, job, by, false).await,
            Action::Rerun { all } => {
                cancel::rerun(app, run, if *all { Rerun::All } else { Rerun::Failed }, by).await
            }
        };
        match acted {
            Ok(Acted::Done) => Ok(ActOutcome::Done),
            Ok(Acted::Refused(why)) => Ok(ActOutcome::Refused(why)),
            Ok(Acted::NotFound) => Ok(ActOutcome::NotFound),
            Err(AppError::Store(error)) => Err(error),
            Err(other) => Err(StoreError::Unavailable(other.to_string())),
        }
    }

    async fn cancel(&self, run: &RunId, by: &str, force: bool) -> Result<CancelOutcome, StoreError> {
        match cancel::cancel(&self.0, run, by, force).await {
            Ok(Cancelled::Accepted) => Ok(CancelOutcome::Accepted),
            Ok(Cancelled::AlreadyOver) => Ok(CancelOutcome::AlreadyOver),
            Ok(Cancelled::NotFound) => Ok(CancelOutcome::NotFound),
            Err(AppError::Store(error)) => Err(error),
            Err(other) => Err(StoreError::Unavailable(other.to_string())),
        }
    }

    async fn dispatch(&self, wish: WorkflowDispatch) -> Result<DispatchOutcome, DispatchError> {
        let WorkflowDispatch { owner, name, workflow, inputs, by } = wish;
        match intake::dispatch(&self.0, &Dispatch { owner, name, workflow, inputs, by }).await {
            Ok(Dispatched::Started(run)) => Ok(DispatchOutcome::Started(run)),
            Ok(Dispatched::Refused(why)) => Ok(DispatchOutcome::Refused(why)),
            Ok(Dispatched::NotFound(why)) => Ok(DispatchOutcome::NotFound(why)),
            Err(AppError::Store(error)) => Err(error.into()),
            Err(other) => Err(DispatchError::Other(other.to_string())),
        }
    }
}
