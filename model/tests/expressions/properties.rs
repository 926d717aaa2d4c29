//! What holds for any text: no panic, and what is shown reads back.

use cloud_code_model::expression::template::Template;
use cloud_code_model::expression::{Expression, JobStatus, Value, condition};
use proptest::prelude::*;
use serde_json::json;

use crate::{Files, contexts, eval};

/// Text made of pieces of the language, mostly in the wrong order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "b-c", ".", "[", "]", "(", ")", ",", "*", "'", "'x'", "''", "1", "-", "0x", ".5", "!", "=",
        "==", "!=", "<", "<=", ">", "&&", "||", "&", " ", "\n", "null", "true", "NaN", "Infinity", "join(",
        "format(", "toJSON(", "case(", "${{", "}}", "{0}", "é", "😀",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Text that is an expression.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "NaN",
            "-Infinity",
            "a",
            "a.b",
            "github.event.issue",
            "''",
            "success()"
        ])
        .prop_map(str::to_owned),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        "[ -~é😀]{0,8}".prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
    ];
    leaf.prop_recursive(6, 60, 4, |part| {
        let operator = prop::sample::select(vec!["&&", "||", "==", "!=", "<", "<=", ">", ">="]);
        prop_oneof![
            (part.clone(), operator, part.clone())
                .prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
            part.clone().prop_map(|part| format!("!{part}")),
            part.clone().prop_map(|part| format!("({part})")),
            (part.clone(), part.clone()).prop_map(|(object, index)| format!("({object})[{index}]")),
            part.clone().prop_map(|part| format!("({part}).*")),
            prop::collection::vec(part.clone(), 1..3).prop_map(|parts| format!("join({})", parts.join(", "))),
            prop::collection::vec(part, 1..4).prop_map(|parts| format!("format({})", parts.join(","))),
        ]
    })
}

/// Everything that can be done with a text; nothing may panic.
fn exercise(text: &str) {
    let contexts = contexts(json!({ "a": { "b-c": [1, { "x": [] }] }, "github": {} }));
    if let Ok(expression) = Expression::parse(text) {
        let _ = expression.evaluate(&contexts, &Files(JobStatus::Failure));
        let _ = (expression.references(), expression.to_string());
    }
    if let Ok(template) = Template::parse(text) {
        let _ = (template.evaluate(&contexts, &JobStatus::Success), template.references());
    }
    if let Ok(condition) = condition(text) {
        let _ = (condition.evaluate(&contexts, &JobStatus::Success), condition.references());
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        exercise(&text);
    }

    #[test]
    fn no_order_of_pieces_panics(text in pieces()) {
        exercise(&text);
        exercise(&format!("${{{{ {text} }}}}"));
    }

    #[test]
    fn what_is_shown_reads_back(text in expressions()) {
        if let Ok(expression) = Expression::parse(&text) {
            let shown = expression.to_string();
            let again = Expression::parse(&shown).unwrap();
            prop_assert_eq!(again.to_string(), shown.clone());
            let contexts = contexts(json!({ "a": { "b": [1, "x"] }, "github": { "event": { "issue": { "title": "t" } } } }));
            let values = [expression, again].map(|it| {
                it.evaluate(&contexts, &JobStatus::Success).map(|value| value.to_json()).map_err(|error| error.kind)
            });
            prop_assert_eq!(&values[0], &values[1], "{} shown as {}", text, shown);
        }
    }

    #[test]
    fn numbers_survive_their_text(number in any::<f64>()) {
        let text = Value::from(number).to_display_string();
        let back = Value::String(text.clone()).to_number();
        let close = (back - number).abs() <= number.abs() * 1e-14;
        prop_assert!(close || back.to_bits() == number.to_bits() || number.is_nan() || number.is_infinite(), "{} as {}", number, text);
    }

    #[test]
    fn equality_has_no_side(left in expressions(), right in expressions()) {
        let one = eval(&format!("({left}) == ({right})"), json!({}));
        let other = eval(&format!("({right}) == ({left})"), json!({}));
        if let (Ok(one), Ok(other)) = (one, other) {
            prop_assert_eq!(one, other);
        }
    }
}
