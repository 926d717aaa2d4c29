//! The app's own part: itself, its installations, their tokens, its webhook deliveries; users and rate limits.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::call::texts;
use super::{Answer, ApiError, Call, Caller, Reply};
use crate::clock::rfc3339;
use crate::keys;
use crate::state::{Access, Permissions, Token};
use crate::webhooks::Delivery;

/// An installation token lives this long.
const TOKEN_LIFE_SECONDS: i64 = 3_600;

pub(super) fn route(call: &mut Call<'_>, method: &str, path: &[&str]) -> Answer {
    call.need_app()?;
    match (method, path) {
        ("GET", []) => {
            let mut body = call.world.app_json();
            body["installations_count"] = json!(call.world.installations.len());
            Ok(Reply::ok(&body))
        }
        ("GET", ["installations"]) => {
            let all = call.world.installations.values();
            let listed = all.map(|installation| call.world.installation_json(installation)).collect();
            Ok(call.page(listed))
        }
        ("GET", ["installations", id]) => {
            let found = id.parse().ok().and_then(|id: u64| call.world.installations.get(&id));
            let found = found.ok_or_else(ApiError::not_found)?;
            Ok(Reply::ok(&call.world.installation_json(found)))
        }
        ("POST", ["installations", id, "access_tokens"]) => mint(call, id),
        ("GET", ["hook", "deliveries"]) => deliveries(call),
        ("GET", ["hook", "deliveries", id]) => {
            let delivery = find_delivery(call, id)?;
            Ok(Reply::ok(&delivery_json(&delivery, true)))
        }
        ("POST", ["hook", "deliveries", id, "attempts"]) => {
            let delivery = find_delivery(call, id)?;
            let copy = call.world.copy_delivery(delivery.id)?;
            call.world.outbox.push(copy);
            Ok(Reply::json(202, &json!({})))
        }
        _ => Err(ApiError::not_found()),
    }
}

fn mint(call: &mut Call<'_>, id: &str) -> Answer {
    let found = id.parse().ok().and_then(|id: u64| call.world.installations.get(&id)).cloned();
    let installation = found.ok_or_else(ApiError::not_found)?;
    if installation.suspended_at.is_some() {
        return Err(ApiError::new(403, "This installation has been suspended"));
    }
    let mut chosen: Option<BTreeSet<u64>> = None;
    let unknown = || {
        ApiError::new(
            422,
            "There is at least one repository that does not exist or is not accessible to the parent installation.",
        )
    };
    for name in call.texts("repositories")?.unwrap_or_default() {
        let full_name = format!("{}/{name}", installation.account);
        let repo = call.world.repo(&full_name).map_err(|_| unknown())?.id;
        chosen.get_or_insert_default().insert(repo);
    }
    if let Some(ids) = call.body.get("repository_ids").and_then(Value::as_array) {
        for id in ids {
            let id = id.as_u64().ok_or_else(|| ApiError::schema("repository_ids must be integers."))?;
            chosen.get_or_insert_default().insert(id);
        }
    }
    if chosen.as_ref().is_some_and(|ids| !ids.is_subset(&installation.repositories)) {
        return Err(unknown());
    }
    let permissions = narrowed(&call.body, &installation.permissions)?;
    let now = call.world.now();
    let expires = now.as_second() + TOKEN_LIFE_SECONDS;
    let token = Token {
        secret: keys::token_secret()?,
        installation: installation.id,
        repositories: chosen,
        permissions,
        expires_at: jiff::Timestamp::from_second(expires).unwrap_or(now),
    };
    let body = call.world.token_json(&token);
    call.world.tokens.insert(token.secret.clone(), token);
    Ok(Reply::json(201, &body))
}

/// The permissions asked for, if the installation has each of them; all of its own where none were named.
fn narrowed(body: &Value, granted: &Permissions) -> Result<Permissions, ApiError> {
    let Some(asked) = body.get("permissions").filter(|asked| !asked.is_null()) else {
        return Ok(granted.clone());
    };
    let asked = asked.as_object().ok_or_else(|| ApiError::schema("permissions must be an object."))?;
    let mut narrowed = Permissions::new();
    for (name, access) in asked {
        let wrong = || ApiError::schema(format!("For 'permissions/{name}', {access} is not a permission."));
        let access = access.as_str().and_then(Access::parse).ok_or_else(wrong)?;
        if granted.get(name).is_none_or(|have| *have < access) {
            return Err(ApiError::new(
                422,
                "The permissions requested are not granted to this installation.",
            ));
        }
        narrowed.insert(name.clone(), access);
    }
    if !narrowed.is_empty() {
        narrowed.entry("metadata".into()).or_insert(Access::Read);
    }
    Ok(if narrowed.is_empty() { granted.clone() } else { narrowed })
}

