//! Plain pages for people: the runs, a run, its log. No script; readable without the style sheet.
//!
//! They show what the API shows, to who has an API token (as the password of HTTP Basic), and change nothing.

mod html;
mod index;
mod run;

use super::api::logs::{self, LogParams};
use super::api::query::{Params, RunPath};
use super::api::runs::{ListParams, find, read_page};
use super::api::view::ApiRun;
use super::error::ApiError;
use super::{Shared, auth};
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

const STYLE: &str = include_str!("style.css");

pub(super) fn router(state: &Shared) -> Router<Shared> {
    Router::new()
        .route("/", get(list))
        .route("/runs/{id}", get(show))
        .route("/runs/{id}/logs", get(log))
        .route_layer(from_fn_with_state(state.clone(), auth::basic))
        .route("/assets/style.css", get(style))
}

/// An error as a page.
struct PageError(ApiError);

impl<E: Into<ApiError>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut page = html::Html::default();
        index::head(&mut page, "Cloud Code", false);
        page.raw("<main><h1>That did not work</h1><p>")
            .text(&self.0.message)
            .raw("</p></main></body></html>\n");
        (self.0.status, Html(page.finish())).into_response()
    }
}

async fn list(
    State(state): State<Shared>,
    params: Result<Params<ListParams>, ApiError>,
) -> Result<Html<String>, PageError> {
    let page = read_page(&state, params?.0).await?;
    Ok(Html(index::render(&page, state.clock.now())))
}

async fn show(State(state): State<Shared>, id: Result<RunPath, ApiError>) -> Result<Html<String>, PageError> {
    let run = ApiRun::of(&find(&state, &id?.0).await?);
    Ok(Html(run::render(&run, state.clock.now())))
}

async fn log(
    State(state): State<Shared>,
    id: Result<RunPath, ApiError>,
    params: Result<Params<LogParams>, ApiError>,
) -> Result<Response, PageError> {
    let run = find(&state, &id?.0).await?;
    Ok(logs::read(state, &run, &params?.0).await?)
}

async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=3600")],
        STYLE,
    )
}
