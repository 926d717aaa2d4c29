//! The APIs that the scripted LLM speaks: which one a request is meant for, what it asks, and how an answer is written.

use serde_json::Value;

use super::script::{Script, Turn};
use super::{anthropic, chat, gemini, responses};

/// An API in which a conversation is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Anthropic's Messages: `POST /v1/messages`.
    Anthropic,
    /// OpenAI's Responses: `POST /v1/responses`.
    Responses,
    /// OpenAI's Chat Completions: `POST /v1/chat/completions`.
    Chat,
    /// Gemini's `POST /v1beta/models/MODEL:streamGenerateContent` and `:generateContent`.
    Gemini,
}

/// What matters in a request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) stream: bool,
    /// It is the conversation itself, and not a side request for a title or a quota.
    pub(super) main: bool,
    /// What the user said before the LLM first spoke.
    pub(super) prompt: String,
    /// How often the LLM has spoken in it.
    pub(super) spoken: usize,
    /// The tools that the program offers, by name.
    pub(super) tools: Vec<String>,
}

impl Wire {
    /// The API that an address belongs to; None when no conversation is held there.
    pub(super) fn of(method: &str, path: &str) -> Option<Self> {
        match path {
            _ if method != "POST" => None,
            "/v1/messages" => Some(Self::Anthropic),
            "/v1/responses" => Some(Self::Responses),
            "/v1/chat/completions" => Some(Self::Chat),
            _ if path.ends_with(":streamGenerateContent") || path.ends_with(":generateContent") => {
                Some(Self::Gemini)
            }
            _ => None,
        }
    }

    pub(super) fn read(self, path: &str, body: &Value, scripts: &[Script]) -> Asked {
        match self {
            Self::Anthropic => anthropic::read(body),
            Self::Responses => responses::read(body),
            Self::Chat => chat::read(body, scripts),
            Self::Gemini => gemini::read(path, body),
        }
    }

    /// The answer in one piece; None for a fault.
    pub(super) fn whole(self, model: &str, turn: &Turn) -> Option<Value> {
        match self {
            Self::Anthropic => anthropic::whole(model, turn),
            Self::Responses => responses::whole(model, turn),
            Self::Chat => chat::whole(model, turn),
            Self::Gemini => gemini::whole(model, turn),
        }
    }

    /// The answer as server-sent events, each a text of its own; None for a fault.
    pub(super) fn events(self, model: &str, turn: &Turn) -> Option<Vec<String>> {
        match self {
            Self::Anthropic => anthropic::events(model, turn),
            Self::Responses => responses::events(model, turn),
            Self::Chat => chat::events(model, turn),
            Self::Gemini => gemini::events(model, turn),
        }
    }

    /// An error's body.
    pub(super) fn error(self, status: u16, message: &str) -> Value {
        match self {
            Self::Anthropic => anthropic::error(status, message),
            Self::Responses | Self::Chat => responses::error(status, message),
            Self::Gemini => gemini::error(status, message),
        }
    }

    /// The status with which the service says that it is overloaded.
    pub(super) fn overloaded(self) -> u16 {
        match self {
            Self::Anthropic => 529,
            Self::Responses | Self::Chat | Self::Gemini => 503,
        }
    }
}

/// Cuts a text in pieces of 40 characters, so that clients have to put it together.
pub(super) fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(40).map(|chunk| chunk.iter().collect()).collect()
}

/// The texts in a list of parts, or the text itself.
pub(super) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<_> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}
