//! Jobs, steps, and everything beside `on`.

use super::events::ON;
use super::uses::Uses;
use super::{
    ANYTHING, FLAG, Key, Map, NAME, NAME_OR_NAMES, NAMES, NULL, NUMBER, Place, Shape, TEXT, key, map, named,
    place, required, with,
};

/// A workflow file.
pub(in crate::workflow) static ROOT: Place = place(Shape::Map(&map(
    "a workflow",
    &[
        key("name", &TEXT),
        key("description", &TEXT),
        key("run-name", &RUN_NAME),
        required("on", &ON),
        key("permissions", &PERMISSIONS_PLACE),
        key("env", &WORKFLOW_ENV),
        key("defaults", &WORKFLOW_DEFAULTS),
        key("concurrency", &WORKFLOW_CONCURRENCY),
        required("jobs", &JOBS),
    ],
)));

static RUN_NAME: Place = with(Uses::EVENT, Shape::Text { required: false });
static WORKFLOW_ENV: Place = with(Uses::EVENT.and(Uses::SECRETS), Shape::Map(&ENV_MAP));
const ENV_MAP: Map = named("`env`", &TEXT);

const ANY: &[&str] = &["read", "write", "none"];
const READ: &[&str] = &["read", "none"];
const WRITE: &[&str] = &["write", "none"];

/// What a job's token may do, and the levels that each has.
pub(in crate::workflow) const PERMISSIONS: &[(&str, &[&str])] = &[
    ("actions", ANY),
    ("artifact-metadata", ANY),
    ("attestations", ANY),
    ("checks", ANY),
    ("code-quality", ANY),
    ("contents", ANY),
    ("copilot-requests", WRITE),
    ("deployments", ANY),
    ("discussions", ANY),
    ("drives", ANY),
    ("id-token", WRITE),
    ("issues", ANY),
    ("models", READ),
    ("packages", ANY),
    ("pages", ANY),
    ("pull-requests", ANY),
    ("repository-projects", ANY),
    ("security-events", ANY),
    ("statuses", ANY),
    ("vulnerability-alerts", READ),
];

static PERMISSIONS_PLACE: Place = place(Shape::Either(&[&PERMISSIONS_ALL, &PERMISSIONS_MAP]));
static PERMISSIONS_ALL: Place = place(Shape::Words(&["read-all", "write-all"]));
static PERMISSIONS_MAP: Place = place(Shape::Map(&map("`permissions`", PERMISSION_KEYS)));
const PERMISSION_KEYS: &[Key] = &{
    let mut keys = [const { key("", &ANYTHING) }; PERMISSIONS.len()];
    let mut at = 0;
    while at < PERMISSIONS.len() {
        let place = match PERMISSIONS[at].1 {
            [_, _, _] => &LEVEL_ANY,
            [first, _] if first.len() == READ[0].len() => &LEVEL_READ,
            _ => &LEVEL_WRITE,
        };
        keys[at] = key(PERMISSIONS[at].0, place);
        at += 1;
    }
    keys
};
static LEVEL_ANY: Place = place(Shape::Words(ANY));
static LEVEL_READ: Place = place(Shape::Words(READ));
static LEVEL_WRITE: Place = place(Shape::Words(WRITE));

static WORKFLOW_DEFAULTS: Place =
    place(Shape::Map(&map("`defaults`", &[key("run", &WORKFLOW_DEFAULTS_RUN)])));
static WORKFLOW_DEFAULTS_RUN: Place = place(Shape::Map(&DEFAULTS_RUN_MAP));
const DEFAULTS_RUN_KEYS: &[Key] = &[key("shell", &NAME), key("working-directory", &NAME)];
const DEFAULTS_RUN_MAP: Map = map("`defaults.run`", DEFAULTS_RUN_KEYS);

static WORKFLOW_CONCURRENCY: Place = with(Uses::EVENT, Shape::Either(&[&TEXT, &CONCURRENCY_MAP]));
static JOB_CONCURRENCY: Place = with(Uses::MATRIX_JOB, Shape::Either(&[&NAME, &CONCURRENCY_MAP]));
static CONCURRENCY_MAP: Place = place(Shape::Map(&map(
    "`concurrency`",
    &[required("group", &NAME), key("cancel-in-progress", &FLAG), key("queue", &QUEUE)],
)));
static QUEUE: Place = place(Shape::Words(&["single", "max"]));

