//! Wiring: which adapters stand behind the ports, and who calls the use cases when.

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "vps")]
pub mod cli;
#[cfg(any(feature = "aws", feature = "vps"))]
mod github;
pub mod health;
#[cfg(feature = "aws")]
pub mod lambda;
mod messages;
#[cfg(feature = "vps")]
pub mod vps;
pub mod worker;
