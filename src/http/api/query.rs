//! Reads query strings and run ids; what is wrong with them is said with what and where.

use crate::http::error::ApiError;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use cloud_code_model::ids::RunId;
use serde::de::DeserializeOwned;

/// A query string as a `T`, unknown names refused by `T` itself.
pub(in crate::http) struct Params<T>(pub(in crate::http) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => {
                let reason = std::error::Error::source(&rejection)
                    .map_or_else(|| rejection.to_string(), ToString::to_string);
                Err(ApiError::bad_request(format!("in the query string: {reason}")))
            }
        }
    }
}

/// The run that the path names. A text that can't be a run's id names no run.
pub(in crate::http) struct RunPath(pub(in crate::http) RunId);

impl<S: Send + Sync> FromRequestParts<S> for RunPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|Path(text)| RunId::parse(&text));
        id.map(Self)
            .ok_or_else(|| ApiError::not_found("there is no such run; an id is r- and 20 hexadecimal digits"))
    }
}
