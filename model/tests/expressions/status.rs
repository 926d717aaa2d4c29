//! What the host answers (hashFiles and the status functions), and the conditions of jobs and steps.

use cloud_code_model::expression::{
    Contexts, ErrorKind, Expression, JobStatus, ParseOptions, Value, condition, condition_with,
};
use serde_json::json;

use crate::{check, check_errors, contexts};

#[test]
fn hash_files() {
    check(&[
        ("hashFiles('**/Cargo.lock')", json!("<**/Cargo.lock>")),
        ("HASHFILES('a', 'b', 3)", json!("<a|b|3>")),
        ("format('{0}-{1}', 'cargo', hashFiles('c'))", json!("cargo-<c>")),
    ]);
    check_errors(&[(
        "hashFiles('broken')",
        ErrorKind::Evaluation,
        "hashFiles('broken') failed. cannot read",
    )]);
    let error = Expression::parse("hashFiles('a')")
        .unwrap()
        .evaluate(&Contexts::new(), &JobStatus::Success)
        .unwrap_err();
    assert_eq!(
        error.message,
        "hashFiles('a') failed. There are no files here: hashFiles works in the steps of a job."
    );
}

#[test]
fn status_functions() {
    use JobStatus::{Cancelled, Failure, Skipped, Success};
    let rows = [
        ("success()", [true, false, false, false]),
        ("failure()", [false, true, false, false]),
        ("cancelled()", [false, false, true, false]),
        ("always()", [true, true, true, true]),
        ("!cancelled()", [true, true, false, true]),
        ("Success() || FAILURE()", [true, true, false, false]),
        ("success('build')", [true, false, false, false]),
    ];
    for (expression, expected) in rows {
        let expression = Expression::parse(expression).unwrap();
        for (status, expected) in [Success, Failure, Cancelled, Skipped].into_iter().zip(expected) {
            let value = expression.evaluate(&Contexts::new(), &status).unwrap();
            assert_eq!(value, Value::Bool(expected), "{expression} when {status:?}");
        }
    }
}

/// `if` values and whether they hold when the needs succeeded, failed, were cancelled, were skipped.
#[test]
fn conditions() {
    use JobStatus::{Cancelled, Failure, Skipped, Success};
    let rows = [
        ("", [true, false, false, false]),
        ("  ", [true, false, false, false]),
        ("true", [true, false, false, false]),
        ("false", [false, false, false, false]),
        ("github.ref == 'main'", [true, false, false, false]),
        ("${{ github.ref == 'main' }}", [true, false, false, false]),
        ("${{ github.ref == 'other' }}", [false, false, false, false]),
        ("always()", [true, true, true, true]),
        ("${{ always() }}", [true, true, true, true]),
        ("always() && github.ref == 'main'", [true, true, true, true]),
        ("failure()", [false, true, false, false]),
        ("!failure()", [true, false, true, true]),
        ("failure() || cancelled()", [false, true, true, false]),
        ("!cancelled()", [true, true, false, true]),
        // Text around the braces makes a string, and that is true.
        ("${{ false }} && false", [true, false, false, false]),
        ("${{ failure() }} ", [true, true, true, true]),
    ];
    let contexts = contexts(json!({ "github": { "ref": "main" } }));
    for (text, expected) in rows {
        let condition = condition(text).unwrap();
        for (status, expected) in [Success, Failure, Cancelled, Skipped].into_iter().zip(expected) {
            assert_eq!(condition.evaluate(&contexts, &status).unwrap(), expected, "{text:?} when {status:?}");
        }
    }
    assert!(condition("a && b").unwrap().implies_success());
    assert!(!condition("a && contains(b, Cancelled())").unwrap().implies_success());
    assert!(condition("${{ a }} == b").unwrap().is_text());
    assert!(!condition("${{ a }}").unwrap().is_text());
    // Nothing else is evaluated where the implied success() does not hold.
    assert!(!condition("fromJSON('broken')").unwrap().evaluate(&contexts, &Failure).unwrap());
    assert!(condition("fromJSON('broken')").unwrap().evaluate(&contexts, &Success).is_err());
    let error = condition("  a ==").unwrap_err();
    assert_eq!((error.position, error.offset), (Some(3), 4));
    assert!(condition_with("secrets.x", &ParseOptions::contexts(["github"])).is_err());
}
