//! `strategy.matrix`: from its value to the jobs.

use crate::expression::Value;
use serde_json::{Map, Value as Json};

/// Jobs of one matrix at most, as in Actions.
pub const MAX_JOBS: usize = 256;

/// One job's values.
pub type Matrix = Map<String, Json>;

/// The combinations that a matrix' value gives, in order: the first key varies slowest; `exclude` takes combinations away; each item of
/// `include` is added to every combination whose own values it does not change, and is a combination by itself where there is none.
///
/// # Errors
/// What is no matrix, gives no job or too many, in words for its author.
pub fn combinations(matrix: &Value) -> Result<Vec<Matrix>, String> {
    let Value::Object(object) = matrix else {
        return Err(format!("a matrix is a mapping, and this is {}", matrix.kind()));
    };
    let mut vectors: Vec<(String, Vec<Json>)> = Vec::new();
    let (mut include, mut exclude) = (Vec::new(), Vec::new());
    for (key, value) in object.iter() {
        match key {
            "include" => include = items(key, value)?,
            "exclude" => exclude = items(key, value)?,
            _ => {
                let Value::Array(values) = value else {
                    return Err(format!(
                        "the vector `{key}` of a matrix is a list, and this is {}",
                        value.kind()
                    ));
                };
                if values.is_empty() {
                    return Err(format!("the vector `{key}` of the matrix has no values"));
                }
                vectors.push((key.to_owned(), values.iter().map(Value::to_json).collect()));
            }
        }
    }
    let count = vectors.iter().map(|(_, values)| values.len()).try_fold(1usize, |all, n| all.checked_mul(n));
    // Exclusion comes first in GitHub too, so more than 256 may stand here, but not without end.
    if count.is_none_or(|count| count > MAX_JOBS * 256) {
        return Err(format!("the matrix gives more than {MAX_JOBS} jobs"));
    }
    let mut jobs = if vectors.is_empty() { Vec::new() } else { vec![Matrix::new()] };
    for (key, values) in &vectors {
        jobs = jobs.iter().flat_map(|job| values.iter().map(|value| with(job, key, value))).collect();
    }
    jobs.retain(|job| !exclude.iter().any(|item| covers(item, job)));
    let originals = jobs.clone();
    for item in include {
        let mut added = false;
        for (job, original) in jobs.iter_mut().zip(&originals) {
            if item.iter().all(|(key, value)| original.get(key).is_none_or(|is| same(is, value))) {
                job.extend(item.clone());
                added = true;
            }
        }
        if !added {
            jobs.push(item);
        }
    }
    match jobs.len() {
        0 => Err("the matrix gives no job: everything is excluded".to_owned()),
        1..=MAX_JOBS => Ok(jobs),
        many => Err(format!("the matrix gives {many} jobs; at most {MAX_JOBS} are run")),
    }
}

fn items(key: &str, value: &Value) -> Result<Vec<Matrix>, String> {
    let item = |value: &Value| match value.to_json() {
        Json::Object(item) => Ok(item),
        _ => Err(format!("an item of `{key}` is a mapping, and this is {}", value.kind())),
    };
    match value {
        Value::Array(items) => items.iter().map(item).collect(),
        Value::Null => Ok(Vec::new()),
        other => Err(format!("`{key}` of a matrix is a list, and this is {}", other.kind())),
    }
}

fn with(job: &Matrix, key: &str, value: &Json) -> Matrix {
    let mut job = job.clone();
    job.insert(key.to_owned(), value.clone());
    job
}

fn covers(item: &Matrix, job: &Matrix) -> bool {
    item.iter().all(|(key, value)| job.get(key).is_some_and(|is| same(is, value)))
}

/// Whether two values are the same; of mappings only what the second one names is looked at.
fn same(is: &Json, wanted: &Json) -> bool {
    match (is, wanted) {
        (Json::Object(is), Json::Object(wanted)) => covers(wanted, is),
        (Json::Number(is), Json::Number(wanted)) => is.as_f64() == wanted.as_f64(),
        (is, wanted) => is == wanted,
    }
}