static JOBS: Place = place(Shape::Map(&named("`jobs`", &JOB)));
static JOB: Place = place(Shape::Either(&[&STEPS_JOB, &CALL_JOB]));
static STEPS_JOB: Place = place(Shape::Map(&map(
    "a job",
    &[
        key("name", &MATRIX_TEXT),
        key("needs", &NAME_OR_NAMES),
        key("if", &JOB_IF),
        // Not required here: Cloud Code chooses a runner itself. Where GitHub needs it, a check says so.
        key("runs-on", &RUNS_ON),
        key("steps", &STEPS),
        key("strategy", &STRATEGY),
        key("timeout-minutes", &MATRIX_NUMBER),
        key("cancel-timeout-minutes", &MATRIX_NUMBER),
        key("continue-on-error", &MATRIX_FLAG),
        key("container", &CONTAINER),
        key("services", &SERVICES),
        key("env", &JOB_ENV),
        key("environment", &ENVIRONMENT),
        key("permissions", &PERMISSIONS_PLACE),
        key("concurrency", &JOB_CONCURRENCY),
        key("outputs", &OUTPUTS),
        key("defaults", &JOB_DEFAULTS),
        key("snapshot", &SNAPSHOT),
        key("budget-usd", &MATRIX_NUMBER),
        key("retries", &MATRIX_NUMBER),
        key("network", &NETWORK),
    ],
)));
static CALL_JOB: Place = place(Shape::Map(&map(
    "a job that calls a workflow",
    &[
        key("name", &MATRIX_TEXT),
        required("uses", &NAME),
        key("with", &CALL_WITH),
        key("secrets", &CALL_SECRETS),
        key("needs", &NAME_OR_NAMES),
        key("if", &JOB_IF),
        key("permissions", &PERMISSIONS_PLACE),
        key("concurrency", &JOB_CONCURRENCY),
        key("strategy", &STRATEGY),
    ],
)));
static NETWORK: Place = place(Shape::Either(&[&NETWORK_MODE, &NETWORK_MAP]));
static NETWORK_MODE: Place = place(Shape::Words(&["none", "restricted", "open"]));
static NETWORK_MAP: Place =
    place(Shape::Map(&map("`network`", &[key("mode", &NETWORK_MODE), key("allow", &NAMES)])));
static MATRIX_TEXT: Place = with(Uses::MATRIX_JOB, Shape::Text { required: false });
static MATRIX_NUMBER: Place = with(Uses::MATRIX_JOB, Shape::Number);
static MATRIX_FLAG: Place = with(Uses::MATRIX_JOB, Shape::Flag);
static JOB_IF: Place = with(Uses::JOB_IF, Shape::Condition);
static CALL_WITH: Place = with(Uses::MATRIX_JOB, Shape::Map(&named("`with`", &SCALAR)));
static SCALAR: Place = place(Shape::Either(&[&TEXT, &FLAG, &NUMBER]));
static CALL_SECRETS: Place = place(Shape::Either(&[&INHERIT, &CALL_SECRETS_MAP]));
static INHERIT: Place = place(Shape::Words(&["inherit"]));
static CALL_SECRETS_MAP: Place =
    with(Uses::MATRIX_JOB.and(Uses::SECRETS), Shape::Map(&named("`secrets`", &SCALAR)));

static RUNS_ON: Place = with(Uses::MATRIX_JOB, Shape::Either(&[&NAME, &NAMES, &RUNS_ON_MAP]));
static RUNS_ON_MAP: Place =
    place(Shape::Map(&map("`runs-on`", &[key("group", &NAME), key("labels", &NAME_OR_NAMES)])));

static STRATEGY: Place = with(
    Uses::JOB,
    Shape::Map(&map(
        "`strategy`",
        &[key("matrix", &MATRIX), key("fail-fast", &FLAG), key("max-parallel", &NUMBER)],
    )),
);
static MATRIX: Place = place(Shape::Map(&Map {
    what: "`matrix`",
    keys: &[key("include", &MATRIX_LIST), key("exclude", &MATRIX_LIST)],
    others: Some(&MATRIX_ROW),
    lenient: false,
}));
static MATRIX_ROW: Place = place(Shape::List(&ANYTHING));
static MATRIX_LIST: Place = place(Shape::List(&MATRIX_ITEM));
static MATRIX_ITEM: Place = place(Shape::Map(&named("an item of `include` or `exclude`", &ANYTHING)));

static CONTAINER: Place = with(Uses::MATRIX_JOB, Shape::Either(&[&TEXT, &CONTAINER_MAP]));
static CONTAINER_MAP: Place = place(Shape::Map(&map(
    "`container`",
    &[
        key("image", &NAME),
        key("options", &TEXT),
        key("env", &CONTAINER_ENV),
        key("ports", &NAMES),
        key("volumes", &NAMES),
        key("credentials", &CREDENTIALS),
    ],
)));
static SERVICES: Place = with(Uses::MATRIX_JOB, Shape::Map(&named("`services`", &SERVICE)));
static SERVICE: Place = place(Shape::Either(&[&NAME, &SERVICE_MAP]));
static SERVICE_MAP: Place = place(Shape::Map(&map(
    "a service",
    &[
        key("image", &NAME),
        key("options", &TEXT),
        key("env", &CONTAINER_ENV),
        key("ports", &NAMES),
        key("volumes", &NAMES),
        key("credentials", &CREDENTIALS),
        key("entrypoint", &TEXT),
        key("command", &TEXT),
    ],
)));
static CREDENTIALS: Place = with(
    Uses::EVENT.and(Uses::SECRETS).and(Uses::ENV),
    Shape::Map(&map("`credentials`", &[key("username", &NAME), key("password", &NAME)])),
);
static CONTAINER_ENV: Place = place(Shape::Map(&named("`env`", &RUNNER_TEXT)));
static RUNNER_TEXT: Place = with(Uses::RUNNER.and(Uses::SECRETS), Shape::Text { required: false });

