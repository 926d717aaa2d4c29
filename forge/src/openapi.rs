//! Checks requests and answers against GitHub's own OpenAPI description (npm package `@octokit/openapi`): is there such
//! an operation, does it take these parameters and this body, may it answer so. It finds both a client that asks for
//! what GitHub does not have, and a forge that answers what GitHub never would.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

use crate::http::{decode, pairs};
use crate::record::ApiRequest;

/// Why the description could not be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenApiError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is no JSON.
    #[error("{path} is not JSON: {source}")]
    Parse {
        /// The file.
        path: String,
        /// The parser's error.
        source: serde_json::Error,
    },
}

/// GitHub's description, ready to check with.
pub struct OpenApi {
    document: Value,
    /// Method, then the path's template cut at its slashes.
    operations: Vec<(String, Vec<String>, Value)>,
    validators: Mutex<HashMap<String, Result<Arc<Validator>, String>>>,
}

impl std::fmt::Debug for OpenApi {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("OpenApi").field("operations", &self.operations.len()).finish_non_exhaustive()
    }
}

/// Where GitHub's description says less than GitHub does: these may be null as well.
const ALSO_NULL: [&str; 1] =
    ["/components/schemas/pull-request-simple/properties/labels/items/properties/description"];

impl OpenApi {
    /// Reads the description from a file such as `api.github.com.json`.
    ///
    /// # Errors
    /// Where the file cannot be read or is no JSON.
    pub fn read(path: &Path) -> Result<Self, OpenApiError> {
        let name = || path.display().to_string();
        let text = std::fs::read(path).map_err(|source| OpenApiError::Read { path: name(), source })?;
        let mut document: Value =
            serde_json::from_slice(&text).map_err(|source| OpenApiError::Parse { path: name(), source })?;
        for place in ALSO_NULL {
            if let Some(schema) = document.pointer_mut(place) {
                schema["nullable"] = json!(true);
            }
        }
        let mut operations = Vec::new();
        for (template, item) in document["paths"].as_object().into_iter().flatten() {
            let cut: Vec<_> = template.trim_matches('/').split('/').map(str::to_owned).collect();
            for (method, operation) in item.as_object().into_iter().flatten() {
                operations.push((method.to_uppercase(), cut.clone(), operation.clone()));
            }
        }
        Ok(Self { document, operations, validators: Mutex::default() })
    }

    /// What is wrong with one request and its answer; nothing for faults and for git.
    #[must_use]
    pub fn check(&self, request: &ApiRequest) -> Vec<String> {
        if request.git || request.faulted {
            return Vec::new();
        }
        let what = format!("{} {} -> {}", request.method, request.path, request.status);
        let Some((name, operation)) = self.operation(&request.method, &request.path) else {
            return vec![format!("{what}: GitHub has no such operation")];
        };
        let mut found = self.check_query(operation, request);
        found.extend(self.check_body(&name, operation, request));
        found.extend(self.check_answer(&name, operation, request));
        found.into_iter().map(|problem| format!("{what}: {problem}")).collect()
    }

    /// The operation with the most literal template that fits.
    fn operation(&self, method: &str, path: &str) -> Option<(String, &Value)> {
        let path: Vec<_> = path.trim_matches('/').split('/').map(decode).collect();
        let fitting =
            self.operations.iter().filter(|(of, template, _)| of == method && fits(template, &path));
        let literal = |template: &[String]| template.iter().filter(|part| !part.starts_with('{')).count();
        let (_, template, operation) = fitting.max_by_key(|(_, template, _)| literal(template))?;
        Some((format!("{method} {}", template.join("/")), operation))
    }

