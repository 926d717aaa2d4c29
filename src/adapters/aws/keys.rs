//! Every key of the one table and of the bucket: what infra/template.yaml makes must have these names.
//!
//! | what | `pk` | `sk` |
//! | --- | --- | --- |
//! | a run | `run#ID` | `run` |
//! | a large run's parts | `run#ID` | `part#WRITE#NUMBER` |
//! | a semantic key | `semantic#KEY` | `semantic` |
//! | a concurrency group | `group#OWNER/NAME#GROUP` | `group` |
//! | a repository's schedules | `schedules#OWNER/NAME` | `schedules` |
//! | a run on an issue | `subject#OWNER/NAME#NUMBER` | `TIME#ID` |
//! | a decision | `decision#DELIVERY` | `decision` |
//! | a message | `message#LANE#KEY` | `message` |
//! | an attempt's ECS task | `tasks` | `RUN/JOB/NUMBER` |
//!
//! | index | partition | order | has |
//! | --- | --- | --- | --- |
//! | `list` | `list`: `runs`, `decisions`, `dead#LANE`, `parked#LANE`, `pushing` | `place` | what lists show |
//! | `repository` | `repository` | `place` | summaries of runs |
//! | `status` | `status` | `place` | summaries of runs |
//! | `repository-status` | `repository_status` | `place` | summaries of runs |
//! | `due` | `due`: `run`, `schedules` | `due_at` | keys |
//!
//! `place` is [`place`]. `expires` (seconds since 1970) is the TTL. In the bucket: `attempts/RUN/JOB/NUMBER/{in,out,kept}/FILE`, with
//! `in` for what we write, `out` for what the agent writes and `kept` for what is out of its reach; `launch/NAME` for grants of tasks
//! that have not begun; `bodies/LANE/NAME` for large messages.

use crate::ports::{Artifact, Lane};
use cloud_code_model::ids::{AttemptId, RunId, digest};
use jiff::Timestamp;

/// The partition key's attribute.
pub const PK: &str = "pk";
/// The sort key's attribute.
pub const SK: &str = "sk";
/// The TTL's attribute.
pub const EXPIRES: &str = "expires";

/// An index of the table.
#[derive(Debug, Clone, Copy)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// The attribute that names a partition of it.
    pub partition: &'static str,
    /// The attribute that orders a partition.
    pub order: &'static str,
    /// The attributes that it has beside its own and the table's keys. A run itself is in none: each save would write it again.
    pub has: &'static [&'static str],
}

const fn index(
    name: &'static str,
    partition: &'static str,
    order: &'static str,
    has: &'static [&'static str],
) -> Index {
    Index { name, partition, order, has }
}

/// The indexes.
pub const INDEXES: [Index; 5] = [
    index(
        "list",
        "list",
        "place",
        &["at", "body", "key", "lane", "lease", "reason", "receives", "summary", "until"],
    ),
    index("repository", "repository", "place", &["summary"]),
    index("status", "status", "place", &["summary"]),
    index("repository-status", "repository_status", "place", &["summary"]),
    index("due", "due", "due_at", &[]),
];

/// The partition of all runs in the index `list`.
pub(super) const RUNS: &str = "runs";
/// The partition of all decisions in the index `list`.
pub(super) const DECISIONS: &str = "decisions";
/// The partition in the index `list` of messages that were written and not yet known to be sent.
pub(super) const PUSHING: &str = "pushing";
/// The partition of the index `due`.
pub(super) const DUE_RUNS: &str = "run";
/// The partition of repositories' schedules in the index `due`.
pub(super) const DUE_SCHEDULES: &str = "schedules";
/// The partition of ECS tasks.
pub(super) const TASKS: &str = "tasks";

/// Where something stands in a list: by time to the nanosecond, then by name.
pub fn place(at: Timestamp, name: &str) -> String {
    format!("{}#{name}", instant(at))
}

/// A time whose text sorts as it does; before 1970 is 1970.
pub(super) fn instant(at: Timestamp) -> String {
    format!("{:020}", at.as_nanosecond().max(0))
}

