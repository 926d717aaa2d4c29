//! A scripted LLM: speaks the APIs of Anthropic, OpenAI and Gemini well enough for the real coding CLIs, says what a
//! script says, and writes down what it was asked. A turn is chosen by how far the conversation in the request has come,
//! not by a counter, so that many jobs can talk to one server at once, and a retry hears the same turn again.

mod anthropic;
mod chat;
mod gemini;
mod reply;
mod responses;
mod script;
mod server;
mod tools;
mod wire;

pub use script::{Script, Turn, Usage};
pub use server::{LlmRequest, LlmServer};
pub use wire::Wire;
