//! In memory: `secrets`.
