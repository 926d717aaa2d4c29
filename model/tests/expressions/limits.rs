//! Length, depth, memory and time.

use cloud_code_model::expression::template::Template;
use cloud_code_model::expression::{Contexts, Expression, JobStatus, condition};
use serde_json::json;

use crate::{check, eval};

#[test]
fn length_limit() {
    let longest = format!("'{}'", "x".repeat(20_998));
    assert!(Expression::parse(&longest).is_ok());
    let error = Expression::parse(&format!("{longest} ")).unwrap_err();
    assert_eq!(error.message, "Exceeded max expression length 21000");
    assert_eq!(error.position, None);
    // Two units each.
    assert!(Expression::parse(&format!("'{}'", "😀".repeat(10_499))).is_ok());
    assert!(Expression::parse(&format!("'{}'", "😀".repeat(10_500))).is_err());
}

#[test]
fn depth_limit() {
    let deep = |levels: usize| {
        [
            format!("{}true", "!".repeat(levels - 1)),
            format!("a{}", ".b".repeat(levels - 1)),
            format!("a{}", "[*]".repeat(levels - 1)),
            format!("{}1{}", "join(".repeat(levels - 1), ")".repeat(levels - 1)),
            format!("1{}", " == 1".repeat(levels - 1)),
            format!("a[{}true]", "!".repeat(levels - 2)),
        ]
    };
    for expression in deep(50) {
        let parsed = Expression::parse(&expression).unwrap();
        parsed.evaluate(&Contexts::new(), &JobStatus::Success).unwrap();
    }
    for expression in deep(51) {
        assert_eq!(
            Expression::parse(&expression).unwrap_err().message,
            "Exceeded max expression depth 50",
            "{expression}"
        );
    }
    // Brackets are no level, and a chain is one.
    check(&[
        (&format!("{}1{}", "(".repeat(9000), ")".repeat(9000)), json!(1)),
        (&format!("0{}", " || 0".repeat(4000)), json!(0)),
    ]);
}

#[test]
fn memory_limit() {
    let big = "x".repeat(400_000);
    let big_key = "y".repeat(400_000);
    let rows = [
        ("a", true),
        ("format('{0}', a)", true),
        ("join(a)", true),
        ("toJSON(a)", true),
        ("a == a", false),
        ("format('{0}{0}', a)", false),
        ("toJSON(c)", false),
        ("c.*[0] && c[0] && c[0]", false),
        ("format('{0}{0}', b)", true),
        ("format('{0}{0}{0}', b)", false),
        ("contains(format('{0}{0}', b), 'x') && contains(format('{0}{0}', b), 'x')", true),
        ("format('{0}{0}', b) == format('{0}{0}', b)", false),
        // What is not found leaves nothing behind.
        ("d[format('{0}{0}', b)] == d[format('{0}{0}', b)]", false),
        ("e[format('{0}{0}', b)] == e[format('{0}{0}', b)]", true),
    ];
    for (expression, fits) in rows {
        let data = json!({ "a": big, "b": "y".repeat(200_000), "c": [big, big], "d": { (big_key.as_str()): 1 }, "e": {} });
        let found = eval(expression, data);
        // One copy of a is 800,000 bytes; a second one does not fit beside it, but what it was made from may go.
        match found {
            Ok(_) => assert!(fits, "{expression} fits"),
            Err(error) => {
                assert!(!fits, "{expression}: {error}");
                let message = "The maximum allowed memory size was exceeded while evaluating the following expression: ";
                assert_eq!(error.message, format!("{message}{expression}"));
            }
        }
    }
}

#[test]
fn long_text_takes_no_long_time() {
    let long = |part: &str, end: &str| format!("{}{end}", part.repeat(20_000 / part.len()));
    let texts = [
        long("(", ""),
        long("!", "a"),
        long("a.", "b"),
        long("a[", ""),
        long("a && ", "b"),
        long("a || b && ", "c"),
        long("join(", ""),
        long("1 == ", "1"),
        long("''", ""),
        long(" ", "a"),
        long("a ", ""),
        long("x", "("),
        long("9", ""),
        long("(a)||", "a"),
    ];
    let begin = std::time::Instant::now();
    for text in &texts {
        if let Ok(expression) = Expression::parse(text) {
            let _ = expression.evaluate(&Contexts::new(), &JobStatus::Success);
            let _ = (expression.references(), expression.to_string());
        }
    }
    let template = "${{ a }} text }} ' ".repeat(50_000);
    assert_eq!(Template::parse(&template).unwrap().expressions().count(), 50_000);
    assert!(Template::parse(&"${{ '".repeat(200_000)).is_err());
    // Far above what linear work needs in a slow build, far below what anything worse does.
    assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn templates_may_hold_ten_times_as_much() {
    let contexts = crate::contexts(json!({ "a": "x".repeat(1_000_000) }));
    let render = |text: &str| Template::parse(text).unwrap().render(&contexts, &JobStatus::Success);
    assert_eq!(render("${{ format('{0}{0}', a) }}").unwrap().len(), 2_000_000);
    assert_eq!(render(&"${{ a }} ".repeat(5)).unwrap().len(), 5_000_005);
    let error = render(&"${{ a }} ".repeat(6)).unwrap_err();
    let message = "The maximum allowed memory size was exceeded while evaluating the following expression: a";
    assert_eq!((error.message.as_str(), error.offset), (message, 49));
    assert!(Expression::parse("format('{0}', a)").unwrap().evaluate(&contexts, &JobStatus::Success).is_err());
    assert!(condition("format('{0}', a)").unwrap().evaluate(&contexts, &JobStatus::Success).unwrap());
}
