//! What a conversation of claude-code has used so far, from its own file: `projects/FOLDER/ID.jsonl`, whose records `cost-state`
//! say it (version 2.1.330). A resumed conversation counts on from there, so that it has to be taken off.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// Tokens by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ModelTokens {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) cache_read_input_tokens: u64,
    pub(super) cache_creation_input_tokens: u64,
}

/// Tokens of all models together, and what they cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Spent {
    pub(super) tokens: ModelTokens,
    pub(super) cost_usd: f64,
}

impl ModelTokens {
    /// All of them together.
    pub(super) fn sum<'a>(models: impl IntoIterator<Item = &'a ModelTokens>) -> ModelTokens {
        models.into_iter().fold(ModelTokens::default(), |sum, model| ModelTokens {
            input_tokens: sum.input_tokens.saturating_add(model.input_tokens),
            output_tokens: sum.output_tokens.saturating_add(model.output_tokens),
            cache_read_input_tokens: sum
                .cache_read_input_tokens
                .saturating_add(model.cache_read_input_tokens),
            cache_creation_input_tokens: sum
                .cache_creation_input_tokens
                .saturating_add(model.cache_creation_input_tokens),
        })
    }

    /// What came after `before`.
    pub(super) fn since(self, before: ModelTokens) -> ModelTokens {
        ModelTokens {
            input_tokens: self.input_tokens.saturating_sub(before.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(before.output_tokens),
            cache_read_input_tokens: self
                .cache_read_input_tokens
                .saturating_sub(before.cache_read_input_tokens),
            cache_creation_input_tokens: self
                .cache_creation_input_tokens
                .saturating_sub(before.cache_creation_input_tokens),
        }
    }
}

/// What the conversation had used when it last ended; nothing where that is not known.
pub(super) fn before(config: &Path, session: &str) -> Spent {
    // The id may be a stranger's: it must not lead elsewhere.
    let plain = session.chars().all(|part| part.is_ascii_alphanumeric() || part == '-');
    let folders = fs::read_dir(config.join("projects")).ok().filter(|_| plain);
    let mut files = folders.into_iter().flatten().flatten();
    files.find_map(|folder| recorded(&folder.path().join(format!("{session}.jsonl")))).unwrap_or_default()
}

fn recorded(file: &Path) -> Option<Spent> {
    let lines = BufReader::new(File::open(file).ok()?).lines().map_while(Result::ok);
    let states = lines.filter(|line| line.contains("\"cost-state\"")).filter_map(|line| {
        let record: Value = serde_json::from_str(&line).ok()?;
        (record.get("type")?.as_str()? == "cost-state").then_some(())?;
        let models: BTreeMap<String, ModelTokens> =
            record.get("modelUsage").and_then(|models| BTreeMap::deserialize(models).ok())?;
        let cost_usd = record.get("totalCostUSD").and_then(Value::as_f64).unwrap_or_default();
        Some(Spent { tokens: ModelTokens::sum(models.values()), cost_usd })
    });
    states.last()
}
