//! The contract of the port `artifacts`.
