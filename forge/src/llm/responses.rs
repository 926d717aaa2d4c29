//! OpenAI's Responses API: reading a request, and writing an answer whole or as server-sent events.
//! Source: platform.openai.com, "API reference", "Responses" and "Streaming".

use serde_json::{Value, json};

use super::script::{Turn, Usage};
use super::wire::{Asked, pieces, text_of};

pub(super) fn read(body: &Value) -> Asked {
    let alone = [json!({ "type": "message", "role": "user", "content": body["input"] })];
    let input = body["input"].as_array().map_or(alone.as_slice(), Vec::as_slice);
    let spoken = |item: &Value| match item["type"].as_str() {
        Some("function_call" | "custom_tool_call" | "local_shell_call") => true,
        Some("message") | None => item["role"] == "assistant",
        Some(_) => false,
    };
    let prompt = input.iter().take_while(|item| !spoken(item)).filter(|item| item["role"] == "user");
    let prompt: Vec<String> = prompt.map(|item| text_of(&item["content"])).collect();
    let tools = body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<String> =
        tools.iter().filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect();
    Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        stream: body["stream"] == true,
        main: !tools.is_empty(),
        prompt: prompt.join("\n"),
        spoken: input.iter().filter(|item| spoken(item)).count(),
        tools: names,
    }
}

/// The output item of a turn, and what it cost. Faults have none.
fn item(turn: &Turn) -> Option<(Value, Usage)> {
    let id = uuid::Uuid::new_v4().simple();
    match turn {
        Turn::Text { text, usage } => {
            let content = json!([{ "type": "output_text", "text": text, "annotations": [] }]);
            let id = format!("msg_{id}");
            let item = json!({ "type": "message", "id": id, "role": "assistant", "status": "completed", "content": content });
            Some((item, *usage))
        }
        Turn::ToolUse { name, input, usage } => {
            let (id, call) = (format!("fc_{id}"), format!("call_{id}"));
            let item = json!({
                "type": "function_call", "id": id, "call_id": call, "name": name,
                "arguments": input.to_string(), "status": "completed",
            });
            Some((item, *usage))
        }
        _ => None,
    }
}

fn response(model: &str, status: &str, output: &[Value], usage: Value) -> Value {
    json!({
        "id": format!("resp_{}", uuid::Uuid::new_v4().simple()),
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "model": model,
        "output": output,
        "error": null,
        "incomplete_details": null,
        "usage": usage,
    })
}

/// Cached tokens are part of the input here.
fn usage_json(usage: Usage) -> Value {
    let input = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens;
    json!({
        "input_tokens": input,
        "input_tokens_details": { "cached_tokens": usage.cache_read_input_tokens },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": input + usage.output_tokens,
    })
}

/// The answer in one piece.
pub(super) fn whole(model: &str, turn: &Turn) -> Option<Value> {
    let (item, usage) = item(turn)?;
    Some(response(model, "completed", &[item], usage_json(usage)))
}

/// The answer as server-sent events, each a text of its own.
pub(super) fn events(model: &str, turn: &Turn) -> Option<Vec<String>> {
    let (item, usage) = item(turn)?;
    let id = item["id"].clone();
    let at = |mut data: Value| {
        data["item_id"] = id.clone();
        data["output_index"] = json!(0);
        data
    };
    let mut begun = item.clone();
    begun["status"] = json!("in_progress");
    let created = response(model, "in_progress", &[], Value::Null);
    let mut events: Vec<(&str, Value)> = vec![("response.created", json!({ "response": created }))];
    if let Turn::Text { text, .. } = turn {
        begun["content"] = json!([]);
        let part = |text: &str| json!({ "content_index": 0, "part": { "type": "output_text", "text": text, "annotations": [] } });
        events.push(("response.output_item.added", json!({ "output_index": 0, "item": begun })));
        events.push(("response.content_part.added", at(part(""))));
        for delta in pieces(text) {
            events.push(("response.output_text.delta", at(json!({ "content_index": 0, "delta": delta }))));
        }
        events.push(("response.output_text.done", at(json!({ "content_index": 0, "text": text }))));
        events.push(("response.content_part.done", at(part(text))));
    } else {
        let arguments = item["arguments"].as_str().unwrap_or_default().to_owned();
        begun["arguments"] = json!("");
        events.push(("response.output_item.added", json!({ "output_index": 0, "item": begun })));
        for delta in pieces(&arguments) {
            events.push(("response.function_call_arguments.delta", at(json!({ "delta": delta }))));
        }
        events.push(("response.function_call_arguments.done", at(json!({ "arguments": arguments }))));
    }
    events.push(("response.output_item.done", json!({ "output_index": 0, "item": item })));
    let completed = response(model, "completed", std::slice::from_ref(&item), usage_json(usage));
    events.push(("response.completed", json!({ "response": completed })));
    let events = events.into_iter().enumerate().map(|(number, (name, mut data))| {
        data["type"] = json!(name);
        data["sequence_number"] = json!(number);
        format!("event: {name}\ndata: {data}\n\n")
    });
    Some(events.collect())
}

/// An error body and the words that belong to a status.
pub(super) fn error(status: u16, message: &str) -> Value {
    let (kind, code) = match status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        400..=499 => ("invalid_request_error", None),
        _ => ("server_error", None),
    };
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}
