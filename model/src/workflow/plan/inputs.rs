//! The context `inputs`: what was given, or the defaults.

use crate::expression::{Contexts, Value as Computed};
use crate::workflow::definition::InputDefinition;
use indexmap::IndexMap;
use serde_json::{Map, Value};

/// Gives each input its value, of its type.
///
/// # Errors
/// An input that is required and not given, is given and not known, or has a value that its type does not take.
pub fn resolve_inputs(
    definitions: &IndexMap<String, InputDefinition>,
    given: &Map<String, Value>,
    contexts: &Contexts,
) -> Result<Value, String> {
    if let Some(unknown) = given.keys().find(|name| find(definitions.keys(), name).is_none()) {
        return Err(format!("there is no input `{unknown}`"));
    }
    let mut inputs = Map::new();
    for (name, definition) in definitions {
        let value =
            given.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
        let value = match (value, &definition.default) {
            (Some(value), _) => value,
            (None, Some(default)) => {
                let status = crate::expression::JobStatus::Success;
                default
                    .evaluate(contexts, &status)
                    .map_err(|error| format!("input `{name}`: {error}"))?
                    .to_json()
            }
            (None, None) if definition.required => return Err(format!("the input `{name}` is required")),
            (None, None) => missing(definition),
        };
        if value.is_array() || value.is_object() {
            return Err(format!("the input `{name}` is no text, number or boolean"));
        }
        inputs.insert(name.clone(), typed(name, definition, value)?);
    }
    Ok(Value::Object(inputs))
}

/// The inputs as `github.event.inputs` has them: each a text.
pub fn texts(inputs: &Value) -> Value {
    let text = |value: &Value| Value::from(Computed::from(value).to_display_string().to_string());
    let inputs = inputs.as_object().into_iter().flatten();
    Value::Object(inputs.map(|(name, value)| (name.clone(), text(value))).collect())
}

fn find<'a>(mut names: impl Iterator<Item = &'a String>, name: &str) -> Option<&'a String> {
    names.find(|known| known.eq_ignore_ascii_case(name))
}

fn missing(definition: &InputDefinition) -> Value {
    match definition.kind.as_str() {
        "boolean" => false.into(),
        "number" => 0.into(),
        "choice" => definition.options.first().cloned().unwrap_or_default().into(),
        _ => "".into(),
    }
}

fn typed(name: &str, definition: &InputDefinition, value: Value) -> Result<Value, String> {
    let text = Computed::from(&value).to_display_string().to_string();
    let wrong = |expected: &str| Err(format!("the input `{name}` is {expected}, not `{text}`"));
    match definition.kind.as_str() {
        "boolean" => match text.to_lowercase().as_str() {
            "true" => Ok(true.into()),
            "false" | "" => Ok(false.into()),
            _ => wrong("true or false"),
        },
        "number" => match Computed::from(&value).to_number() {
            number if number.is_nan() => wrong("a number"),
            number => Ok(Computed::Number(number).to_json()),
        },
        "choice" if !definition.options.is_empty() && !definition.options.contains(&text) => {
            wrong(&format!("one of `{}`", definition.options.join("`, `")))
        }
        _ => Ok(text.into()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::workflow::read;
    use serde_json::json;

    fn check(inputs: &str, given: Value, expected: Result<Value, &str>) {
        let text =
            format!("on: {{workflow_dispatch: {{inputs: {inputs}}}}}\njobs: {{a: {{steps: [{{run: x}}]}}}}");
        let workflow = read("w.yml", &text).unwrap();
        let found = resolve_inputs(&workflow.plan.inputs, given.as_object().unwrap(), &Contexts::new());
        match expected {
            Ok(value) => assert_eq!(found.unwrap(), value, "{inputs} {given}"),
            Err(part) => {
                let error = found.unwrap_err();
                assert!(error.contains(part), "{inputs} {given}: {error:?} lacks {part:?}");
            }
        }
    }

    #[test]
    fn values_defaults_and_types() {
        check("{a: {}}", json!({}), Ok(json!({"a": ""})));
        check("{a: {default: x}}", json!({"A": "y"}), Ok(json!({"a": "y"})));
        check("{a: {default: x}}", json!({}), Ok(json!({"a": "x"})));
        check("{a: {required: true}}", json!({}), Err("`a` is required"));
        check("{a: {type: boolean}}", json!({"a": "true"}), Ok(json!({"a": true})));
        check("{a: {type: boolean}}", json!({}), Ok(json!({"a": false})));
        check("{a: {type: boolean}}", json!({"a": "maybe"}), Err("true or false, not `maybe`"));
        check("{a: {type: number}}", json!({"a": "12"}), Ok(json!({"a": 12})));
        check("{a: {type: number}}", json!({"a": "x"}), Err("a number, not `x`"));
        check("{a: {type: choice, options: [p, q]}}", json!({}), Ok(json!({"a": "p"})));
        check("{a: {type: choice, options: [p, q]}}", json!({"a": "r"}), Err("one of `p`, `q`, not `r`"));
        check("{a: {}}", json!({"b": 1}), Err("no input `b`"));
        check("{a: {}}", json!({"a": [1]}), Err("`a` is no text, number or boolean"));
        let inputs = json!({"a": true, "b": 1.5, "c": "x"});
        assert_eq!(texts(&inputs), json!({"a": "true", "b": "1.5", "c": "x"}));
    }
}