    fn check_query(&self, operation: &Value, request: &ApiRequest) -> Vec<String> {
        let known: BTreeMap<_, _> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|parameter| self.resolved(parameter))
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| Some((parameter["name"].as_str()?, &parameter["schema"])))
            .collect();
        let mut found = Vec::new();
        for (name, value) in pairs(&request.query) {
            match known.get(name.as_str()).map(|schema| self.resolved(schema)) {
                None => found.push(format!("query {name}: not a parameter of this operation")),
                Some(schema) if schema["type"] == "integer" && value.parse::<i64>().is_err() => {
                    found.push(format!("query {name}: {value:?} is not an integer"));
                }
                Some(schema) => {
                    let allowed = schema["enum"].as_array();
                    if allowed.is_some_and(|allowed| !allowed.iter().any(|one| one == value.as_str())) {
                        found.push(format!("query {name}: {value:?} is not one of {}", schema["enum"]));
                    }
                }
            }
        }
        found
    }

    fn check_body(&self, name: &str, operation: &Value, request: &ApiRequest) -> Vec<String> {
        let described = self.resolved(&operation["requestBody"]);
        let schema = &described["content"]["application/json"]["schema"];
        if request.body.is_empty() {
            let missing = described["required"] == true;
            return if missing { vec!["the body is missing".into()] } else { Vec::new() };
        }
        let Ok(body) = serde_json::from_str::<Value>(&request.body) else {
            return vec!["the body is not JSON".into()];
        };
        if schema.is_null() {
            let empty = body.as_object().is_some_and(Map::is_empty) || body.is_null();
            return if empty { Vec::new() } else { vec!["the operation takes no body".into()] };
        }
        let mut found = Vec::new();
        // A field that GitHub does not know is a typing error, though JSON Schema would let it pass.
        if let (Some(known), Some(fields)) =
            (self.resolved(schema)["properties"].as_object(), body.as_object())
        {
            let unknown = fields.keys().filter(|field| !known.contains_key(*field));
            found.extend(unknown.map(|field| format!("request body: no such field: {field}")));
        }
        found.extend(self.validate(&format!("{name} request"), schema, &body, "request body"));
        found
    }

    fn check_answer(&self, name: &str, operation: &Value, request: &ApiRequest) -> Vec<String> {
        let status = request.status.to_string();
        let described = self.resolved(&operation["responses"][&status]);
        if described.is_null() && request.status < 400 {
            return vec!["GitHub does not describe this status".into()];
        }
        let content = &described["content"];
        if content.is_null() && request.status < 400 {
            let empty = request.response.is_empty();
            return if empty { Vec::new() } else { vec!["the answer must be empty".into()] };
        }
        if !request.response_type.starts_with("application/json") {
            let text = request.status < 400 && !request.response_type.is_empty();
            return if text { Vec::new() } else { vec!["the answer is not JSON".into()] };
        }
        let Ok(body) = serde_json::from_str::<Value>(&request.response) else {
            return vec!["the answer is not JSON".into()];
        };
        let error = json!({ "$ref": "#/components/schemas/basic-error" });
        let schema = if content.is_null() { &error } else { &content["application/json"]["schema"] };
        self.validate(&format!("{name} {status}"), schema, &body, "answer")
    }

    fn validate(&self, key: &str, schema: &Value, body: &Value, what: &str) -> Vec<String> {
        let validator = {
            let mut kept = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
            kept.entry(key.to_owned()).or_insert_with(|| self.compile(schema).map(Arc::new)).clone()
        };
        match validator {
            Err(error) => vec![format!("the schema of the {what} cannot be used: {error}")],
            Ok(validator) => {
                let errors = validator.iter_errors(body);
                errors
                    .map(|error| format!("{what}{}: {}", error.instance_path(), short(&error.to_string())))
                    .collect()
            }
        }
    }

    /// Makes a validator of a schema and all that it refers to.
    fn compile(&self, schema: &Value) -> Result<Validator, String> {
        let mut components = Map::new();
        let mut open = vec![schema.clone()];
        while let Some(next) = open.pop() {
            for name in references(&next) {
                if !components.contains_key(&name) {
                    let referred = self.document["components"]["schemas"][&name].clone();
                    components.insert(name, to_json_schema(&referred));
                    open.push(referred);
                }
            }
        }
        let whole = json!({ "allOf": [to_json_schema(schema)], "components": { "schemas": components } });
        let options = jsonschema::options().with_draft(Draft::Draft4).should_validate_formats(true);
        options.build(&whole).map_err(|error| error.to_string())
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"]
            .as_str()
            .and_then(|reference| self.document.pointer(reference.trim_start_matches('#')))
        {
            Some(found) => self.resolved(found),
            None => value,
        }
    }
}

/// Whether a path fits a template. `{path}` and `{ref}` at the end take slashes too.
fn fits(template: &[String], path: &[String]) -> bool {
    match (template.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((part, [])), Some(_)) if ["{path}", "{ref}", "{branch}"].contains(&part.as_str()) => true,
        (Some((part, rest)), Some((segment, segments))) => {
            (part.starts_with('{') && !segment.is_empty() || part == segment) && fits(rest, segments)
        }
        _ => false,
    }
}

/// Names of the component schemas that a schema refers to.
fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str).and_then(|text| text.rsplit('/').next());
            own.map(str::to_owned).into_iter().chain(fields.values().flat_map(references)).collect()
        }
        _ => Vec::new(),
    }
}

/// OpenAPI 3.0's dialect in JSON Schema: `nullable` becomes a type of its own. `oneOf` becomes `anyOf`, because GitHub's
/// alternatives overlap.
fn to_json_schema(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => Value::Array(items.iter().map(to_json_schema).collect()),
        Value::Object(fields) => {
            let mut out = Map::new();
            for (name, value) in fields {
                match name.as_str() {
                    "nullable" | "discriminator" | "example" | "examples" | "description" | "title"
                    | "default"
                        if !value.is_object()
                            || name.starts_with("example")
                            || name == "discriminator"
                            || name == "default" => {}
                    "oneOf" => {
                        out.insert("anyOf".into(), to_json_schema(value));
                    }
                    "enum" => {
                        out.insert("enum".into(), value.clone());
                    }
                    _ => {
                        out.insert(name.clone(), to_json_schema(value));
                    }
                }
            }
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                return json!({ "anyOf": [Value::Object(out), { "type": "null" }] });
            }
            Value::Object(out)
        }
        other => other.clone(),
    }
}

/// Errors print the whole instance; a line is enough.
fn short(text: &str) -> String {
    if text.chars().count() <= 300 {
        return text.to_owned();
    }
    let start: String = text.chars().take(140).collect();
    let skipped = text.chars().count() - 280;
    let end: String = text.chars().skip(skipped + 140).collect();
    format!("{start} … {end}")
}
