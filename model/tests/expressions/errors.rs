//! Error texts, positions, and what a place allows.

use cloud_code_model::expression::{ErrorKind, Expression, ParseOptions};
use serde_json::json;

use crate::{check_errors, eval};

#[test]
fn error_texts() {
    use ErrorKind::{Evaluation, Lexing, Parsing};
    check_errors(&[
        ("1 +", Lexing, "Unexpected symbol: '+'. Located at position 3 within expression: 1 +"),
        ("\"a\"", Lexing, "Unexpected symbol: '\"a\"'. Located at position 1 within expression: \"a\""),
        ("'a", Lexing, "Unexpected symbol: ''a'. Located at position 1 within expression: 'a"),
        ("a = b", Lexing, "Unexpected symbol: '='. Located at position 3 within expression: a = b"),
        ("1x", Lexing, "Unexpected symbol: '1x'. Located at position 1 within expression: 1x"),
        (
            "0xfffffffff",
            Lexing,
            "Unexpected symbol: '0xfffffffff'. Located at position 1 within expression: 0xfffffffff",
        ),
        ("1.2.3", Lexing, "Unexpected symbol: '1.2.3'. Located at position 1 within expression: 1.2.3"),
        ("a-b/c", Lexing, "Unexpected symbol: 'a-b/c'. Located at position 1 within expression: a-b/c"),
        ("'😀' 1", Parsing, "Unexpected symbol: '1'. Located at position 6 within expression: '😀' 1"),
        ("a b", Parsing, "Unexpected symbol: 'b'. Located at position 3 within expression: a b"),
        ("a.", Parsing, "Unexpected end of expression: '.'. Located at position 2 within expression: a."),
        ("a.'b'", Parsing, "Unexpected symbol: ''b''. Located at position 3 within expression: a.'b'"),
        ("a[]", Parsing, "Unexpected symbol: ']'. Located at position 3 within expression: a[]"),
        (
            "a['b'",
            Parsing,
            "Unexpected end of expression: ''b''. Located at position 3 within expression: a['b'",
        ),
        ("*", Parsing, "Unexpected symbol: '*'. Located at position 1 within expression: *"),
        ("2 * 3", Parsing, "Unexpected symbol: '*'. Located at position 3 within expression: 2 * 3"),
        ("()", Parsing, "Unexpected symbol: ')'. Located at position 2 within expression: ()"),
        ("(a]", Parsing, "Unexpected symbol: ']'. Located at position 3 within expression: (a]"),
        ("a)", Parsing, "Unexpected symbol: ')'. Located at position 2 within expression: a)"),
        ("a, b", Parsing, "Unexpected symbol: ','. Located at position 2 within expression: a, b"),
        ("join(a,)", Parsing, "Unexpected symbol: ')'. Located at position 8 within expression: join(a,)"),
        (
            "join(a",
            Parsing,
            "Unexpected end of expression: 'a'. Located at position 6 within expression: join(a",
        ),
        ("a == == b", Parsing, "Unexpected symbol: '=='. Located at position 6 within expression: a == == b"),
        ("a !b", Parsing, "Unexpected symbol: '!'. Located at position 3 within expression: a !b"),
        ("'a'.b", Parsing, "Unexpected symbol: '.'. Located at position 4 within expression: 'a'.b"),
        ("!", Parsing, "Unexpected end of expression: '!'. Located at position 1 within expression: !"),
        (
            "nope(1)",
            Parsing,
            "Unrecognized function: 'nope'. Located at position 1 within expression: nope(1)",
        ),
        (
            "1 == join()",
            Parsing,
            "Too few parameters supplied: 'join'. Located at position 6 within expression: 1 == join()",
        ),
        (
            "always(1)",
            Parsing,
            "Too many parameters supplied: 'always'. Located at position 1 within expression: always(1)",
        ),
        (
            "toJSON(1, 2)",
            Parsing,
            "Too many parameters supplied: 'toJSON'. Located at position 1 within expression: toJSON(1, 2)",
        ),
        (
            "case(true, 1)",
            Parsing,
            "Too few parameters supplied: 'case'. Located at position 1 within expression: case(true, 1)",
        ),
        (
            "case(true, 1, true, 2)",
            Parsing,
            "Even number of parameters supplied, requires an odd number of parameters: 'case'. Located at position 1 within expression: case(true, 1, true, 2)",
        ),
        ("case('true', 1, 2)", Evaluation, "case predicate must evaluate to a boolean value"),
        ("format('{', 1)", Evaluation, "The following format string is invalid: {"),
        ("format('{}', 1)", Evaluation, "The following format string is invalid: {}"),
        ("format('{x}', 1)", Evaluation, "The following format string is invalid: {x}"),
        ("format('{256}', 1)", Evaluation, "The following format string is invalid: {256}"),
        ("format('{-1}', 1)", Evaluation, "The following format string is invalid: {-1}"),
        (
            "format('{1}{', 1)",
            Evaluation,
            "The following format string references more arguments than were supplied: {1}{",
        ),
        (
            "format('{0:x}}y}', 1)",
            Evaluation,
            "The format specifiers 'x}y' are not valid for objects of type 'Number'",
        ),
    ]);
}

