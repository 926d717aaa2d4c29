//! Is there a trigger, what does it ask for, and may this actor?

use super::payload::Payload;
use super::repository_of;
use crate::app::{App, AppError, schedules};
use crate::ports::{Delivery, ForgeError, Issue, Source};
use cloud_code_model::command::{self, Command};
use cloud_code_model::run::Repository;
use cloud_code_model::workflow::plan::Event;
use jiff::Timestamp;
use serde_json::Map;

/// Something that asks for a run, or something of one; not yet known whether it may.
#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) repository: Repository,
    /// The issue or pull request; 0 where the event has none.
    pub(super) number: u64,
    pub(super) actor: String,
    pub(super) by_bot: bool,
    /// Whether its time has come, and nobody in particular wanted it. The files on the default branch, which only people with write access
    /// change, have said that it may.
    pub(super) by_clock: bool,
    pub(super) event: Event,
    /// The workflow that a command names.
    pub(super) chosen: Option<String>,
    /// Whether a person typed it.
    pub(super) command: bool,
    /// Whether nobody asked for anything: whoever caused the event need not know that there are workflows.
    pub(super) passive: bool,
    pub(super) wish: Wish,
    pub(super) at: Option<Timestamp>,
    /// The same for an event that was sent again under another delivery id.
    pub(super) semantic_key: String,
}

/// What a trigger asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    Start {
        instructions: Option<String>,
    },
    /// Words for whoever is at work; where nobody is, a start.
    Also {
        comment: u64,
        words: String,
    },
    Cancel {
        force: bool,
    },
    Review {
        job: Option<String>,
        approve: bool,
    },
    Rerun {
        all: bool,
    },
    /// A mistyped command.
    Unknown(String),
}

/// What shall be done about a trigger.
pub(super) enum Verdict {
    Start(Issue),
    /// Anything else that the trigger asks for.
    Do,
    Refuse(String),
}

/// Events that start workflows though nobody addressed us.
const PASSIVE: [&str; 12] = [
    "create",
    "delete",
    "discussion",
    "issues",
    "milestone",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "release",
    "repository_dispatch",
    "workflow_dispatch",
];

/// Reads the trigger, without asking anybody. `Err` is the reason why the delivery is dropped.
pub(super) fn trigger(app: &App, delivery: &Delivery, payload: &Payload) -> Result<Trigger, String> {
    let (event, action) = (delivery.event.as_str(), payload.action.as_str());
    let addressed = matches!((event, action), ("issues", "labeled") | ("issue_comment", "created"));
    let by_clock = delivery.source == Source::Ourselves && event == schedules::DUE;
    if !addressed && !by_clock && !PASSIVE.contains(&event) {
        return Err(nothing_starts(event, action));
    }
    let missing = |what: &str| format!("the payload of `{event}` has no `{what}`");
    let repository = repository_of(payload).ok_or_else(|| missing("repository"))?;
    let sender = payload.sender.as_ref().ok_or_else(|| missing("sender"))?;
    if !by_clock && sender.login.eq_ignore_ascii_case(&app.forge.own_login()) {
        return Err("our own doing".to_owned());
    }
    let issue = payload.issue.as_ref();
    if addressed && issue.is_none() {
        return Err(missing("issue"));
    }
    let pull = payload.pull_request.as_ref();
    let number = issue.map(|issue| issue.number).or(pull.map(|pull| pull.number)).unwrap_or(0);
    let updated = issue.map(|issue| issue.updated_at.as_str()).or(pull.map(|pull| pull.updated_at.as_str()));
    // Without a time every later event of the issue would be taken for this one.
    let moment = updated.filter(|at| !at.is_empty()).unwrap_or(&delivery.id);
    let full_name = repository.full_name();
    let base = |detail: &str| format!("{full_name}#{number} {event} {action} {detail}");
    let mut trigger = Trigger {
        semantic_key: base(moment),
        number,
        actor: sender.login.clone(),
        by_bot: sender.kind != "User",
        by_clock,
        event: Event::new(event, serde_json::from_str(delivery.payload.get()).unwrap_or_default()),
        chosen: None,
        command: false,
        passive: !addressed,
        wish: Wish::Start { instructions: None },
        at: None,
        repository,
    };
    match (event, action) {
        ("issues", "labeled") => {
            let label = payload.label.as_ref().ok_or_else(|| missing("label"))?;
            if !label.name.eq_ignore_ascii_case(&app.settings.label) {
                return Err(format!("the label `{}` starts nothing", label.name));
            }
        }
        ("issue_comment", "created") => {
            let comment = payload.comment.as_ref().ok_or_else(|| missing("comment"))?;
            let body = comment.body.as_deref().unwrap_or_default();
            trigger.wish = match command::parse(body) {
                None => return Err("the comment does not begin with /cloud-code".to_owned()),
                Some(Command::Run { instructions }) => Wish::Start { instructions: Some(instructions) },
                Some(Command::Dispatch { workflow, inputs, instructions }) => {
                    trigger.event = dispatched(&trigger.event, &workflow, inputs);
                    trigger.chosen = Some(workflow);
                    Wish::Start { instructions: Some(instructions) }
                }
                Some(Command::Also { words }) => Wish::Also { comment: comment.id, words },
                Some(Command::Cancel { force }) => Wish::Cancel { force },
                Some(Command::Approve { job }) => Wish::Review { job, approve: true },
                Some(Command::Reject { job }) => Wish::Review { job, approve: false },
                Some(Command::Rerun { all }) => Wish::Rerun { all },
                Some(Command::Unknown { word }) => Wish::Unknown(word),
            };
            trigger.command = true;
            trigger.at = comment.created_at;
            trigger.semantic_key = base(&format!("comment {}", comment.id));
        }
        _ => {}
    }
    Ok(trigger)
}

