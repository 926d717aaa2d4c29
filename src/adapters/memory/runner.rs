//! In memory: `runner`.
