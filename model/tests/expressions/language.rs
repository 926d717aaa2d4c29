//! Literals, operators, coercions, properties, and values as JSON.

use cloud_code_model::expression::{Contexts, Expression, JobStatus, Object, Value};
use serde_json::json;

use crate::{check, check_with, eval};

#[test]
fn literals() {
    check(&[
        ("", json!(null)),
        (" \t\n ", json!(null)),
        ("null", json!(null)),
        ("true", json!(true)),
        ("false", json!(false)),
        ("7", json!(7)),
        ("-7.25", json!(-7.25)),
        ("+.5", json!(0.5)),
        ("5.", json!(5)),
        ("2.5e3", json!(2500)),
        ("0x1F", json!(31)),
        ("0xffffffff", json!(-1)),
        ("0o17", json!(15)),
        ("'it''s'", json!("it's")),
        ("''''", json!("'")),
        ("''", json!("")),
    ]);
    assert_eq!(eval("Infinity", json!({})).unwrap(), Value::Number(f64::INFINITY));
    assert_eq!(eval("-Infinity", json!({})).unwrap(), Value::Number(f64::NEG_INFINITY));
    assert!(matches!(eval("NaN", json!({})).unwrap(), Value::Number(number) if number.is_nan()));
}

#[test]
fn truth() {
    for falsy in ["null", "false", "0", "-0", "NaN", "''", "x.y", "x"] {
        check(&[(&format!("!{falsy}"), json!(true))]);
    }
    for truthy in ["true", "1", "-1", "Infinity", "'0'", "'false'", "' '", "fromJSON('[]')", "fromJSON('{}')"]
    {
        check(&[(&format!("!{truthy}"), json!(false))]);
    }
}

#[test]
fn and_or_give_an_operand_and_stop_early() {
    check(&[
        ("1 && 'two' && fromJSON('3')", json!(3)),
        ("1 && 0 && fromJSON('broken')", json!(0)),
        ("'' || 0 || null", json!(null)),
        ("'' || 'x' || fromJSON('broken')", json!("x")),
        ("false || true && 'y'", json!("y")),
        ("(true || false) && 'y'", json!("y")),
        ("(1 && (2 && 3)) && 4", json!(4)),
    ]);
}

#[test]
fn comparing_kinds() {
    check(&[
        ("1 == '1'", json!(true)),
        ("1 == ' 0x1 '", json!(true)),
        ("'1' == '1.0'", json!(false)),
        ("true == '1'", json!(true)),
        ("true == 'true'", json!(false)),
        ("null == ''", json!(true)),
        ("null == 0", json!(true)),
        ("null == false", json!(true)),
        ("null == null", json!(true)),
        ("null >= null", json!(true)),
        ("null > null", json!(false)),
        ("NaN == NaN", json!(false)),
        ("NaN != NaN", json!(true)),
        ("NaN <= NaN", json!(false)),
        ("'x' == NaN", json!(false)),
        ("'x' < 1", json!(false)),
        ("'10' < 9", json!(false)),
        ("'10' < '9'", json!(true)),
        ("true > false", json!(true)),
        ("true >= '1'", json!(true)),
        ("1 < 2 == true", json!(true)),
        ("1 == 5 < 3", json!(false)),
        ("1 == 3 > 2", json!(true)),
        ("1 == 1 != 2 >= 1", json!(false)),
        ("3 > 2 > 1", json!(false)),
        ("!1 < 1", json!(true)),
        ("fromJSON('[]') == fromJSON('[]')", json!(false)),
        ("fromJSON('[]') == ''", json!(false)),
        ("fromJSON('{}') == null", json!(false)),
        ("fromJSON('{}') < 1", json!(false)),
    ]);
    let data = json!({ "a": { "list": [1], "map": {} } });
    check_with(
        data,
        &[
            ("a.list == a.list", json!(true)),
            ("a.map == a['MAP']", json!(true)),
            ("a.map != a", json!(true)),
            ("a.list >= a.list", json!(true)),
            ("a.list > a.list", json!(false)),
        ],
    );
}

#[test]
fn strings_have_no_case() {
    check(&[
        ("'ABC' == 'abc'", json!(true)),
        ("'a' < 'B'", json!(true)),
        ("'Z' < 'a'", json!(false)),
        ("'_' > 'a'", json!(true)),
        ("'Größe' == 'GRÖSSE'", json!(false)),
        ("'GRÖßE' == 'größe'", json!(true)),
        ("'ΣΑΣ' == 'σας'", json!(true)),
        ("'ᾳ' == 'ᾼ'", json!(true)),
        ("'ſ' == 's'", json!(false)),
        ("'ı' == 'i'", json!(false)),
        ("'İ' == 'i'", json!(false)),
        // UTF-16 puts what needs two units before the end of the first plane.
        ("'😀' < '\u{ff5e}'", json!(true)),
        ("contains('Hello WORLD', 'lo wo')", json!(true)),
        ("startsWith('Ärger', 'ä')", json!(true)),
        ("endsWith('main.RS', '.rs')", json!(true)),
    ]);
}

