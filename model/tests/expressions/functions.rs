//! The functions that work on values.

use cloud_code_model::expression::ErrorKind;
use serde_json::json;

use crate::{check, eval};

#[test]
fn text_functions() {
    check(&[
        ("contains('abc', '')", json!(true)),
        ("contains(123, 2)", json!(true)),
        ("contains(fromJSON('[\"A\", 1]'), 'a')", json!(true)),
        ("contains(fromJSON('[\"A\", 1]'), '1')", json!(true)),
        ("contains(fromJSON('[[]]'), fromJSON('[]'))", json!(false)),
        ("contains(fromJSON('{\"a\": 1}'), 'a')", json!(false)),
        ("contains('Array', fromJSON('[]'))", json!(false)),
        ("contains(fromJSON('[]'), fromJSON('broken'))", json!(false)),
        ("startsWith('abc', 'abcd')", json!(false)),
        ("startsWith('null', null)", json!(true)),
        ("startsWith(fromJSON('[]'), '')", json!(false)),
        ("endsWith('abc', '')", json!(true)),
        ("endsWith(12.5, .5)", json!(false)),
        ("EndsWith(12.5, 5)", json!(true)),
        ("join(fromJSON('[1, true, null, \"x\"]'))", json!("1,true,,x")),
        ("join(fromJSON('[1, 2]'), '')", json!("12")),
        ("join(fromJSON('[1]'), fromJSON('broken'))", json!("1")),
        ("join('text', '-')", json!("text")),
        ("join(fromJSON('{}'))", json!("")),
        ("format('{0} {1} {0}', 'a', 2)", json!("a 2 a")),
        ("format('{{{0}}}', 'a')", json!("{a}")),
        ("format('{00}', 'a')", json!("a")),
        ("format('no braces', fromJSON('broken'))", json!("no braces")),
        ("format('ü{0}ß', 'é')", json!("üéß")),
        ("case(false, fromJSON('broken'), 'other')", json!("other")),
        ("case(true, 1, fromJSON('broken'))", json!(1)),
        ("case(false, 1, true, 2, 3)", json!(2)),
    ]);
}

#[test]
fn json_functions() {
    check(&[
        ("toJSON('a\"\\/\t\u{1}\u{2028}é😀')", json!("\"a\\\"\\\\/\\t\\u0001\\u2028é😀\"")),
        ("toJSON(fromJSON('{\"b\":[1,{\"x\":null}],\"a\":{},\"c\":[]}'))", {
            json!(
                "{\n  \"b\": [\n    1,\n    {\n      \"x\": null\n    }\n  ],\n  \"a\": {},\n  \"c\": []\n}"
            )
        }),
        ("fromJSON(' 1.5 ')", json!(1.5)),
        ("fromJSON('{\"a\": 1, \"A\": 2, \"a\": 3}').a", json!(1)),
        ("fromJSON('{\"a\": 1}').A", json!(1)),
        ("fromJSON(true)", json!(true)),
        ("fromJson(toJson(fromjson('[1,[2]]')))[1][0]", json!(2)),
    ]);
    for broken in ["''", "' '", "null", "'{'", "'[1,]'", "'nope'", "'1 2'", "fromJSON('[]')"] {
        let error = eval(&format!("fromJSON({broken})"), json!({})).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Evaluation, "{broken}");
        assert!(
            error.message.starts_with("Error parsing JSON when evaluating fromJson: "),
            "{broken}: {error}"
        );
    }
    let nested = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(eval(&format!("fromJSON('{nested}')"), json!({})).is_err(), "too deep");
}
