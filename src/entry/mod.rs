//! Wiring: which adapters stand behind the ports, and who calls the use cases when.

#[cfg(feature = "vps")]
pub mod cli;
#[cfg(feature = "vps")]
pub mod vps;
pub mod worker;
