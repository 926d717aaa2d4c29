//! Answers and errors in GitHub's form.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::error::ForgeError;

/// An answer on its way out.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) media: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

pub(crate) const JSON: &str = "application/json; charset=utf-8";

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, media: JSON, headers: Vec::new(), body: body.to_string().into() }
    }

    pub(crate) fn ok(body: &Value) -> Self {
        Self::json(200, body)
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, media: "", headers: Vec::new(), body: Bytes::new() }
    }

    pub(crate) fn text(status: u16, media: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, media, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An error as GitHub words it.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) message: String,
    pub(crate) errors: Option<Value>,
}

impl ApiError {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), errors: None }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(404, "Not Found")
    }

    pub(crate) fn bad_credentials() -> Self {
        Self::new(401, "Bad credentials")
    }

    pub(crate) fn not_accessible() -> Self {
        Self::new(403, "Resource not accessible by integration")
    }

    /// 422 `Validation Failed` with one error in the list.
    pub(crate) fn invalid(resource: &str, field: &str, code: &str, message: Option<&str>) -> Self {
        let mut error = json!({ "resource": resource, "code": code });
        if !field.is_empty() {
            error["field"] = json!(field);
        }
        if let Some(message) = message {
            error["message"] = json!(message);
        }
        Self { status: 422, message: "Validation Failed".into(), errors: Some(json!([error])) }
    }

    /// 422 `Invalid request.` as the schema check in front of GitHub's handlers words it.
    pub(crate) fn schema(message: impl std::fmt::Display) -> Self {
        Self::new(422, format!("Invalid request.\n\n{message}"))
    }

    pub(crate) fn into_reply(self) -> Reply {
        let mut body = json!({ "message": self.message });
        if let Some(errors) = self.errors {
            body["errors"] = errors;
        }
        body["documentation_url"] = json!("https://docs.github.com/rest");
        body["status"] = json!(self.status.to_string());
        Reply::json(self.status, &body)
    }
}

impl From<ForgeError> for ApiError {
    fn from(error: ForgeError) -> Self {
        match error {
            ForgeError::NotFound(_) => Self::not_found(),
            ForgeError::Refused(message) => Self::new(422, message),
            other => {
                tracing::error!(error = %other, "the forge failed to serve a request");
                Self::new(500, other.to_string())
            }
        }
    }
}

impl From<git2::Error> for ApiError {
    fn from(error: git2::Error) -> Self {
        ForgeError::from(error).into()
    }
}
