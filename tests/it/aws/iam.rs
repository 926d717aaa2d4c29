//! The calls that were made, against the policies of the template: no call that a role lacks.

use super::world::ACCOUNT;
use serde_json::Value;
use std::collections::BTreeMap;

/// The statements of each function's role, by the function's name.
pub(crate) struct Policies(BTreeMap<String, Vec<Value>>);

impl Policies {
    pub(crate) fn of(deployed: &Value) -> Self {
        let functions = deployed["functions"].as_object().unwrap();
        let statements = |function: &Value| {
            let role = function["role"].as_str().unwrap();
            deployed["policies"][role].as_array().unwrap().clone()
        };
        Self(functions.iter().map(|(name, function)| (name.clone(), statements(function))).collect())
    }

    /// Whether the function's role allows the action on the resource. Conditions are taken to hold.
    pub(crate) fn allow(&self, function: &str, action: &str, arn: &str) -> bool {
        self.0[function].iter().any(|statement| {
            let any = |field: &str, text: &str| {
                let list = match &statement[field] {
                    Value::Array(list) => list.clone(),
                    one => vec![one.clone()],
                };
                list.iter().any(|pattern| matches(pattern.as_str().unwrap(), text))
            };
            statement["Effect"] == "Allow" && any("Action", action) && any("Resource", arn)
        })
    }

    /// The statements that no call of the list needed.
    pub(crate) fn idle(&self, function: &str, needed: &[(String, String)]) -> Vec<String> {
        let mut idle = Vec::new();
        for statement in &self.0[function] {
            let actions = match &statement["Action"] {
                Value::Array(list) => list.clone(),
                one => vec![one.clone()],
            };
            for action in actions {
                let action = action.as_str().unwrap().to_owned();
                if !needed.iter().any(|(used, _)| *used == action) {
                    idle.push(action);
                }
            }
        }
        idle.sort();
        idle.dedup();
        idle
    }
}

/// IAM's wildcards.
fn matches(pattern: &str, text: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return text.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    match first {
        '*' => (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| matches(rest, &text[at..])),
        '?' => text.chars().next().is_some_and(|any| matches(rest, &text[any.len_utf8()..])),
        _ => text.strip_prefix(first).is_some_and(|text| matches(rest, text)),
    }
}

/// What a recorded call needs: actions and the resource.
pub(crate) fn needs(call: &Value) -> Vec<(String, String)> {
    let field = |name: &str| call[name].as_str().unwrap_or_default();
    let (service, action, resource) = (field("service"), field("action"), field("resource"));
    let regional = |service: &str, rest: &str| format!("arn:aws:{service}:eu-west-1:{ACCOUNT}:{rest}");
    let one = |action: &str, arn: String| vec![(action.to_owned(), arn)];
    match (service, action) {
        // Each write in a transaction is allowed for itself.
        ("dynamodb", "TransactWriteItems") => {
            one("dynamodb:PutItem", regional("dynamodb", &format!("table/{resource}")))
        }
        ("dynamodb", _) => {
            one(&format!("dynamodb:{action}"), regional("dynamodb", &format!("table/{resource}")))
        }
        ("sqs", _) => {
            one(&format!("sqs:{action}"), regional("sqs", resource.rsplit('/').next().unwrap_or_default()))
        }
        ("s3", _) => one(&format!("s3:{action}"), format!("arn:aws:s3:::{resource}")),
        ("secretsmanager", "ListSecrets") => one("secretsmanager:ListSecrets", "*".to_owned()),
        ("secretsmanager", _) => one(
            &format!("secretsmanager:{action}"),
            regional("secretsmanager", &format!("secret:{resource}-AbCdEf")),
        ),
        ("ecs", "RunTask") => vec![
            ("ecs:RunTask".to_owned(), regional("ecs", &format!("task-definition/{resource}:1"))),
            ("ecs:TagResource".to_owned(), regional("ecs", &format!("task/{}/0123", cluster(resource)))),
        ],
        ("ecs", "ListTasks") => one("ecs:ListTasks", "*".to_owned()),
        ("ecs", "DescribeClusters") => {
            one("ecs:DescribeClusters", regional("ecs", &format!("cluster/{resource}")))
        }
        ("ecs", "StopTask") => one("ecs:StopTask", resource.to_owned()),
        ("ecs", _) => one(&format!("ecs:{action}"), regional("ecs", &format!("task/{resource}/0123"))),
        ("sts", _) => one(&format!("sts:{action}"), resource.to_owned()),
        ("logs", _) => one(
            &format!("logs:{action}"),
            regional("logs", &format!("log-group:{resource}:log-stream:agent/agent/0123")),
        ),
        _ => one(&format!("{service}:{action}"), resource.to_owned()),
    }
}

/// The stack's cluster has the stack's name, with which its task definitions begin.
fn cluster(family: &str) -> &str {
    family.split("-agent-").next().unwrap_or_default()
}

#[test]
fn wildcards_are_iams() {
    for (pattern, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("*", "anything", true),
        ("a*c", "abbc", true),
        ("a*c*e", "abcde", true),
        ("a*c", "abd", false),
        ("a-??", "a-xy", true),
        ("a-??", "a-x", false),
        ("a-??", "a-b-xy", false),
        ("arn:aws:s3:::b/attempts/*/in/*", "arn:aws:s3:::b/attempts/r/j/1/in/tasking.yaml", true),
        ("arn:aws:s3:::b/attempts/*/in/*", "arn:aws:s3:::b/attempts/r/j/1/out/report", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}
