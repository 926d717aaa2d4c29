//! Events: their activity types and filters, and what stands under `on`.

use super::uses::Uses;
use super::{
    ANYTHING, FLAG, Key, Map, NAME, NAME_OR_NAMES, NAMES, NULL, NUMBER, Place, Shape, TEXT, TEXTS, key, map,
    named, place, required, with,
};

/// Every event and its activity types. Other forges' and newer events are unknown to GitHub's reader as well.
pub(in crate::workflow) const EVENTS: &[(&str, &[&str])] = &[
    ("branch_protection_rule", &["created", "edited", "deleted"]),
    ("check_run", &["created", "rerequested", "completed", "requested_action"]),
    ("check_suite", &["completed"]),
    ("create", &[]),
    ("delete", &[]),
    ("deployment", &[]),
    ("deployment_status", &[]),
    (
        "discussion",
        &[
            "created",
            "edited",
            "deleted",
            "transferred",
            "pinned",
            "unpinned",
            "labeled",
            "unlabeled",
            "locked",
            "unlocked",
            "category_changed",
            "answered",
            "unanswered",
        ],
    ),
    ("discussion_comment", &["created", "edited", "deleted"]),
    ("fork", &[]),
    ("gollum", &[]),
    ("image_version", &["created", "ready", "deleted"]),
    ("issue_comment", &["created", "edited", "deleted"]),
    (
        "issues",
        &[
            "opened",
            "edited",
            "deleted",
            "transferred",
            "pinned",
            "unpinned",
            "closed",
            "reopened",
            "assigned",
            "unassigned",
            "labeled",
            "unlabeled",
            "locked",
            "unlocked",
            "milestoned",
            "demilestoned",
            "field_added",
            "field_removed",
            "typed",
            "untyped",
        ],
    ),
    ("label", &["created", "edited", "deleted"]),
    ("merge_group", &["checks_requested"]),
    ("milestone", &["created", "closed", "opened", "edited", "deleted"]),
    ("page_build", &[]),
    ("project", &["created", "closed", "reopened", "edited", "deleted"]),
    ("project_card", &["created", "moved", "converted", "edited", "deleted"]),
    ("project_column", &["created", "updated", "moved", "deleted"]),
    ("public", &[]),
    ("pull_request", PULL_REQUEST_TYPES),
    ("pull_request_comment", &["created", "edited", "deleted"]),
    ("pull_request_review", &["submitted", "edited", "dismissed"]),
    ("pull_request_review_comment", &["created", "edited", "deleted"]),
    ("pull_request_target", PULL_REQUEST_TYPES),
    ("push", &[]),
    ("registry_package", &["published", "updated"]),
    ("release", &["published", "unpublished", "created", "edited", "deleted", "prereleased", "released"]),
    ("repository_dispatch", &[]),
    ("schedule", &[]),
    ("status", &[]),
    ("watch", &["started"]),
    ("workflow_call", &[]),
    ("workflow_dispatch", &[]),
    ("workflow_run", &["requested", "completed", "in_progress"]),
];

const PULL_REQUEST_TYPES: &[&str] = &[
    "assigned",
    "unassigned",
    "labeled",
    "unlabeled",
    "opened",
    "edited",
    "closed",
    "reopened",
    "synchronize",
    "converted_to_draft",
    "locked",
    "unlocked",
    "enqueued",
    "dequeued",
    "milestoned",
    "demilestoned",
    "ready_for_review",
    "review_requested",
    "review_request_removed",
    "auto_merge_enabled",
    "auto_merge_disabled",
    "stacked",
];

/// Which events know which filter, beside `types`.
pub(in crate::workflow) const FILTERS: &[(&str, &[&str])] = &[
    ("branches", &["merge_group", "pull_request", "pull_request_target", "push", "workflow_run"]),
    ("branches-ignore", &["merge_group", "pull_request", "pull_request_target", "push", "workflow_run"]),
    ("tags", &["push"]),
    ("tags-ignore", &["push"]),
    ("paths", &["pull_request", "pull_request_target", "push"]),
    ("paths-ignore", &["pull_request", "pull_request_target", "push"]),
    ("workflows", &["workflow_run"]),
    ("names", &["image_version"]),
    ("versions", &["image_version"]),
];

/// `on`: a name, a list of names, or a mapping. Which names and types there are is checked with the events, where the words are better.
pub(super) static ON: Place = place(Shape::Either(&[&NAME, &NAMES, &ON_MAP]));
static ON_MAP: Place = place(Shape::Map(&Map {
    what: "`on`",
    keys: &[key("schedule", &SCHEDULE), key("workflow_call", &CALL), key("workflow_dispatch", &DISPATCH)],
    others: Some(&EVENT),
    lenient: false,
}));

