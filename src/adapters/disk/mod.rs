//! Artifacts on the local disk.
