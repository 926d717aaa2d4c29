//! Anthropic's Messages API: reading a request, and writing an answer whole or as server-sent events.
//! Source: docs.anthropic.com, "Messages" and "Streaming Messages".

use serde_json::{Value, json};

use super::script::{Turn, Usage};
use super::wire::{Asked, pieces, text_of};

pub(super) fn read(body: &Value) -> Asked {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let tools = body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |role: &'static str| messages.iter().filter(move |message| message["role"] == role);
    Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        stream: body["stream"] == true,
        main: !tools.is_empty(),
        prompt: of("user").next().map(|message| text_of(&message["content"])).unwrap_or_default(),
        spoken: of("assistant").count(),
        tools: tools.iter().filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect(),
    }
}

/// The content block of a turn, why it stops there, and what it cost. Faults have none.
fn block(turn: &Turn) -> Option<(Value, &'static str, Usage)> {
    match turn {
        Turn::Text { text, usage } => Some((json!({ "type": "text", "text": text }), "end_turn", *usage)),
        Turn::ToolUse { name, input, usage } => {
            let id = format!("toolu_{}", uuid::Uuid::new_v4().simple());
            Some((json!({ "type": "tool_use", "id": id, "name": name, "input": input }), "tool_use", *usage))
        }
        _ => None,
    }
}

fn usage_json(usage: Usage, output: u64) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_creation_input_tokens,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "output_tokens": output,
    })
}

/// The answer in one piece.
pub(super) fn whole(model: &str, turn: &Turn) -> Option<Value> {
    let (block, reason, usage) = block(turn)?;
    Some(json!({
        "id": format!("msg_{}", uuid::Uuid::new_v4().simple()),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [block],
        "stop_reason": reason,
        "stop_sequence": null,
        "usage": usage_json(usage, usage.output_tokens),
    }))
}

/// The answer as server-sent events, each a text of its own.
pub(super) fn events(model: &str, turn: &Turn) -> Option<Vec<String>> {
    let (block, reason, usage) = block(turn)?;
    let message = json!({
        "id": format!("msg_{}", uuid::Uuid::new_v4().simple()),
        "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage_json(usage, 1),
    });
    let (start, deltas) = if block["type"] == "text" {
        let deltas = pieces(block["text"].as_str().unwrap_or_default());
        let deltas =
            deltas.into_iter().map(|text| json!({ "type": "text_delta", "text": text })).collect::<Vec<_>>();
        (json!({ "type": "text", "text": "" }), deltas)
    } else {
        let start = json!({ "type": "tool_use", "id": block["id"], "name": block["name"], "input": {} });
        let input = block["input"].to_string();
        let deltas = pieces(&input).into_iter();
        let deltas = deltas.map(|text| json!({ "type": "input_json_delta", "partial_json": text })).collect();
        (start, deltas)
    };
    let mut events = vec![
        event("message_start", json!({ "message": message })),
        event("content_block_start", json!({ "index": 0, "content_block": start })),
        event("ping", json!({})),
    ];
    events.extend(
        deltas.into_iter().map(|delta| event("content_block_delta", json!({ "index": 0, "delta": delta }))),
    );
    let stop = json!({ "stop_reason": reason, "stop_sequence": null });
    events.push(event("content_block_stop", json!({ "index": 0 })));
    events.push(event(
        "message_delta",
        json!({ "delta": stop, "usage": { "output_tokens": usage.output_tokens } }),
    ));
    events.push(event("message_stop", json!({})));
    Some(events)
}

fn event(name: &str, mut data: Value) -> String {
    data["type"] = json!(name);
    format!("event: {name}\ndata: {data}\n\n")
}

/// An error body and the `error.type` that belongs to a status.
pub(super) fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    json!({ "type": "error", "error": { "type": kind, "message": message } })
}