static JOB_ENV: Place = with(Uses::MATRIX_JOB.and(Uses::SECRETS), Shape::Map(&ENV_MAP));
static ENVIRONMENT: Place = with(Uses::MATRIX_JOB, Shape::Either(&[&TEXT, &ENVIRONMENT_MAP]));
static ENVIRONMENT_MAP: Place = place(Shape::Map(&map(
    "`environment`",
    &[required("name", &TEXT), key("url", &ENVIRONMENT_URL), key("deployment", &FLAG)],
)));
static ENVIRONMENT_URL: Place = with(Uses::RUNNER, Shape::Text { required: false });
static OUTPUTS: Place = place(Shape::Map(&named("`outputs`", &RUNNER_TEXT)));
static JOB_DEFAULTS: Place = place(Shape::Map(&map("`defaults`", &[key("run", &JOB_DEFAULTS_RUN)])));
static JOB_DEFAULTS_RUN: Place = with(Uses::MATRIX_JOB.and(Uses::ENV), Shape::Map(&DEFAULTS_RUN_MAP));
static SNAPSHOT: Place = place(Shape::Either(&[&NAME, &SNAPSHOT_MAP]));
static SNAPSHOT_MAP: Place = place(Shape::Map(&map(
    "`snapshot`",
    &[required("image-name", &NAME), key("if", &SNAPSHOT_IF), key("version", &NAME)],
)));
static SNAPSHOT_IF: Place = with(Uses::MATRIX_JOB, Shape::Condition);

static STEPS: Place = place(Shape::List(&STEP));
static STEP: Place = place(Shape::Either(&[&RUN, &USE, &WAIT, &WAIT_ALL, &CANCEL, &PARALLEL]));
static RUN: Place = place(Shape::Map(&map(
    "a step that runs a script",
    &[
        key("name", &STEP_TEXT),
        key("id", &NAME),
        key("if", &STEP_IF),
        required("run", &STEP_TEXT),
        key("shell", &NAME),
        key("working-directory", &STEP_TEXT),
        key("env", &STEP_ENV),
        key("timeout-minutes", &STEP_NUMBER),
        key("continue-on-error", &STEP_FLAG),
        key("background", &FLAG),
    ],
)));
static USE: Place = place(Shape::Map(&map(
    "a step that uses an action",
    &[
        key("name", &STEP_TEXT),
        key("id", &NAME),
        key("if", &STEP_IF),
        required("uses", &NAME),
        key("with", &STEP_WITH),
        key("env", &STEP_ENV),
        key("timeout-minutes", &STEP_NUMBER),
        key("continue-on-error", &STEP_FLAG),
        key("background", &FLAG),
    ],
)));
static WAIT: Place = place(Shape::Map(&map(
    "a step that waits",
    &[
        key("name", &STEP_TEXT),
        key("id", &NAME),
        key("continue-on-error", &STEP_FLAG),
        required("wait", &NAME_OR_NAMES),
    ],
)));
static WAIT_ALL: Place = place(Shape::Map(&map(
    "a step that waits for all",
    &[
        key("name", &STEP_TEXT),
        key("id", &NAME),
        key("continue-on-error", &STEP_FLAG),
        required("wait-all", &NULL_OR_FLAG),
    ],
)));
static NULL_OR_FLAG: Place = place(Shape::Either(&[&NULL, &FLAG]));
static CANCEL: Place = place(Shape::Map(&map(
    "a step that cancels another",
    &[
        key("name", &STEP_TEXT),
        key("id", &NAME),
        key("continue-on-error", &STEP_FLAG),
        required("cancel", &NAME),
    ],
)));
static PARALLEL: Place = place(Shape::Map(&map("steps side by side", &[required("parallel", &STEPS)])));
static STEP_TEXT: Place = with(Uses::STEP, Shape::Text { required: false });
static STEP_FLAG: Place = with(Uses::STEP, Shape::Flag);
static STEP_NUMBER: Place = with(Uses::STEP, Shape::Number);
static STEP_ENV: Place = with(Uses::STEP, Shape::Map(&ENV_MAP));
static STEP_WITH: Place = with(Uses::STEP, Shape::Map(&named("`with`", &TEXT)));
static STEP_IF: Place = with(Uses::STEP_IF, Shape::Condition);