/// What is put behind a job's name for its values: ` (a, b)`, at most a hundred characters.
pub fn suffix(matrix: &Matrix) -> String {
    fn leaves(value: &Json, out: &mut Vec<String>) {
        match value {
            Json::Array(items) => items.iter().for_each(|item| leaves(item, out)),
            Json::Object(entries) => entries.values().for_each(|value| leaves(value, out)),
            other => out.push(Value::from(other).to_display_string().to_string()),
        }
    }
    let mut texts = Vec::new();
    matrix.values().for_each(|value| leaves(value, &mut texts));
    let text = texts.join(", ");
    if text.chars().count() > 100 {
        return format!(" ({}…)", text.chars().take(97).collect::<String>());
    }
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(matrix: Json, expected: Json) {
        let found = combinations(&Value::from(&matrix)).map(|jobs| json!(jobs));
        match expected {
            Json::String(part) => {
                let error = found.unwrap_err();
                assert!(error.contains(&part), "{matrix}: {error:?} lacks {part:?}");
            }
            expected => assert_eq!(found.unwrap(), expected, "{matrix}"),
        }
    }

    #[test]
    fn products_exclusions_and_inclusions() {
        check(
            json!({"a": [1, 2], "b": ["x", "y"]}),
            json!([{"a":1,"b":"x"},{"a":1,"b":"y"},{"a":2,"b":"x"},{"a":2,"b":"y"}]),
        );
        check(json!({"a": [1, 2, 3], "exclude": [{"a": 2}]}), json!([{"a":1},{"a":3}]));
        check(json!({"a": [1], "exclude": [{"a": 1, "b": 2}]}), json!([{"a":1}]));
        check(json!({"include": [{"a": 1}, {"b": 2}]}), json!([{"a":1},{"b":2}]));
        check(
            json!({"a": [{"n": 1, "m": 2}, {"n": 3}], "exclude": [{"a": {"n": 1}}]}),
            json!([{"a":{"n":3}}]),
        );
    }

    /// The example of GitHub's documentation ("Expanding or adding matrix configurations").
    #[test]
    fn the_documented_inclusions() {
        check(
            json!({"fruit": ["apple", "pear"], "animal": ["cat", "dog"], "include": [
                {"color": "green"}, {"color": "pink", "animal": "cat"}, {"fruit": "apple", "shape": "circle"},
                {"fruit": "banana"}, {"fruit": "banana", "animal": "cat"}]}),
            json!([
                {"fruit":"apple","animal":"cat","color":"pink","shape":"circle"},
                {"fruit":"apple","animal":"dog","color":"green","shape":"circle"},
                {"fruit":"pear","animal":"cat","color":"pink"},
                {"fruit":"pear","animal":"dog","color":"green"},
                {"fruit":"banana"},
                {"fruit":"banana","animal":"cat"}]),
        );
    }

    #[test]
    fn what_is_no_matrix() {
        check(json!([]), json!("a matrix is a mapping"));
        check(json!({"a": 1}), json!("`a` of a matrix is a list"));
        check(json!({"a": []}), json!("`a` of the matrix has no values"));
        check(json!({"a": [1], "exclude": [{"a": 1}]}), json!("gives no job"));
        check(json!({"include": [1]}), json!("an item of `include` is a mapping"));
        let many: Vec<u32> = (0..257).collect();
        check(json!({"a": many}), json!("gives 257 jobs; at most 256"));
        let fits: Vec<u32> = (0..256).collect();
        assert_eq!(combinations(&Value::from(json!({"a": fits}))).unwrap().len(), 256);
        check(json!({"a": many, "b": many, "c": many}), json!("more than 256"));
    }

    #[test]
    fn names() {
        let name = |value: Json| suffix(value.as_object().unwrap());
        assert_eq!(name(json!({"a": 1, "b": {"c": "x", "d": [true]}})), " (1, x, true)");
        assert_eq!(name(json!({})), "");
        assert_eq!(name(json!({"a": "x".repeat(200)})).chars().count(), 101);
    }
}
