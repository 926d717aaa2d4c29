//! OpenAI's Chat Completions API: reading a request, and writing an answer whole or as server-sent events.
//! Source: platform.openai.com, "API reference", "Chat" and "Chat streaming".

use serde_json::{Value, json};

use super::script::{Script, Turn, Usage};
use super::tools;
use super::wire::{Asked, pieces, text_of};

pub(super) fn read(body: &Value, scripts: &[Script]) -> Asked {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let tools = body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = tools.iter().filter_map(|tool| tool["function"]["name"].as_str().map(str::to_owned));
    let mut asked = Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        stream: body["stream"] == true,
        main: true,
        prompt: String::new(),
        spoken: 0,
        tools: names.collect(),
    };
    let is = |role: &'static str| move |message: &&Value| message["role"] == role;
    if tools.is_empty() {
        // A program that edits by text (aider) shows examples of an answer first: what counts is what was said here.
        let said = |message: &&Value| {
            let text = text_of(&message["content"]);
            let mut turns = scripts.iter().flat_map(|script| &script.turns);
            turns.any(
                |turn| matches!(tools::fit(turn, &asked), Turn::Text { text: known, .. } if known.trim() == text.trim()),
            )
        };
        let spoken = messages.iter().filter(is("assistant")).filter(said).count();
        let first: String =
            messages.iter().filter(is("system")).map(|message| text_of(&message["content"])).collect();
        let prompt = messages.iter().rfind(is("user")).map(|message| text_of(&message["content"]));
        asked.main = ["*file listing*", "SEARCH/REPLACE"].iter().any(|words| first.contains(words));
        asked.prompt = prompt.unwrap_or_default();
        asked.spoken = spoken;
    } else {
        let before = messages.iter().take_while(|message| message["role"] != "assistant").filter(is("user"));
        asked.prompt = before.map(|message| text_of(&message["content"])).collect::<Vec<_>>().join("\n");
        asked.spoken = messages.iter().filter(is("assistant")).count();
    }
    asked
}

/// The message of a turn, why it stops there, and what it cost. Faults have none.
fn message(turn: &Turn) -> Option<(Value, &'static str, Usage)> {
    match turn {
        Turn::Text { text, usage } => Some((json!({ "role": "assistant", "content": text }), "stop", *usage)),
        Turn::ToolUse { name, input, usage } => {
            let call = json!({
                "id": format!("call_{}", uuid::Uuid::new_v4().simple()),
                "type": "function",
                "function": { "name": name, "arguments": input.to_string() },
            });
            let message = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
            Some((message, "tool_calls", *usage))
        }
        _ => None,
    }
}

/// Cached tokens are part of the prompt here.
fn usage_json(usage: Usage) -> Value {
    let input = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens;
    json!({
        "prompt_tokens": input,
        "prompt_tokens_details": { "cached_tokens": usage.cache_read_input_tokens },
        "completion_tokens": usage.output_tokens,
        "total_tokens": input + usage.output_tokens,
    })
}

fn envelope(kind: &str, model: &str, choices: Value) -> Value {
    let id = format!("chatcmpl-{}", uuid::Uuid::new_v4().simple());
    json!({ "id": id, "object": kind, "created": 1_700_000_000, "model": model, "choices": choices })
}

/// The answer in one piece.
pub(super) fn whole(model: &str, turn: &Turn) -> Option<Value> {
    let (message, reason, usage) = message(turn)?;
    let choices = json!([{ "index": 0, "message": message, "finish_reason": reason, "logprobs": null }]);
    let mut answer = envelope("chat.completion", model, choices);
    answer["usage"] = usage_json(usage);
    Some(answer)
}

/// The answer as server-sent events, each a text of its own.
pub(super) fn events(model: &str, turn: &Turn) -> Option<Vec<String>> {
    let (message, reason, usage) = message(turn)?;
    let mut deltas = vec![json!({ "role": "assistant", "content": "" })];
    if let Some(call) = message["tool_calls"].get(0) {
        let mut begun = call.clone();
        begun["index"] = json!(0);
        begun["function"]["arguments"] = json!("");
        deltas.push(json!({ "tool_calls": [begun] }));
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        let more = pieces(arguments).into_iter();
        deltas.extend(
            more.map(|piece| json!({ "tool_calls": [{ "index": 0, "function": { "arguments": piece } }] })),
        );
    } else {
        let text = message["content"].as_str().unwrap_or_default();
        deltas.extend(pieces(text).into_iter().map(|piece| json!({ "content": piece })));
    }
    let base = envelope("chat.completion.chunk", model, json!([]));
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = base.clone();
        chunk["choices"] = choices;
        chunk["usage"] = usage;
        format!("data: {chunk}\n\n")
    };
    let mut events: Vec<String> = deltas
        .into_iter()
        .map(|delta| chunk(json!([{ "index": 0, "delta": delta, "finish_reason": null }]), Value::Null))
        .collect();
    let end = json!([{ "index": 0, "delta": {}, "finish_reason": reason }]);
    events.push(chunk(end, Value::Null));
    events.push(chunk(json!([]), usage_json(usage)));
    events.push("data: [DONE]\n\n".to_owned());
    Some(events)
}
