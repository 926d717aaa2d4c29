//! In memory: `store`.
