//! Text with expressions in it, what expressions refer to, and how they are shown.

use cloud_code_model::expression::template::Template;
use cloud_code_model::expression::{Contexts, ErrorKind, Expression, JobStatus, PathPart, ReferenceKind};
use serde_json::json;

use crate::contexts;

#[test]
fn templates() {
    let data = json!({ "a": { "n": 5, "s": "text", "list": [1, 2] } });
    let rows = [
        ("plain", json!("plain")),
        ("", json!("")),
        ("${{ a.n }}", json!(5)),
        ("${{a.list}}", json!([1, 2])),
        ("${{ a.none }}", json!(null)),
        (" ${{ a.n }}", json!(" 5")),
        ("${{ a.n }}\n", json!("5\n")),
        ("${{ a.n }}${{ a.s }}", json!("5text")),
        ("n is ${{ a.n }}, list is ${{ a.list }}${{ a.none }}.", json!("n is 5, list is Array.")),
        ("${{ '}}' }}", json!("}}")),
        ("${{ 'it''s }}' }}!", json!("it's }}!")),
        ("${{ '${{' }} }}", json!("${{ }}")),
        ("${{ format('{{0}}') }}", json!("{0}")),
        ("{0} {{ }} $${{ a.n }}}", json!("{0} {{ }} $5}")),
        ("$ {{ a.n }}", json!("$ {{ a.n }}")),
    ];
    for (text, expected) in rows {
        let value =
            Template::parse(text).unwrap().evaluate(&contexts(data.clone()), &JobStatus::Success).unwrap();
        assert_eq!(value.to_json(), expected, "{text}");
    }
    assert!(Template::parse("plain").unwrap().is_literal());
    assert!(Template::parse("${{ a }}").unwrap().single().is_some());
    assert!(Template::parse("${{ a }} ").unwrap().single().is_none());
}

#[test]
fn template_errors() {
    const OPEN: &str = "The expression is not closed. An unescaped ${{ sequence was found, but the closing }} sequence was not found.";
    let rows = [
        ("ab ${{ a", 3, None, OPEN),
        ("${{ a }", 0, None, OPEN),
        ("${{ 'a }}", 0, None, OPEN),
        ("${{ a }} ${{", 9, None, OPEN),
        ("x ${{ }}", 2, None, "An expression was expected"),
        ("${{}}", 0, None, "An expression was expected"),
        (
            "é ${{  a b }}",
            10,
            Some(3),
            "Unexpected symbol: 'b'. Located at position 3 within expression: a b",
        ),
        (
            "${{ a }} ${{ no() }}",
            13,
            Some(1),
            "Unrecognized function: 'no'. Located at position 1 within expression: no()",
        ),
    ];
    for (text, offset, position, message) in rows {
        let error = Template::parse(text).unwrap_err();
        assert_eq!(
            (error.offset, error.position, error.message.as_str()),
            (offset, position, message),
            "{text}"
        );
    }
    let error = Template::parse("x ${{ 1 }} ${{ fromJSON('') }}").unwrap();
    let error = error.evaluate(&Contexts::new(), &JobStatus::Success).unwrap_err();
    assert_eq!((error.offset, error.kind), (15, ErrorKind::Evaluation));
}

#[test]
fn references() {
    let name = |name: &str| PathPart::Name(name.to_owned());
    let expression = Expression::parse(
        "é".replace('é', "format('é', GitHub.event['issue'].labels.*.name, matrix[env.X][0])").as_str(),
    );
    let found: Vec<_> = expression
        .unwrap()
        .references()
        .into_iter()
        .map(|it| (it.name, it.kind, it.offset, it.position))
        .collect();
    let context = |path| ReferenceKind::Context { path };
    let expected = vec![
        ("format".to_owned(), ReferenceKind::Function { parameters: 3 }, 0, 1),
        (
            "GitHub".to_owned(),
            context(vec![name("event"), name("issue"), name("labels"), PathPart::Star, name("name")]),
            13,
            13,
        ),
        ("matrix".to_owned(), context(vec![PathPart::Computed, name("0")]), 50, 50),
        ("env".to_owned(), context(vec![name("X")]), 57, 57),
    ];
    assert_eq!(found, expected);

    let template = Template::parse("a ${{ b.c }} ${{ success() && d }}").unwrap();
    let offsets: Vec<_> =
        template.references().into_iter().map(|it| (it.name, it.offset, it.position)).collect();
    let expected = [("b", 6, 1), ("success", 17, 1), ("d", 30, 14)];
    assert_eq!(offsets, expected.map(|(name, offset, position)| (name.to_owned(), offset, position)));
}

#[test]
fn shown_with_brackets() {
    let rows = [
        ("a||b&&!c==1", "a || (b && (!c == 1))"),
        ("a['b']['c d'][0][*]", "a.b['c d'][0].*"),
        ("!(a&&b).c", "!(a && b).c"),
        ("(!a).b", "(!a).b"),
        ("('it''s').b", "('it''s').b"),
        ("Join( x ,-Infinity )", "Join(x, -Infinity)"),
        ("  ", ""),
    ];
    for (source, shown) in rows {
        let expression = Expression::parse(source).unwrap();
        assert_eq!(expression.to_string(), shown);
        assert_eq!(Expression::parse(shown).unwrap(), expression);
    }
}