fn find_delivery(call: &Call<'_>, id: &str) -> Result<Delivery, ApiError> {
    let found = id.parse().ok().and_then(|id: u64| call.world.deliveries.iter().find(|found| found.id == id));
    found.cloned().ok_or_else(ApiError::not_found)
}

/// Newest first, by cursor: the id of the last one shown.
fn deliveries(call: &Call<'_>) -> Answer {
    let size = call.query("per_page").and_then(|text| text.parse::<usize>().ok()).unwrap_or(30).clamp(1, 100);
    let cursor: u64 = call.query("cursor").and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
    let wanted = call.query("status").unwrap_or_default().to_owned();
    let fits = |delivery: &&Delivery| {
        let failed = delivery.outcome.as_ref().is_some_and(|outcome| outcome.status != "OK");
        match wanted.as_str() {
            "success" => delivery.outcome.is_some() && !failed,
            "failure" => failed,
            _ => delivery.outcome.is_some(),
        }
    };
    let newest = call.world.deliveries.iter().rev().filter(|delivery| delivery.id < cursor);
    let mut shown: Vec<_> = newest.filter(fits).take(size + 1).collect();
    let more = shown.len() > size;
    shown.truncate(size);
    let body = shown.iter().map(|delivery| delivery_json(delivery, false)).collect();
    let reply = Reply::ok(&Value::Array(body));
    Ok(match shown.last() {
        Some(last) if more => {
            let (api, last) = (&call.world.urls.api, last.id);
            let kept = if wanted.is_empty() { String::new() } else { format!("&status={wanted}") };
            let next = format!("{api}/app/hook/deliveries?per_page={size}{kept}&cursor={last}");
            reply.header("link", format!("<{next}>; rel=\"next\""))
        }
        _ => reply,
    })
}

fn delivery_json(delivery: &Delivery, full: bool) -> Value {
    let outcome = delivery.outcome.as_ref();
    let mut body = json!({
        "id": delivery.id,
        "guid": delivery.guid,
        "delivered_at": rfc3339(delivery.at),
        "redelivery": delivery.redelivery,
        "duration": outcome.map_or(0.0, |outcome| outcome.duration.as_secs_f64()),
        "status": outcome.map_or("pending", |outcome| outcome.status.as_str()),
        "status_code": outcome.map_or(0, |outcome| outcome.status_code),
        "event": delivery.event,
        "action": delivery.action,
        "installation_id": delivery.installation,
        "repository_id": delivery.repository,
        "throttled_at": null,
    });
    if full {
        let sent = outcome.map(|outcome| outcome.request_headers.as_slice()).unwrap_or_default();
        let headers: serde_json::Map<_, _> =
            sent.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        body["url"] = json!("");
        body["request"] = json!({ "headers": headers, "payload": delivery.json() });
        body["response"] = json!({ "headers": {}, "payload": outcome.map(|outcome| &outcome.response) });
    }
    body
}

pub(super) fn installation_repositories(call: &mut Call<'_>) -> Answer {
    let Caller::Installation(token) = &call.caller else { return Err(ApiError::bad_credentials()) };
    let world = &call.world;
    let reached = world.repos.values().filter(|repo| super::call::reaches(world, token, repo.id));
    let listed = reached.map(|repo| world.repo_json(repo)).collect();
    Ok(call.counted_page("repositories", listed))
}

pub(super) fn user(call: &mut Call<'_>, login: &str) -> Answer {
    let user = call.world.user(login).ok_or_else(ApiError::not_found)?;
    Ok(Reply::ok(&call.world.public_user_json(user)))
}

pub(super) fn rate_limit(call: &mut Call<'_>) -> Answer {
    let (limit, used, reset) = call.world.rate(&call.caller);
    let core =
        json!({ "limit": limit, "used": used, "remaining": limit.saturating_sub(used), "reset": reset });
    let search = json!({ "limit": 30, "used": 0, "remaining": 30, "reset": reset });
    Ok(Reply::ok(&json!({ "resources": { "core": core, "search": search }, "rate": core })))
}

/// For the lists that some bodies are by themselves.
pub(super) fn names_in(body: &Value, field: &str) -> Result<Vec<String>, ApiError> {
    let list = body.get(field).unwrap_or(body);
    if let Some(items) = list.as_array()
        && items.iter().all(Value::is_object)
    {
        let wrong = || ApiError::schema(format!("For 'properties/{field}', each item needs a name."));
        return items
            .iter()
            .map(|item| item.get("name").and_then(Value::as_str).map(str::to_owned).ok_or_else(wrong))
            .collect();
    }
    texts(field, list)
}
