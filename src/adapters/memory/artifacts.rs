//! In memory: `artifacts`.
