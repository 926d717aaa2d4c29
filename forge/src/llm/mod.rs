//! A scripted LLM: speaks Anthropic's Messages API well enough for the real `claude` program, says what a script says,
//! and writes down what it was asked. A turn is chosen by how far the conversation in the request has come, not by a
//! counter, so that many jobs can talk to one server at once, and a retry hears the same turn again.

mod messages;
mod script;
mod server;

pub use script::{Script, Turn, Usage};
pub use server::{LlmRequest, LlmServer};
