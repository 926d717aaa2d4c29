//! The contract of the port `store`.
