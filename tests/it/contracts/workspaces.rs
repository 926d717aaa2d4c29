//! The contract of the port `workspaces`.