/// The first place after all of this time.
pub(super) fn after(at: Timestamp) -> String {
    format!("{}$", instant(at))
}

pub(super) fn run(id: &RunId) -> String {
    format!("run#{id}")
}

pub(super) fn part(write: &str, number: usize) -> String {
    format!("part#{write}#{number:04}")
}

pub(super) fn semantic(key: &str) -> String {
    format!("semantic#{}", digest(&[key]))
}

pub(super) fn group(repository: &str, group: &str) -> String {
    format!("group#{repository}#{}", digest(&[group]))
}

pub(super) fn schedules(key: &str) -> String {
    format!("schedules#{key}")
}

pub(super) fn subject(repository: &str, number: u64) -> String {
    format!("subject#{repository}#{number}")
}

pub(super) fn decision(delivery: &str) -> String {
    format!("decision#{delivery}")
}

pub(super) fn message(lane: Lane, key: &str) -> String {
    format!("message#{}#{key}", lane.as_str())
}

pub(super) fn dead(lane: Lane) -> String {
    format!("dead#{}", lane.as_str())
}

/// The partition of messages that were put aside in the index `list`.
pub(super) fn parked(lane: Lane) -> String {
    format!("parked#{}", lane.as_str())
}

/// Below here lie an attempt's files.
pub fn attempt(id: &AttemptId) -> String {
    format!("attempts/{}/{}/{}", id.run, id.job, id.number)
}

/// Where an attempt's file lies while the attempt lives.
pub fn live(id: &AttemptId, artifact: Artifact) -> String {
    let side = match artifact {
        Artifact::Tasking | Artifact::EarlierSession => "in",
        Artifact::ContainerLog => "kept",
        _ => "out",
    };
    format!("{}/{side}/{}", attempt(id), artifact.file_name())
}

/// Where an attempt's file lies once it is out of the attempt's reach.
pub fn kept(id: &AttemptId, artifact: Artifact) -> String {
    format!("{}/kept/{}", attempt(id), artifact.file_name())
}

/// Where a living attempt finds its latest grant.
pub fn grant(id: &AttemptId) -> String {
    format!("{}/in/grant.json", attempt(id))
}

/// Where a task that begins finds its first grant.
pub fn launch(secret: &str) -> String {
    format!("launch/{secret}")
}

/// Where a large message's body lies.
pub(super) fn body(lane: Lane, key: &str) -> String {
    format!("bodies/{}/{}", lane.as_str(), digest(&[key]))
}

/// The attempt whose report lies under this name; `None` for any other object.
pub fn reported(object: &str) -> Option<AttemptId> {
    AttemptId::parse(object.strip_prefix("attempts/")?.strip_suffix("/out/reporting.yaml")?)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_its_attempt() {
        let id = AttemptId { run: RunId::derive("d", "w"), job: "fix-it_2".to_owned(), number: 3 };
        assert_eq!(reported(&live(&id, Artifact::Report)), Some(id.clone()));
        for other in [
            live(&id, Artifact::Log),
            kept(&id, Artifact::Report),
            "attempts/r-1/job/1/out/reporting.yaml".to_owned(),
            format!("attempts/{}/job/x/out/reporting.yaml", id.run),
            format!("attempts/{}/job/1/2/out/reporting.yaml", id.run),
        ] {
            assert_eq!(reported(&other), None, "{other}");
        }
    }

    #[test]
    fn places_sort_by_time() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut places = [
            after(at("2026-11-23T01:02:03.000000001Z")),
            place(at("2026-11-23T01:02:03.000000001Z"), "b"),
            place(at("2026-11-23T01:02:03Z"), "z"),
            place(at("1999-01-01T00:00:00Z"), "x"),
            place(at("2026-11-23T01:02:03.000000001Z"), "a"),
        ];
        places.sort();
        let names: Vec<&str> = places.iter().map(|place| &place[20..]).collect();
        assert_eq!(names, ["#x", "#z", "#a", "#b", "$"]);
    }
}
