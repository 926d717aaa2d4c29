//! `/api/v1`: what the console and `cloud-code runs` read, for holders of a token; described by OpenAPI.

mod actions;
mod cancel;
mod decisions;
pub mod dispatch;
pub mod logs;
pub(super) mod query;
pub(super) mod runs;
pub mod view;
mod views_of;

pub use super::error::{ErrorBody, ErrorDetail};
use super::{Shared, auth};
use axum::Router;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const BASE: &str = "/api/v1";

#[derive(OpenApi)]
#[openapi(
    info(title = "Cloud Code", description = "Runs that turn issues into pull requests: read them, start them, cancel them, approve them, run them again."),
    components(schemas(ErrorBody, ErrorDetail)),
    modifiers(&Token),
    tags((name = "runs", description = "Runs and what is left of them"), (name = "decisions", description = "Why a delivery started a run, or none"))
)]
struct Document;

struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("One of the server's API tokens"));
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(scheme.build()));
    }
}

fn documented() -> OpenApiRouter<Shared> {
    let routes = OpenApiRouter::new()
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(logs::logs))
        .routes(routes!(logs::transcript))
        .routes(routes!(cancel::cancel))
        .routes(routes!(actions::cancel_job))
        .routes(routes!(actions::approve))
        .routes(routes!(actions::reject))
        .routes(routes!(actions::rerun))
        .routes(routes!(dispatch::dispatch))
        .routes(routes!(decisions::list));
    OpenApiRouter::with_openapi(Document::openapi()).nest(BASE, routes)
}

/// The API's description, as `/api/v1/openapi.json` serves it.
///
/// # Errors
/// Never in practice: the description can be written as JSON.
pub fn openapi() -> Result<String, serde_json::Error> {
    let (_, document) = documented().split_for_parts();
    document.to_pretty_json().map(|text| text + "\n")
}

pub(super) fn router(state: &Shared) -> Router<Shared> {
    let (routes, _) = documented().split_for_parts();
    let described = openapi().unwrap_or_else(|error| {
        tracing::error!(%error, "the API's description can't be written");
        "{}".to_owned()
    });
    let describe = async move || ([(header::CONTENT_TYPE, "application/json")], described);
    routes
        .route_layer(from_fn_with_state(state.clone(), auth::bearer))
        .route(&format!("{BASE}/openapi.json"), get(describe))
}
