//! From an event to what runs: which workflows it starts, and what their matrices, inputs and groups come to. The jobs' own
//! conditions are the engine's matter (`crate::run`), since most can be told only when the jobs before them have ended.

mod event;
mod group;
mod inputs;
mod matrix;
mod pattern;

pub use event::{Event, github, guess_event_name};
pub use group::{ConcurrencyWish, concurrency};
pub use inputs::{resolve_inputs, texts};
pub use matrix::{MAX_JOBS, Matrix, combinations, suffix};
pub use pattern::matches;
