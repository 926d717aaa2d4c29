//! What a worker does with an effect, in the pieces between which it may be torn off. The pieces of entering and leaving a group are those of
//! the use case: each looks at what is stored at that moment.

use super::world::World;
use cloud_code_model::ids::AttemptId;
use cloud_code_model::run::{Effect, GroupEntry, Input, Outgoing, Publication};

pub(crate) struct Operation {
    run: usize,
    outgoing: Outgoing,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    /// Does the effect itself.
    Outside,
    /// Tells somebody of a group something; one whom it does not concern any more is taken out.
    Displace(String, GroupEntry, cloud_code_model::ids::RunId),
    /// Looks at the group, and lets it be settled.
    Settle(String),
    /// Grants the group to the first who still wants it.
    Grant(String, Vec<GroupEntry>),
    /// Gives the engine the effect's answer.
    Answer(Box<Input>),
    /// Records that it is done.
    Done,
}

impl Operation {
    pub(crate) fn new(run: usize, outgoing: Outgoing) -> Self {
        Self { run, outgoing, pieces: vec![Piece::Done, Piece::Outside] }
    }

    /// Does the next piece; false when there is none.
    pub(crate) fn advance(&mut self, world: &mut World, fails: bool) -> bool {
        let Some(piece) = self.pieces.pop() else { return false };
        match piece {
            Piece::Outside if fails => {
                let failed =
                    Input::EffectFailed { id: self.outgoing.id, error: "down".into(), retry_after: None };
                world.save(self.run, failed);
                self.pieces.clear();
            }
            Piece::Outside => self.outside(world),
            Piece::Answer(input) => world.save(self.run, *input),
            Piece::Done => world.save(self.run, Input::EffectDone { id: self.outgoing.id }),
            Piece::Settle(group) => {
                let found = world.groups.get(&group).cloned().unwrap_or_default();
                self.pieces.push(Piece::Grant(group.clone(), found.entries.clone()));
                for (entry, by) in found.displaced() {
                    self.pieces.push(Piece::Displace(group.clone(), entry.clone(), by.clone()));
                }
            }
            Piece::Displace(group, entry, by) => {
                if !tell(world, &entry, Input::Displaced { ticket: entry.ticket, by }) {
                    take_out(world, &group, &entry);
                }
            }
            Piece::Grant(group, mut entries) => {
                if !entries.is_empty() {
                    let first = entries.remove(0);
                    if !tell(world, &first, Input::Granted { ticket: first.ticket }) {
                        take_out(world, &group, &first);
                        self.pieces.push(Piece::Grant(group, entries));
                    }
                }
            }
        }
        !self.pieces.is_empty()
    }

    fn outside(&mut self, world: &mut World) {
        let run = &world.runs[self.run];
        let id = |job: &String, number: &u32| run.attempt_id(job, *number);
        match &self.outgoing.effect {
            Effect::Launch { job, attempt } => {
                let id = id(job, attempt);
                world.launches.push(id);
            }
            Effect::Probe { job, attempt } => {
                let id = id(job, attempt);
                world.look(&id);
            }
            Effect::Stop { job, attempt, .. } => {
                let id = id(job, attempt);
                if let Some(container) = world.containers.get_mut(&id) {
                    container.running = false;
                }
                world.look(&id);
            }
            Effect::Publish { job, attempt } => {
                let id = id(job, attempt);
                if let Some(answer) = publish(world, self.run, &id) {
                    self.pieces.push(Piece::Answer(Box::new(answer)));
                }
            }
            Effect::Discard { job, attempt } => {
                let id = id(job, attempt);
                world.containers.remove(&id);
            }
            Effect::Enter { ticket, group } => {
                if let Some((hold, _)) = run.holds(*ticket).filter(|(hold, _)| !hold.granted) {
                    let (wish, run_id) = (hold.wish.clone(), run.id.clone());
                    let own = run.hold.as_ref().map(|hold| hold.ticket).filter(|own| own != ticket);
                    let (ticket, name) = (*ticket, group.clone());
                    let found = world.groups.entry(name.clone()).or_default();
                    found.enter(&run_id, ticket, &wish);
                    let before = found.position(&run_id, ticket).unwrap_or(0);
                    let own = own.and_then(|own| found.position(&run_id, own));
                    if own.is_some_and(|own| own < before) {
                        self.pieces.push(Piece::Answer(Box::new(Input::Deadlocked { ticket })));
                    } else {
                        self.pieces.push(Piece::Settle(name));
                    }
                }
            }
            Effect::Leave { ticket, group } => {
                let (ticket, name, run_id) = (*ticket, group.clone(), run.id.clone());
                world.groups.entry(name.clone()).or_default().leave(&run_id, ticket);
                self.pieces.push(Piece::Settle(name));
            }
            Effect::Append { job, attempt } => {
                let id = id(job, attempt);
                let given = run.attempt(&id).map(|attempt| attempt.additions.clone()).unwrap_or_default();
                if let Some(container) = world.containers.get_mut(&id) {
                    container.given = given;
                }
            }
            Effect::FollowUp { comment } => {
                world.followed.insert((self.run, *comment));
            }
            Effect::Check { .. } | Effect::Tell => {}
        }
    }
}

fn publish(world: &World, run: usize, id: &AttemptId) -> Option<Input> {
    use cloud_code_model::run::AttemptState;
    let run = &world.runs[run];
    let attempt = run.attempt(id).filter(|attempt| attempt.state == AttemptState::Publishing)?;
    let (job, number) = (id.job.clone(), id.number);
    let branch = run.job(&job).map(|job| run.branch_of(job))?;
    // Now and then there is nothing to push after all.
    if attempt.picked.is_none() && number % 3 == 2 {
        return Some(Input::NothingToPublish { job, attempt: number });
    }
    let publication = Publication {
        branch,
        sha: "s".into(),
        base: "b".into(),
        pull: None,
        diffstat: (1, 1, 0),
        commits: 1,
    };
    Some(Input::Published { job, attempt: number, publication })
}

/// Whether an entry still counts, once it was told something.
fn tell(world: &mut World, entry: &GroupEntry, input: Input) -> bool {
    let Some(run) = world.runs.iter().position(|run| run.id == entry.run) else { return false };
    if world.runs[run].holds(entry.ticket).is_none() {
        return false;
    }
    world.save(run, input);
    world.runs[run].holds(entry.ticket).is_some()
}

fn take_out(world: &mut World, group: &str, gone: &GroupEntry) {
    if let Some(group) = world.groups.get_mut(group) {
        group.entries.retain(|entry| entry != gone);
    }
}