static EVENT: Place = place(Shape::Either(&[&NULL, &EVENT_MAP]));
static EVENT_MAP: Place =
    place(Shape::Map(&Map { what: "an event", keys: EVENT_KEYS, others: Some(&ANYTHING), lenient: false }));
const EVENT_KEYS: &[Key] = &[
    key("types", &NAME_OR_NAMES),
    key("branches", &NAME_OR_NAMES),
    key("branches-ignore", &NAME_OR_NAMES),
    key("tags", &NAME_OR_NAMES),
    key("tags-ignore", &NAME_OR_NAMES),
    key("paths", &NAME_OR_NAMES),
    key("paths-ignore", &NAME_OR_NAMES),
    key("workflows", &NAME_OR_NAMES),
    key("names", &NAME_OR_NAMES),
    key("versions", &NAME_OR_NAMES),
];

static SCHEDULE: Place = place(Shape::List(&CRON));
static CRON: Place =
    place(Shape::Map(&map("an item of `schedule`", &[required("cron", &NAME), key("timezone", &NAME)])));

static CALL: Place = place(Shape::Either(&[&NULL, &CALL_MAP]));
static CALL_MAP: Place = place(Shape::Map(&map(
    "`workflow_call`",
    &[key("inputs", &CALL_INPUTS), key("secrets", &CALL_SECRETS), key("outputs", &CALL_OUTPUTS)],
)));
static CALL_INPUTS: Place = place(Shape::Either(&[&NULL, &CALL_INPUTS_MAP]));
static CALL_INPUTS_MAP: Place = place(Shape::Map(&named("`inputs`", &CALL_INPUT)));
static CALL_INPUT: Place = place(Shape::Map(&map(
    "an input of `workflow_call`",
    &[
        key("description", &TEXT),
        required("type", &CALL_INPUT_TYPE),
        key("required", &FLAG),
        key("default", &CALL_DEFAULT),
    ],
)));
static CALL_INPUT_TYPE: Place = place(Shape::Words(&["string", "boolean", "number"]));
static CALL_DEFAULT: Place = with(Uses::EVENT, Shape::Either(&[&TEXT, &FLAG, &NUMBER]));
static CALL_SECRETS: Place = place(Shape::Either(&[&NULL, &CALL_SECRETS_MAP]));
static CALL_SECRETS_MAP: Place = place(Shape::Map(&named("`secrets`", &CALL_SECRET)));
static CALL_SECRET: Place = place(Shape::Either(&[&NULL, &CALL_SECRET_MAP]));
static CALL_SECRET_MAP: Place = place(Shape::Map(&map(
    "a secret of `workflow_call`",
    &[key("description", &TEXT), key("required", &FLAG)],
)));
static CALL_OUTPUTS: Place = place(Shape::Either(&[&NULL, &CALL_OUTPUTS_MAP]));
static CALL_OUTPUTS_MAP: Place = place(Shape::Map(&named("`outputs`", &CALL_OUTPUT)));
static CALL_OUTPUT: Place = place(Shape::Map(&map(
    "an output of `workflow_call`",
    &[key("description", &TEXT), required("value", &CALL_OUTPUT_VALUE)],
)));
static CALL_OUTPUT_VALUE: Place = with(Uses::EVENT.and(Uses::JOBS), Shape::Text { required: false });

static DISPATCH: Place = place(Shape::Either(&[&NULL, &DISPATCH_MAP]));
// GitHub passes over keys that it does not know right under `workflow_dispatch`.
static DISPATCH_MAP: Place = place(Shape::Map(&Map {
    what: "`workflow_dispatch`",
    keys: &[key("inputs", &DISPATCH_INPUTS)],
    others: None,
    lenient: true,
}));
static DISPATCH_INPUTS: Place = place(Shape::Either(&[&NULL, &DISPATCH_INPUTS_MAP]));
static DISPATCH_INPUTS_MAP: Place = place(Shape::Map(&named("`inputs`", &DISPATCH_INPUT)));
static DISPATCH_INPUT: Place = place(Shape::Either(&[&NULL, &DISPATCH_INPUT_MAP]));
static DISPATCH_INPUT_MAP: Place = place(Shape::Map(&map(
    "an input of `workflow_dispatch`",
    &[
        key("description", &TEXT),
        key("type", &DISPATCH_INPUT_TYPE),
        key("required", &FLAG),
        key("default", &DISPATCH_DEFAULT),
        key("options", &TEXTS),
        key("deprecationMessage", &TEXT),
    ],
)));
static DISPATCH_INPUT_TYPE: Place =
    place(Shape::Words(&["string", "boolean", "number", "environment", "choice"]));
static DISPATCH_DEFAULT: Place = place(Shape::Either(&[&TEXT, &FLAG, &NUMBER]));
