//! The use cases. They know the ports and the model, never an adapter.
//!
//! One delivery's way through this room: [`intake`] decides and makes a run, [`effects`] executes what the run's outbox
//! asks for, [`launch`] starts an attempt when there is room, [`watch`] reads its reports, [`publish`] puts its change on
//! the forge, [`sweep`] finds what a crash left behind.

mod additions;
pub mod cancel;
mod continuation;
pub mod effects;
mod error;
mod given;
pub mod groups;
mod handover;
pub mod intake;
pub mod launch;
mod network;
mod prompt;
pub mod publish;
pub mod redeliveries;
mod render;
pub mod report;
pub mod schedules;
pub mod settings;
pub mod sweep;
mod tasking;
pub mod tell;
pub mod update;
mod variables;
pub mod watch;

pub use error::AppError;
pub use given::Given;
pub use settings::Settings;

use crate::ports::{Artifacts, Clock, Forge, Queue, Runner, SecretStore, Store, Workspaces};
use cloud_code_model::ids::RunId;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Everything a use case may use.
pub struct App {
    /// Runs.
    pub store: Arc<dyn Store>,
    /// Waiting work.
    pub queue: Arc<dyn Queue>,
    /// Containers.
    pub runner: Arc<dyn Runner>,
    /// Attempts' files.
    pub artifacts: Arc<dyn Artifacts>,
    /// Checkouts and changes.
    pub workspaces: Arc<dyn Workspaces>,
    /// Issues and pull requests.
    pub forge: Arc<dyn Forge>,
    /// Secrets.
    pub secrets: Arc<dyn SecretStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// A name that stays the same over restarts and that no other worker has.
    pub worker: String,
    /// What the operator chose.
    pub settings: Settings,
    /// Secrets of living attempts.
    pub given: Given,
    /// Says which run was just saved, to whoever listens in this process.
    pub saved: broadcast::Sender<RunId>,
}
