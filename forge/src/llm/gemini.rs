//! Gemini's `generateContent`: reading a request, and writing an answer whole or as server-sent events.
//! Source: ai.google.dev, "API reference", "Generating content".

use serde_json::{Value, json};

use super::script::{Turn, Usage};
use super::wire::{Asked, pieces, text_of};

pub(super) fn read(path: &str, body: &Value) -> Asked {
    let contents = body["contents"].as_array().map(Vec::as_slice).unwrap_or_default();
    let tools = body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let declared = tools.iter().filter_map(|tool| tool["functionDeclarations"].as_array()).flatten();
    let names: Vec<String> = declared.filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect();
    let before = contents.iter().take_while(|content| content["role"] != "model");
    let prompt: Vec<String> = before.map(|content| text_of(&content["parts"])).collect();
    let model = path.rsplit('/').next().and_then(|last| last.split(':').next());
    Asked {
        model: model.unwrap_or_default().to_owned(),
        stream: path.ends_with(":streamGenerateContent"),
        main: !names.is_empty(),
        prompt: prompt.join("\n"),
        spoken: contents.iter().filter(|content| content["role"] == "model").count(),
        tools: names,
    }
}

/// The parts of a turn, and what it cost. Faults have none.
fn parts(turn: &Turn) -> Option<(Vec<Value>, Usage)> {
    match turn {
        Turn::Text { text, usage } => {
            Some((pieces(text).into_iter().map(|piece| json!({ "text": piece })).collect(), *usage))
        }
        Turn::ToolUse { name, input, usage } => {
            Some((vec![json!({ "functionCall": { "name": name, "args": input } })], *usage))
        }
        _ => None,
    }
}

/// Cached tokens are part of the prompt here.
fn usage_json(usage: Usage) -> Value {
    let input = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens;
    json!({
        "promptTokenCount": input,
        "cachedContentTokenCount": usage.cache_read_input_tokens,
        "candidatesTokenCount": usage.output_tokens,
        "totalTokenCount": input + usage.output_tokens,
    })
}

fn answer(model: &str, parts: &[Value]) -> Value {
    json!({
        "candidates": [{ "content": { "role": "model", "parts": parts }, "index": 0 }],
        "modelVersion": model,
        "responseId": uuid::Uuid::new_v4().simple().to_string(),
    })
}

/// The answer in one piece.
pub(super) fn whole(model: &str, turn: &Turn) -> Option<Value> {
    let (parts, usage) = parts(turn)?;
    let mut answer = answer(model, &parts);
    answer["candidates"][0]["finishReason"] = json!("STOP");
    answer["usageMetadata"] = usage_json(usage);
    Some(answer)
}

/// The answer as server-sent events, each a text of its own.
pub(super) fn events(model: &str, turn: &Turn) -> Option<Vec<String>> {
    let (parts, usage) = parts(turn)?;
    let mut events: Vec<Value> =
        parts.into_iter().map(|part| answer(model, std::slice::from_ref(&part))).collect();
    // The end comes by itself, so that half a stream has none.
    let mut end = answer(model, &[json!({ "text": "" })]);
    end["candidates"][0]["finishReason"] = json!("STOP");
    end["usageMetadata"] = usage_json(usage);
    events.push(end);
    Some(events.into_iter().map(|event| format!("data: {event}\r\n\r\n")).collect())
}

/// An error body and the words that belong to a status.
pub(super) fn error(status: u16, message: &str) -> Value {
    let word = match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    json!({ "error": { "code": status, "message": message, "status": word } })
}