#[test]
fn errors_say_where() {
    let error = eval("'é' == fromJSON('x')", json!({})).unwrap_err();
    assert_eq!((error.position, error.offset), (Some(8), 8));
    let error = Expression::parse("'é' ==\n nope()").unwrap_err();
    assert_eq!((error.position, error.offset), (Some(9), 9));
}

#[test]
fn names_that_a_place_allows() {
    let options = ParseOptions::from_schema([
        "github",
        "Needs",
        "always(0,0)",
        "success(0,MAX)",
        "hashFiles(1,255)",
        "other(1,1)",
    ]);
    for right in [
        "GITHUB.ref",
        "needs.a",
        "always()",
        "success('a', 'b')",
        "hashFiles('a')",
        "contains('a', 'b')",
        "CASE(true, 1, 2)",
    ] {
        assert!(Expression::parse_with(right, &options).is_ok(), "{right}");
    }
    let wrong = [
        (
            "secrets.a",
            "Unrecognized named-value: 'secrets'. Located at position 1 within expression: secrets.a",
        ),
        (
            "github.secrets || job",
            "Unrecognized named-value: 'job'. Located at position 19 within expression: github.secrets || job",
        ),
        ("failure()", "Unrecognized function: 'failure'. Located at position 1 within expression: failure()"),
        (
            "hashFiles()",
            "Too few parameters supplied: 'hashFiles'. Located at position 1 within expression: hashFiles()",
        ),
        ("always", "Unrecognized named-value: 'always'. Located at position 1 within expression: always"),
        ("True", "Unrecognized named-value: 'True'. Located at position 1 within expression: True"),
    ];
    for (expression, message) in wrong {
        assert_eq!(Expression::parse_with(expression, &options).unwrap_err().message, message);
    }
}

#[test]
fn errors_that_are_certain_before_evaluation() {
    let rows = [
        (
            "format('{0} {1}', a)",
            1,
            "The following format string references more arguments than were supplied: {0} {1}",
        ),
        ("a || format('{', a)", 6, "The following format string is invalid: {"),
    ];
    for (source, position, message) in rows {
        let errors = Expression::parse(source).unwrap().certain_errors();
        let found: Vec<_> = errors.iter().map(|error| (error.position, error.message.as_str())).collect();
        assert_eq!(found, [(Some(position), message)], "{source}");
    }
    assert_eq!(
        Expression::parse("fromJSON('{') || fromJSON(1) || fromJSON('')").unwrap().certain_errors().len(),
        2
    );
    for fine in ["format(a, b)", "format('{0}', a)", "fromJSON(a)", "fromJSON('[1]')", "join('{')"] {
        assert!(Expression::parse(fine).unwrap().certain_errors().is_empty(), "{fine}");
    }
}