#[test]
fn numbers_as_text() {
    let rows = [
        ("1", "1"),
        ("-1.5", "-1.5"),
        ("-0", "0"),
        ("0.1", "0.1"),
        ("1e14", "100000000000000"),
        ("1e15", "1E+15"),
        ("123456789012345", "123456789012345"),
        ("1234567890123456", "1.23456789012346E+15"),
        ("999999999999999.9", "1E+15"),
        ("0.0001", "0.0001"),
        ("0.00001", "1E-05"),
        ("-0.0000123", "-1.23E-05"),
        ("1.5e300", "1.5E+300"),
        ("0.30000000000000004", "0.3"),
        ("100", "100"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
    ];
    for (number, text) in rows {
        check(&[
            (&format!("format('{{0}}', {number})"), json!(text)),
            (&format!("toJSON({number})"), json!(text)),
        ]);
    }
}

#[test]
fn properties_and_items() {
    let data = json!({ "a": { "Name": "n", "key with blank": 1, "list": ["x", "y"], "5": "five", "": "empty", "true": "t" } });
    check_with(
        data,
        &[
            ("A.NAME", json!("n")),
            ("a['key with blank']", json!(1)),
            ("a.list[1]", json!("y")),
            ("a.list[1.9]", json!("y")),
            ("a.list['1']", json!("y")),
            ("a.list[true]", json!("y")),
            ("a.list[null]", json!("x")),
            ("a.list[-1]", json!(null)),
            ("a.list[2]", json!(null)),
            ("a.list[NaN]", json!(null)),
            ("a.list[Infinity]", json!(null)),
            ("a.list.x", json!(null)),
            ("a[5]", json!("five")),
            ("a[null]", json!("empty")),
            ("a[true]", json!("t")),
            ("a.true", json!("t")),
            ("a[a.list]", json!(null)),
            ("a.none.of.these", json!(null)),
            ("a.name.more", json!(null)),
            ("none.at.all", json!(null)),
            ("a [ 'list' ] [ 0 ]", json!("x")),
            ("a . name", json!("n")),
            ("(a).name", json!("n")),
            ("('text').name", json!(null)),
        ],
    );
}

#[test]
fn star() {
    let data = json!({
        "a": { "list": [{ "n": 1, "t": ["p", "q"] }, { "m": 2 }, { "N": 3, "t": ["r"] }], "map": { "z": { "n": 9 }, "b": { "n": 8 } } },
        "nested": [[1, 2], [3], "s"],
    });
    check_with(
        data,
        &[
            ("a.list.*.n", json!([1, 3])),
            ("a.list[*].n", json!([1, 3])),
            ("a.map.*.n", json!([9, 8])),
            ("a.list.*.t.*", json!(["p", "q", "r"])),
            ("a.list.*.t[1]", json!(["q"])),
            ("a.list.*.none", json!([])),
            ("nested.*.*", json!([1, 2, 3])),
            ("nested.*[0]", json!([1, 3])),
            ("(nested.*)[0]", json!([1, 3])),
            ("(nested.* || 0)[0]", json!([1, 3])),
            ("nested[0][0]", json!(1)),
            ("a.none.*", json!([])),
            ("a.none.*.x", json!([])),
            ("contains(a.list.*.n, 3)", json!(true)),
            ("join(a.map.*.n, '-')", json!("9-8")),
        ],
    );
    // What an expression gave is an ordinary array for the next one.
    let stars = eval("nested.*", json!({ "nested": [[1, 2], [3]] })).unwrap();
    let next = Expression::parse("stars[1]").unwrap();
    let contexts = Contexts::new().with("stars", stars);
    assert_eq!(next.evaluate(&contexts, &JobStatus::Success).unwrap().to_json(), json!([3]));
}

#[test]
fn keys_keep_their_order_and_case_where_it_counts() {
    let env = Object::case_sensitive([("Path", Value::from("a")), ("PATH", Value::from("b"))]);
    let contexts = Contexts::new().with("env", env);
    let rows = [
        ("env.Path", json!("a")),
        ("env.PATH", json!("b")),
        ("ENV.path", json!(null)),
        ("join(env.*)", json!("a,b")),
    ];
    for (expression, expected) in rows {
        let value = Expression::parse(expression).unwrap().evaluate(&contexts, &JobStatus::Success).unwrap();
        assert_eq!(value.to_json(), expected, "{expression}");
    }
    let mut object: Object =
        [("z", Value::from(1.0)), ("Z", Value::from(2.0)), ("a", Value::Null)].into_iter().collect();
    object.insert("Z", Value::from(3.0));
    assert_eq!(Value::from(object).to_json().to_string(), r#"{"z":3,"a":null}"#);
}

#[test]
fn values_as_json() {
    let text = r#"{"b":[1,2.5,-3,"x",null,true],"a":{}}"#;
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&value).unwrap(), text);
    assert_eq!(value.to_json().to_string(), text);
    for (number, expected) in
        [(f64::NAN, "\"NaN\""), (f64::NEG_INFINITY, "\"-Infinity\""), (-0.0, "0"), (1e300, "1e300")]
    {
        assert_eq!(Value::from(number).to_json().to_string(), expected.replace("1e300", "1e+300"));
        assert_eq!(serde_json::to_string(&Value::from(number)).unwrap(), expected.replace("1e300", "1e+300"));
    }
}
