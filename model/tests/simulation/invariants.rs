//! What must be so after every step, and at the end.

use super::world::World;
use cloud_code_model::run::{AdditionState, AttemptState, JobState, Run};
use std::collections::{HashMap, HashSet};

pub(crate) fn check(world: &mut World) {
    for (index, run) in world.runs.iter().enumerate() {
        one(run);
        // Terminal is terminal, unless somebody ran it again.
        if run.is_over() {
            let now = (run.round, run.conclusion);
            let before = *world.ended.entry(index).or_insert(now);
            assert_eq!(before, now, "a run that was over has another end");
        } else if let Some(before) = world.ended.get(&index) {
            assert_ne!(before.0, run.round, "a run that was over goes on");
        }
    }
    let mut holders: HashMap<&str, Vec<&str>> = HashMap::new();
    for run in &world.runs {
        let jobs = run.jobs.iter().filter_map(|job| job.hold.as_ref());
        for hold in run
            .hold
            .iter()
            .chain(jobs)
            .filter(|hold| hold.granted && run.cancel.as_ref().is_none_or(|cancel| !cancel.forced))
        {
            holders.entry(hold.wish.group.as_str()).or_default().push(run.id.as_str());
        }
    }
    for (group, holders) in holders {
        assert!(holders.len() <= 1, "the group {group} is held by {holders:?}");
    }
}

fn one(run: &Run) {
    assert_eq!(run.is_over(), run.jobs.iter().all(|job| job.is_over()), "a run is over when its jobs are");
    assert_eq!(run.is_over(), run.conclusion.is_some());
    assert_eq!(run.is_over(), run.finished_at.is_some());
    let mut keys = HashSet::new();
    for job in &run.jobs {
        assert!(keys.insert(&job.key), "two jobs {}", job.key);
        let open = job.attempts.iter().filter(|attempt| attempt.state != AttemptState::Done).count();
        assert!(open <= 1, "{}: two attempts at once", job.key);
        let started = job.state == JobState::Started && !job.is_over();
        assert_eq!(
            open == 1,
            started,
            "{}: an open attempt and no started job, or the other way round",
            job.key
        );
        for (n, attempt) in job.attempts.iter().enumerate() {
            assert_eq!(attempt.number as usize, n + 1, "{}: attempts count from 1", job.key);
            let heard = attempt.report.iter().flat_map(|report| &report.heard);
            heard.for_each(|comment| {
                assert!(attempt.additions.contains(comment), "heard what was never said")
            });
            let known = |comment: &u64| run.has_addition(*comment);
            assert!(attempt.additions.iter().all(known), "given what nobody said");
            assert!(attempt.publication.is_none() || attempt.report.is_some(), "published without a report");
        }
        assert!(!(job.is_over() && job.hold.is_some()), "{}: over, and holds its group", job.key);
        if started && let Some(definition) = run.definition(job) {
            for need in &definition.needs {
                let open = run.jobs.iter().any(|other| other.node == *need && !other.is_over());
                assert!(!open, "{} started before {need} was over", job.key);
            }
            let running = run.jobs.iter().filter(|other| {
                other.node == job.node
                    && !other.is_over()
                    && matches!(
                        other.state,
                        JobState::Environment | JobState::Concurrency | JobState::Started
                    )
            });
            assert!(job.place.max_parallel.is_none_or(|most| running.count() <= most), "too many at once");
        }
        if started && let Some(gate) = &job.gate {
            assert!(
                gate.reviewers.is_empty() || matches!(gate.approved_by.as_deref(), Some("wes" | "kim")),
                "not approved"
            );
        }
    }
    let comments: HashSet<u64> = run.additions.iter().map(|addition| addition.comment).collect();
    assert!(comments.len() == run.additions.len() && comments.len() <= Run::MAX_ADDITIONS);
    let waits = run.hold.as_ref().is_some_and(|hold| !hold.granted);
    let live = run.jobs.iter().any(|job| !job.is_over() && job.state == JobState::Started);
    assert!(!(waits && live), "it runs before it holds its group");
    let mut seen = HashSet::new();
    for outgoing in &run.outbox {
        assert!(seen.insert(outgoing.effect.key()), "an effect stands twice in the outbox");
    }
    assert!(run.is_over() || run.due_at().is_some(), "a run that nobody would look at again");
}

/// When everything has had its turn: all is over, told and cleaned up.
pub(crate) fn at_rest(world: &World) {
    for (index, run) in world.runs.iter().enumerate() {
        for addition in &run.additions {
            let late = run.state_of(addition) == AdditionState::Late;
            let followed = world.followed.contains(&(index, addition.comment));
            assert!(followed || !late, "what came too late is lost");
            assert_ne!(run.state_of(addition), AdditionState::Waiting);
        }
        assert!(run.is_over(), "a run does not end: {:?}", run.history);
        assert!(run.outbox.is_empty(), "effects are left: {:?}", run.outbox);
        one(run);
    }
    assert!(world.containers.is_empty(), "containers are left: {:?}", world.containers.keys());
    for (name, group) in &world.groups {
        for entry in &group.entries {
            let run = world.runs.iter().find(|run| run.id == entry.run).expect("a run");
            assert!(run.holds(entry.ticket).is_none(), "somebody waits for the group {name} for ever");
        }
    }
}
