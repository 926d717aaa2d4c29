//! The flows: an issue comes in, a pull request or an honest answer comes out. Real git over HTTP, a real database, real
//! processes; only GitHub is small.

mod again;
mod also;
mod annotations;
mod cancel;
mod changes;
mod conversations;
mod doubles;
mod failures;
mod hostile;
mod jobs;
mod lease;
mod local;
mod prompts;
mod redeliveries;
mod refusals;
mod road;
mod starts;
mod trouble;
mod vault;
