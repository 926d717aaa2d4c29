//! Action files: `action.yml` (docs.github.com, "Metadata syntax"; github.com/actions/runner, `action_yaml.json`).

use super::uses::Uses;
use super::{
    ANYTHING, FLAG, Key, Map, NAME, NAMES, NULL, NUMBER, Place, Shape, TEXT, key, map, named, place,
    required, with,
};

/// The file of a composite action.
pub(in crate::workflow) static COMPOSITE_ACTION: Place =
    place(Shape::Map(&map("an action", &keys(&COMPOSITE))));
/// The file of an action that a JavaScript runtime runs.
pub(in crate::workflow) static NODE_ACTION: Place = place(Shape::Map(&map("an action", &keys(&NODE))));
/// The file of an action that is a container.
pub(in crate::workflow) static DOCKER_ACTION: Place = place(Shape::Map(&map("an action", &keys(&DOCKER))));

const fn keys(runs: &'static Place) -> [Key; 7] {
    [
        key("name", &TEXT),
        key("description", &TEXT),
        key("author", &TEXT),
        key("branding", &ANYTHING),
        key("inputs", &INPUTS),
        key("outputs", &OUTPUTS),
        required("runs", runs),
    ]
}

static INPUTS: Place = place(Shape::Either(&[&NULL, &INPUTS_MAP]));
static INPUTS_MAP: Place = place(Shape::Map(&named("`inputs`", &INPUT)));
static INPUT: Place = place(Shape::Either(&[&NULL, &INPUT_MAP]));
// GitHub passes over what it does not know of an input.
static INPUT_MAP: Place = place(Shape::Map(&Map {
    what: "an input",
    keys: &[
        key("description", &TEXT),
        key("required", &FLAG),
        key("default", &INPUT_DEFAULT),
        key("deprecationMessage", &TEXT),
    ],
    others: None,
    lenient: true,
}));
static INPUT_DEFAULT: Place = with(Uses::ACTION_INPUT, Shape::Either(&[&TEXT, &FLAG, &NUMBER]));
static OUTPUTS: Place = place(Shape::Either(&[&NULL, &OUTPUTS_MAP]));
static OUTPUTS_MAP: Place = place(Shape::Map(&named("`outputs`", &OUTPUT)));
static OUTPUT: Place = place(Shape::Either(&[&NULL, &OUTPUT_MAP]));
static OUTPUT_MAP: Place =
    place(Shape::Map(&map("an output", &[key("description", &TEXT), key("value", &ACTION_TEXT)])));

static COMPOSITE: Place = place(Shape::Map(&map(
    "`runs` of a composite action",
    &[required("using", &NAME), required("steps", &STEPS)],
)));
static STEPS: Place = place(Shape::List(&STEP));
static STEP: Place = place(Shape::Either(&[&RUN, &USE]));
static RUN: Place = place(Shape::Map(&map(
    "a step that runs a script",
    &[
        key("name", &ACTION_TEXT),
        key("id", &NAME),
        key("if", &ACTION_IF),
        required("run", &ACTION_TEXT),
        key("shell", &ACTION_TEXT),
        key("working-directory", &ACTION_TEXT),
        key("env", &ACTION_ENV),
        key("continue-on-error", &ACTION_FLAG),
    ],
)));
static USE: Place = place(Shape::Map(&map(
    "a step that uses an action",
    &[
        key("name", &ACTION_TEXT),
        key("id", &NAME),
        key("if", &ACTION_IF),
        required("uses", &NAME),
        key("with", &ACTION_WITH),
        key("env", &ACTION_ENV),
        key("continue-on-error", &ACTION_FLAG),
    ],
)));
static ACTION_TEXT: Place = with(Uses::ACTION, Shape::Text { required: false });
static ACTION_FLAG: Place = with(Uses::ACTION, Shape::Flag);
static ACTION_ENV: Place = with(Uses::ACTION, Shape::Map(&named("`env`", &TEXT)));
static ACTION_WITH: Place = with(Uses::ACTION, Shape::Map(&named("`with`", &TEXT)));
static ACTION_IF: Place = with(Uses::ACTION_IF, Shape::Condition);

static NODE: Place = place(Shape::Map(&map(
    "`runs` of a JavaScript action",
    &[
        required("using", &NAME),
        required("main", &NAME),
        key("pre", &NAME),
        key("pre-if", &TEXT),
        key("post", &NAME),
        key("post-if", &TEXT),
    ],
)));
static DOCKER: Place = place(Shape::Map(&map(
    "`runs` of a Docker action",
    &[
        required("using", &NAME),
        required("image", &NAME),
        key("entrypoint", &NAME),
        key("pre-entrypoint", &NAME),
        key("pre-if", &TEXT),
        key("post-entrypoint", &NAME),
        key("post-if", &TEXT),
        key("args", &DOCKER_ARGS),
        key("env", &DOCKER_ENV),
    ],
)));
static DOCKER_ARGS: Place = with(Uses::EVENT, Shape::Either(&[&NAMES, &ANYTHING]));
static DOCKER_ENV: Place = with(Uses::EVENT, Shape::Map(&named("`env`", &TEXT)));
