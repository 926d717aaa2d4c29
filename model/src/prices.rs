//! What tokens cost, for CLIs that do not say: a table by model. A model that is not in it is unpriced, never free.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::task::{PricedBy, Usage};

/// The table that comes with the program.
const BUILTIN: &str = include_str!("prices.yaml");

/// Prices by model.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Day on which they were looked up, as `2025-12-01`.
    #[serde(default)]
    pub dated: Option<String>,
    /// Where they stand.
    #[serde(default)]
    pub sources: Vec<String>,
    /// By the model's name, without provider and date: `gpt-5`, not `openai/gpt-5-2025-08-07`.
    pub models: BTreeMap<String, Price>,
}

/// US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Price {
    /// Of input.
    pub input: f64,
    /// Of input read from the cache; where it is missing, `input` counts.
    #[serde(default)]
    pub cached_input: Option<f64>,
    /// Of output, thoughts included.
    pub output: f64,
}

/// A table that cannot be used; the fault of whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PricesError {
    /// No YAML of this shape.
    #[error(
        "the price table cannot be read: {0}. It needs `models: {{ NAME: {{ input: 1.25, output: 10 }} }}`"
    )]
    Shape(String),
    /// A price that is none.
    #[error("the price table: {0}: prices are numbers from 0, in US dollars for a million tokens")]
    Number(String),
}

impl Prices {
    /// The table that comes with the program.
    ///
    /// # Errors
    /// Never, unless the program was built with a broken table; a test looks after that.
    pub fn builtin() -> Result<Prices, PricesError> {
        Prices::parse(BUILTIN)
    }

    /// Reads a table in YAML.
    ///
    /// # Errors
    /// [`PricesError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Prices, PricesError> {
        let prices: Prices =
            serde_yaml::from_str(text).map_err(|error| PricesError::Shape(error.to_string()))?;
        for (model, price) in &prices.models {
            let numbers = [Some(price.input), price.cached_input, Some(price.output)];
            if numbers.into_iter().flatten().any(|number| !number.is_finite() || number < 0.0) {
                return Err(PricesError::Number(model.clone()));
            }
        }
        Ok(prices)
    }

    /// The price of a model by the name that a CLI uses: with or without its provider (`openai/`) and its date
    /// (`-20250929`, `-2025-08-07`, `@20250929`, `-latest`).
    pub fn find(&self, model: &str) -> Option<&Price> {
        let model = model.rsplit('/').next().unwrap_or(model).trim();
        self.models.get(model).or_else(|| self.models.get(without_date(model)?))
    }

    /// The usage with its cost, where it has none and the model has a price.
    #[must_use]
    pub fn fill(&self, model: Option<&str>, usage: Usage) -> Usage {
        if usage.cost_usd.is_some() {
            return usage;
        }
        let Some(price) = model.and_then(|model| self.find(model)) else {
            return Usage { priced_by: PricedBy::Unpriced, ..usage };
        };
        let million = |tokens: u64, price: f64| tokens as f64 * price / 1e6;
        let cost = million(usage.input_tokens, price.input)
            + million(usage.cached_input_tokens, price.cached_input.unwrap_or(price.input))
            + million(usage.output_tokens, price.output);
        Usage { cost_usd: Some(cost), priced_by: PricedBy::Table, ..usage }
    }
}

fn without_date(model: &str) -> Option<&str> {
    if let Some(bare) = model.strip_suffix("-latest") {
        return Some(bare);
    }
    let is_date = |text: &str| {
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        digits == 8 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    };
    let dates = [8, 10].into_iter().filter_map(|length| model.len().checked_sub(length));
    dates.filter(|at| model.is_char_boundary(*at)).find_map(|at| {
        let (bare, date) = model.split_at(at);
        let bare = bare.strip_suffix(['-', '@'])?;
        is_date(date).then_some(bare)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn models_are_found_by_the_names_that_clis_use() {
        let prices = Prices::builtin().unwrap();
        let check = |model: &str, input: Option<f64>| {
            assert_eq!(prices.find(model).map(|price| price.input), input, "{model}");
        };
        check("gpt-5", Some(1.25));
        check("openai/gpt-5", Some(1.25));
        check("gpt-5-2025-08-07", Some(1.25));
        check("gpt-5-mini", Some(0.25));
        check("anthropic/claude-sonnet-4-5-20250929", Some(3.0));
        check("claude-haiku-4-5@20251001", Some(1.0));
        check("claude-3-5-haiku-latest", Some(0.8));
        check("models/gemini-2.5-pro", Some(1.25));
        // Another model is another price, however alike the names are.
        check("gpt-5-turbo", None);
        check("gpt-50000000", None);
        check("gpt-5-123456789", None);
        check("sonnet", None);
        check("", None);
        check("é2345678", None);
    }

    #[test]
    fn costs() {
        let prices = Prices::builtin().unwrap();
        let usage = Usage {
            input_tokens: 1_000_000,
            cached_input_tokens: 2_000_000,
            output_tokens: 100_000,
            ..Usage::default()
        };
        let cost = |model: Option<&str>| {
            let filled = prices.fill(model, usage);
            (filled.cost_usd, filled.priced_by)
        };
        assert_eq!(cost(Some("gpt-5")), (Some(1.25 + 0.25 + 1.0), PricedBy::Table));
        assert_eq!(cost(Some("gemini-2.5-pro")), (Some(1.25 + 2.5 + 1.0), PricedBy::Table));
        assert_eq!(cost(Some("a model of tomorrow")), (None, PricedBy::Unpriced));
        assert_eq!(cost(None), (None, PricedBy::Unpriced));
        let said = Usage { cost_usd: Some(0.5), priced_by: PricedBy::Cli, ..usage };
        assert_eq!(prices.fill(Some("gpt-5"), said), said);
    }

    #[test]
    fn tables_are_checked() {
        let check = |text: &str, words: &str| {
            let error = Prices::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        check("models: { a: { input: -1, output: 2 } }", "a: prices are numbers from 0");
        check("models: { a: { input: .nan, output: 2 } }", "a: prices are numbers from 0");
        check("models: { a: { output: 2 } }", "input");
        check("models: { a: { input: 1, output: 2, per: 1000 } }", "per");
        check("gpt-5: 3", "models");
        assert_eq!(Prices::parse("models: {}").unwrap().models.len(), 0);
        let builtin = Prices::builtin().unwrap();
        assert!(builtin.dated.is_some() && !builtin.sources.is_empty());
    }
}
