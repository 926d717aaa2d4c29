//! What the use cases need of the world, one small trait a file, in their words and not a vendor's.
//!
//! Ports know the model and nothing else. Each has one contract suite (`tests/it/contracts`) that every adapter passes.

mod artifacts;
mod clock;
mod delivery;
mod forge;
mod queue;
mod runner;
mod schedules;
mod secrets;
mod store;
mod workspaces;

pub use artifacts::{Artifact, ArtifactError, Artifacts};
pub use clock::{Clock, SystemClock};
pub use delivery::{Delivery, Source};
pub use forge::{
    CheckAnnotation, CheckSpec, Comment, FailedDelivery, Forge, ForgeError, Issue, LabelChange, PullSpec,
    RemoteAccess, RepositoryInfo, WorkflowFile,
};
pub use queue::{DeadLetter, Depth, Lane, Leased, Pushed, Queue, QueueError, Receipt};
pub use runner::{ContainerStatus, Fetch, Launch, Limits, Listed, Network, Runner, RunnerError};
pub use schedules::{ScheduledLine, Schedules, schedules_key};
pub use secrets::{Scope, SecretError, SecretName, SecretStore, SecretText};
pub use store::{Decision, Page, RunFilter, RunSummary, Saved, Store, StoreError, Stored};
pub use workspaces::{Change, ChangedFile, Checkout, PreparedWorkspace, Remote, WorkspaceError, Workspaces};
