//! Git without the git program: mirrors, workspaces, bundles, and smart HTTP from both ends, over libgit2.
//!
//! Everything is synchronous and may wait for disks and networks: async callers use a blocking thread.
//!
//! | module | for | feature |
//! | --- | --- | --- |
//! | [`stage`], [`bundle`] | the agent: commit, summarise, write the bundle | |
//! | [`mirror`], [`workspace`] | the dispatcher: fetch, check out | `client` |
//! | [`quarantine`], [`push`] | the reporter: read a bundle as a stranger's, push it | `client` |
//! | [`server`] | the small forge: clone, fetch and push for others | `server` |

#[cfg(feature = "client")]
mod audit;
pub mod bundle;
#[cfg(feature = "client")]
pub mod change;
#[cfg(feature = "client")]
mod compact;
mod error;
#[cfg(feature = "client")]
pub mod http;
#[cfg(feature = "client")]
mod local;
#[cfg(feature = "client")]
mod lock;
#[cfg(feature = "client")]
pub mod mirror;
#[cfg(feature = "client")]
mod pack;
#[cfg(feature = "server")]
mod pktline;
#[cfg(feature = "client")]
pub mod push;
#[cfg(feature = "client")]
pub mod quarantine;
#[cfg(feature = "client")]
mod remote;
pub mod restore;
#[cfg(feature = "client")]
mod reword;
#[cfg(feature = "client")]
mod room;
#[cfg(feature = "server")]
pub mod server;
mod setup;
pub mod stage;
#[cfg(feature = "client")]
mod transport;
#[cfg(feature = "client")]
mod tree;
#[cfg(feature = "client")]
pub mod workspace;

pub use error::GitError;
pub use git2::Oid;
#[cfg(feature = "client")]
pub use local::{checked_out_branch, diffstat};
#[cfg(feature = "client")]
pub use remote::{Credentials, Remote, RemoteBranches, remote_branches, remote_ref};
