//! In memory: `queue`.
