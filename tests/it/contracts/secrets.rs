//! The contract of the port `secrets`.
