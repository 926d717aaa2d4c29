//! The contract of the port `runner`.