/// The event of a comment that names a workflow: its `workflow_dispatch`, about the issue.
fn dispatched(event: &Event, workflow: &str, inputs: Vec<(String, String)>) -> Event {
    let mut payload = event.payload.clone();
    payload["workflow"] = workflow.into();
    payload["inputs"] =
        inputs.into_iter().map(|(name, value)| (name, value.into())).collect::<Map<_, _>>().into();
    Event { action: String::new(), ..Event::new("workflow_dispatch", payload) }
}

/// Why an event is ignored that no workflow names.
pub(super) fn nothing_starts(event: &str, action: &str) -> String {
    if action.is_empty() {
        format!("nothing starts on `{event}`")
    } else {
        format!("nothing starts on `{event}` `{action}`")
    }
}

/// Asks the forge whether this actor may, on this issue.
pub(super) async fn verdict(app: &App, trigger: &Trigger) -> Result<Verdict, AppError> {
    let refuse = |reason: &str| Ok(Verdict::Refuse(reason.to_owned()));
    let allowed_bot = app.settings.allowed_bots.iter().any(|bot| bot.eq_ignore_ascii_case(&trigger.actor));
    if trigger.by_bot && !allowed_bot && !trigger.by_clock {
        return refuse("bots may not start runs");
    }
    if !trigger.by_bot && !trigger.by_clock {
        let permission = match app.forge.permission(&trigger.repository, &trigger.actor).await {
            Ok(permission) => permission,
            Err(error) => return refuse_for_good(error),
        };
        if !permission.may_start() {
            return refuse("only people with write access to this repository may do this");
        }
    }
    match &trigger.wish {
        Wish::Unknown(word) => {
            let known: Vec<_> = command::KNOWN.iter().map(|word| format!("`/cloud-code {word}`")).collect();
            let known = known.join(", ");
            return Ok(Verdict::Refuse(match word.as_str() {
                "" => format!("there is no command; known are {known}"),
                word => format!("`{word}` is no command; known are {known}"),
            }));
        }
        Wish::Cancel { .. } | Wish::Review { .. } | Wish::Rerun { .. } => return Ok(Verdict::Do),
        Wish::Also { words, .. } if words.is_empty() => {
            return refuse("there are no words; say `/cloud-code also` and what is to be done");
        }
        Wish::Start { .. } | Wish::Also { .. } => {}
    }
    let issue = match trigger.number {
        0 => no_issue(&trigger.event, &trigger.actor),
        number => match app.forge.issue(&trigger.repository, number).await {
            Ok(issue) => issue,
            Err(error) => return refuse_for_good(error),
        },
    };
    if !issue.open && !trigger.passive {
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

/// What stands for the issue of a run that is about none.
pub(super) fn no_issue(event: &Event, actor: &str) -> Issue {
    Issue {
        number: 0,
        title: event.name.replace('_', " "),
        body: String::new(),
        author: actor.to_owned(),
        url: String::new(),
        open: true,
        is_pull: false,
        from_fork: false,
        branches: None,
        labels: Vec::new(),
    }
}

/// An answer that will not change is a refusal; no answer is tried again.
fn refuse_for_good(error: ForgeError) -> Result<Verdict, AppError> {
    if !error.is_final() {
        return Err(error.into());
    }
    Ok(Verdict::Refuse(format!("the forge did not let us look: {error}")))
}
