//! Concurrency groups.

use super::world::{Play, workflow};
use cloud_code_model::run::{Conclusion, Effect, Group, Input};

/// Runs and the one group that they share, as an executor does it.
struct Several {
    group: Group,
    plays: Vec<Play>,
}

impl Several {
    fn new() -> Self {
        Self { group: Group::default(), plays: Vec::new() }
    }

    fn add(&mut self, concurrency: &str) {
        let head = format!("concurrency: {concurrency}");
        let delivery = format!("d{}", self.plays.len());
        self.plays.push(Play::by("ann", &delivery, workflow(&head, "  a: {steps: [{run: x}]}")));
        self.settle();
    }

    /// Executes what the runs ask of the group until nothing changes.
    fn settle(&mut self) {
        loop {
            let mut changed = false;
            for play in &mut self.plays {
                let id = play.run.id.clone();
                for outgoing in play.run.outbox.clone() {
                    match outgoing.effect {
                        Effect::Enter { ticket, .. } => {
                            let wish = play.run.holds(ticket).unwrap().0.wish.clone();
                            self.group.enter(&id, ticket, &wish);
                        }
                        Effect::Leave { ticket, .. } => {
                            self.group.leave(&id, ticket);
                        }
                        _ => continue,
                    }
                    changed = true;
                    play.give(Input::EffectDone { id: outgoing.id });
                }
            }
            let displaced: Vec<_> =
                self.group.displaced().into_iter().map(|(entry, by)| (entry.clone(), by.clone())).collect();
            for (entry, by) in displaced {
                let play = self.plays.iter_mut().find(|play| play.run.id == entry.run).unwrap();
                if play.run.cancel.is_none() {
                    play.give(Input::Displaced { ticket: entry.ticket, by });
                    changed = true;
                }
            }
            if let Some(first) = self.group.entries.first().cloned() {
                let play = self.plays.iter_mut().find(|play| play.run.id == first.run).unwrap();
                if play.run.holds(first.ticket).is_some_and(|(hold, _)| !hold.granted) {
                    play.give(Input::Granted { ticket: first.ticket });
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    fn end(&mut self, number: usize) {
        self.plays[number].end("a", Conclusion::Success);
        self.settle();
    }

    #[track_caller]
    fn expect(&self, expected: &str) {
        let stands: Vec<_> = self.plays.iter().map(|play| play.stands()[2..].to_owned()).collect();
        assert_eq!(stands.join(" "), expected);
    }
}

#[test]
fn one_runs_and_one_waits() {
    let mut runs = Several::new();
    runs.add("G");
    runs.add("g");
    runs.expect("started blocked");
    runs.add("g");
    runs.expect("started cancelled blocked");
    runs.end(0);
    runs.expect("success cancelled started");
    runs.end(2);
    assert!(runs.group.entries.is_empty());
}

#[test]
fn a_hundred_wait_in_order() {
    let mut runs = Several::new();
    for _ in 0..3 {
        runs.add("{ group: g, queue: max }");
    }
    runs.expect("started blocked blocked");
    runs.end(0);
    runs.expect("success started blocked");
    runs.end(1);
    runs.expect("success success started");
    runs.end(2);
    let mut runs = Several::new();
    for _ in 0..102 {
        runs.add("{ group: g, queue: max }");
    }
    assert!(runs.plays[100].stands().contains("blocked"), "a hundred wait");
    assert!(runs.plays[101].stands().contains("cancelled"), "one more does not");
}

#[test]
fn the_newest_ends_the_others_and_waits_until_they_have_ended() {
    let mut runs = Several::new();
    runs.add("{ group: g, cancel-in-progress: true }");
    runs.plays[0].launch("a");
    runs.add("{ group: g, cancel-in-progress: true }");
    runs.expect("started blocked");
    assert!(runs.plays[0].run.cancel.is_some());
    runs.plays[0].stopped("a");
    runs.settle();
    runs.expect("cancelled started");
}

#[test]
fn one_that_is_being_published_is_waited_for() {
    let mut runs = Several::new();
    runs.add("{ group: g, cancel-in-progress: true }");
    let play = &mut runs.plays[0];
    play.launch("a");
    play.report(
        "a",
        cloud_code_model::run::ReportSummary {
            conclusion: Some(Conclusion::Success),
            has_changes: true,
            ..Default::default()
        },
    );
    runs.add("{ group: g, cancel-in-progress: true }");
    runs.expect("started blocked");
    runs.plays[0].give(Input::NothingToPublish { job: "a".into(), attempt: 1 });
    runs.settle();
    runs.expect("no_changes started");
}

#[test]
fn of_two_with_different_wishes_only_the_later_ends_the_other() {
    let mut runs = Several::new();
    runs.add("{ group: g, cancel-in-progress: true }");
    runs.add("{ group: g, cancel-in-progress: false }");
    runs.expect("started blocked");
    assert!(runs.plays.iter().all(|play| play.run.cancel.is_none()), "nobody ends anybody");
}

#[test]
fn a_group_of_a_job() {
    let jobs = "  a: {concurrency: g, steps: [{run: x}]}\n  b: {steps: [{run: x}]}";
    let mut play = Play::new(jobs);
    play.expect("a concurrency, b started");
    let ticket = play.run.job("a").unwrap().hold.as_ref().unwrap().ticket;
    assert!(play.effects().contains(&format!("enter/{ticket}")));
    play.give(Input::Granted { ticket });
    play.expect("a started, b started");
    play.end("a", Conclusion::Success);
    assert!(play.effects().contains(&format!("leave/{ticket}")), "freed by the end of its holder");
    assert!(play.run.holds(ticket).is_none());
}

#[test]
fn a_job_that_waits_for_its_own_run_is_ended() {
    let mut play = Play::new("  a: {concurrency: g, steps: [{run: x}]}");
    let ticket = play.run.job("a").unwrap().hold.as_ref().unwrap().ticket;
    play.give(Input::Deadlocked { ticket });
    play.expect("a cancelled");
}

/// Found by the simulation: a run whose jobs were all ended while it waited for its group was never over.
#[test]
fn a_run_whose_jobs_were_ended_while_it_waited_is_over() {
    let mut play = Play::of(workflow("concurrency: g", "  a: {steps: [{run: x}]}"));
    play.give(Input::CancelJob { job: "a".into(), by: "ann".into() });
    assert!(play.run.is_over());
}
