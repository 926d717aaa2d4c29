//! Is there a trigger, and may this actor?

use super::payload::Payload;
use super::repository_of;
use crate::app::{App, AppError};
use crate::ports::{Delivery, ForgeError, Issue};
use cloud_code_model::command::{self, Command};
use cloud_code_model::run::Repository;
use cloud_code_model::workflow::EventKind;
use jiff::Timestamp;

/// Something that asks for a run, or for the end of one; not yet known whether it may.
#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) repository: Repository,
    pub(super) number: u64,
    pub(super) actor: String,
    pub(super) by_bot: bool,
    pub(super) kind: EventKind,
    /// Whether a person typed it.
    pub(super) command: bool,
    pub(super) cancel: bool,
    /// A mistyped command.
    pub(super) unknown: Option<String>,
    pub(super) instructions: Option<String>,
    pub(super) at: Option<Timestamp>,
    /// The same for an event that was sent again under another delivery id.
    pub(super) semantic_key: String,
}

/// What shall be done about a trigger.
pub(super) enum Verdict {
    Start(Issue),
    Cancel,
    Refuse(String),
}

/// Reads the trigger, without asking anybody. `Err` is the reason why the delivery is dropped.
pub(super) fn trigger(app: &App, delivery: &Delivery, payload: &Payload) -> Result<Trigger, String> {
    let (event, action) = (delivery.event.as_str(), payload.action.as_str());
    let kind = match (event, action) {
        ("issues", "labeled") => EventKind::IssueLabeled,
        ("issue_comment", "created") => EventKind::IssueCommented,
        _ if action.is_empty() => return Err(format!("nothing starts on `{event}`")),
        _ => return Err(format!("nothing starts on `{event}` `{action}`")),
    };
    let missing = |what: &str| format!("the payload of `{event}` has no `{what}`");
    let repository = repository_of(payload).ok_or_else(|| missing("repository"))?;
    let issue = payload.issue.as_ref().ok_or_else(|| missing("issue"))?;
    let sender = payload.sender.as_ref().ok_or_else(|| missing("sender"))?;
    if sender.login.eq_ignore_ascii_case(&app.forge.own_login()) {
        return Err("our own doing".to_owned());
    }
    let full_name = repository.full_name();
    let base = |detail: &str| format!("{full_name}#{} {event} {action} {detail}", issue.number);
    let mut trigger = Trigger {
        semantic_key: String::new(),
        number: issue.number,
        actor: sender.login.clone(),
        by_bot: sender.kind != "User",
        kind,
        command: false,
        cancel: false,
        unknown: None,
        instructions: None,
        at: None,
        repository,
    };
    match kind {
        EventKind::IssueLabeled => {
            let label = payload.label.as_ref().ok_or_else(|| missing("label"))?;
            if !label.name.eq_ignore_ascii_case(&app.settings.label) {
                return Err(format!("the label `{}` starts nothing", label.name));
            }
            // Without a time every later labelling of the issue would be taken for this one.
            let at = if issue.updated_at.is_empty() { &delivery.id } else { &issue.updated_at };
            trigger.semantic_key = base(at);
        }
        EventKind::IssueCommented => {
            let comment = payload.comment.as_ref().ok_or_else(|| missing("comment"))?;
            let body = comment.body.as_deref().unwrap_or_default();
            match command::parse(body) {
                None => return Err("the comment does not begin with /cloud-code".to_owned()),
                Some(Command::Run { instructions }) => trigger.instructions = Some(instructions),
                Some(Command::Cancel) => trigger.cancel = true,
                Some(Command::Unknown { word }) => trigger.unknown = Some(word),
            }
            trigger.command = true;
            trigger.at = comment.created_at;
            trigger.semantic_key = base(&format!("comment {}", comment.id));
        }
    }
    Ok(trigger)
}

/// Asks the forge whether this actor may, on this issue.
pub(super) async fn verdict(app: &App, trigger: &Trigger) -> Result<Verdict, AppError> {
    let refuse = |reason: &str| Ok(Verdict::Refuse(reason.to_owned()));
    let allowed_bot = app.settings.allowed_bots.iter().any(|bot| bot.eq_ignore_ascii_case(&trigger.actor));
    if trigger.by_bot && !allowed_bot {
        return refuse("bots may not start runs");
    }
    if !trigger.by_bot {
        let permission = match app.forge.permission(&trigger.repository, &trigger.actor).await {
            Ok(permission) => permission,
            Err(error) => return refuse_for_good(error),
        };
        if !permission.may_start() {
            return refuse("only people with write access to this repository may do this");
        }
    }
    if let Some(word) = &trigger.unknown {
        let known = command::KNOWN
            .iter()
            .map(|word| format!("`/cloud-code {word}`"))
            .collect::<Vec<_>>()
            .join(" and ");
        return Ok(Verdict::Refuse(match word.as_str() {
            "" => format!("there is no command; known are {known}"),
            word => format!("`{word}` is no command; known are {known}"),
        }));
    }
    if trigger.cancel {
        return Ok(Verdict::Cancel);
    }
    let issue = match app.forge.issue(&trigger.repository, trigger.number).await {
        Ok(issue) => issue,
        Err(error) => return refuse_for_good(error),
    };
    if !issue.open {
        return refuse("the issue is closed");
    }
    if issue.from_fork {
        return refuse("the pull request comes from a fork: its content is not trusted with a run");
    }
    match app.forge.repository(&trigger.repository).await {
        Ok(info) if info.read_only => refuse("the repository is archived"),
        Ok(_) => Ok(Verdict::Start(issue)),
        Err(error) => refuse_for_good(error),
    }
}

/// An answer that will not change is a refusal; no answer is tried again.
fn refuse_for_good(error: ForgeError) -> Result<Verdict, AppError> {
    if error.may_heal() || matches!(error, ForgeError::Unauthorized(_)) {
        return Err(error.into());
    }
    Ok(Verdict::Refuse(format!("the forge did not let us look: {error}")))
}
