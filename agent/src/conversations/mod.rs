//! Conversations that outlive their run: the next attempt on the same branch goes on with them, where its CLI is the same and can.
//!
//! What a CLI needs for that is a file or two in its own folder ([`crate::cli::Store`]). At the end they go, masked, into an archive
//! beside the report; at the start of a step they come out of the archive of an earlier attempt.

mod archive;
mod exchange;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use cloud_code_model::task::{Conversation, Earlier, MAX_CONVERSATIONS, is_session_id};

use crate::agent::Agent;
use crate::cli::{Cli, Store};
use crate::environment::Variables;
use crate::finish;
use crate::steps::report;
use crate::task::TaskState;

/// The conversations that an attempt had, and those of an earlier one that it has taken up.
#[derive(Default)]
pub(crate) struct Conversations {
    had: RefCell<Vec<Had>>,
    /// Places in the list of earlier ones: each is gone on with once.
    taken: RefCell<BTreeSet<usize>>,
}

struct Had {
    conversation: Conversation,
    store: Store,
    /// The environment of the step that had it.
    variables: Variables,
}

impl Conversations {
    /// Notes a conversation that may be gone on with.
    pub(crate) fn note(
        &self,
        state: &TaskState<'_>,
        number: usize,
        (name, cli): (&str, &dyn Cli),
        session: &str,
        variables: &Variables,
    ) {
        let Some(store) = cli.store(&state.agent.home, variables).filter(|_| is_session_id(session)) else {
            return;
        };
        let conversation =
            Conversation { step: step_id(state, number), cli: name.to_owned(), session: session.to_owned() };
        let mut had = self.had.borrow_mut();
        had.retain(|Had { conversation: known, .. }| {
            (&known.cli, &known.session) != (&conversation.cli, &conversation.session)
        });
        if had.len() == MAX_CONVERSATIONS {
            had.remove(0);
        }
        had.push(Had { conversation, store, variables: variables.clone() });
    }

    /// Leaves their files in the archive. An attempt is no failure because that can't be done: the next one begins anew.
    pub(crate) async fn keep(&self, agent: &Agent) {
        let had = self.had.take();
        if had.is_empty() {
            return;
        }
        if let Err(error) = kept(agent, had).await {
            agent.journal.say(&format!("##[warning]the conversation is not kept for the next run: {error}"));
        }
    }
}

async fn kept(agent: &Agent, had: Vec<Had>) -> Result<(), String> {
    let mut places = Vec::new();
    for Had { conversation, store, variables } in had {
        if let Some(exchange) = &store.exchange {
            let args = (exchange.take_out)(&conversation.session);
            let bytes = match exchange::run(agent, exchange, &variables, args).await {
                Ok(bytes) => bytes,
                // The others can be kept all the same.
                Err(error) => {
                    agent.journal.say(&format!("##[warning]a conversation is not kept: {error}"));
                    continue;
                }
            };
            let file = exchanged(&store, &conversation.session);
            fs::create_dir_all(&store.root)
                .and_then(|()| fs::write(&file, bytes))
                .map_err(|error| format!("{}: {error}", file.display()))?;
        }
        places.push((conversation, store));
    }
    let masker = agent.journal.masker();
    let (path, temporary) = agent.workspace.session();
    finish::blocking(move || {
        let bytes = archive::pack(&places, &masker)?;
        fs::write(&temporary, bytes)
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|error| format!("{}: {error}", path.display()))
    })
    .await
}

/// The file by which a conversation goes into a database and out of it.
fn exchanged(store: &Store, id: &str) -> PathBuf {
    store.root.join(format!("{id}.json"))
}

/// The conversation of an earlier attempt that this step is to go on with, its files in place; or why it can't. `None` where there is
/// none for it.
pub(crate) async fn earlier(
    state: &TaskState<'_>,
    number: usize,
    name: &str,
    cli: &dyn Cli,
    variables: &Variables,
) -> Option<Result<String, String>> {
    let earlier = state.task.earlier.as_ref()?;
    let conversations = &state.agent.conversations;
    let first = conversations.had.borrow().is_empty();
    let (index, conversation) =
        choose(earlier, &conversations.taken.borrow(), &step_id(state, number), name, first)?;
    conversations.taken.borrow_mut().insert(index);
    if conversation.cli != name {
        return Some(Err(format!("it was had with {}, and this step uses {name}", conversation.cli)));
    }
    if let Some(why) = &earlier.lost {
        return Some(Err(why.clone()));
    }
    let Some(store) = cli.store(&state.agent.home, variables) else {
        return Some(Err(format!("{name} keeps none")));
    };
    let id = &conversation.session;
    if !is_session_id(id) {
        return Some(Err("it has no id that can be used".to_owned()));
    }
    let restored = archive::unpack(&state.agent.workspace.earlier_session(), name, id, &store);
    let restored = match (&store.exchange, restored) {
        (Some(exchange), Ok(())) => {
            let args = (exchange.put_back)(&exchanged(&store, id).display().to_string());
            exchange::run(state.agent, exchange, variables, args).await.map(drop)
        }
        (_, restored) => restored,
    };
    Some(restored.map(|()| {
        state.agent.journal.say(&format!("going on with the conversation {id} of run {}", earlier.run));
        id.clone()
    }))
}

/// Says that an earlier conversation is not gone on with.
pub(crate) fn not_resumed(state: &TaskState<'_>, number: usize, why: String) {
    let told = format!("##[warning]the earlier conversation is not gone on with: {why}. A new one is begun");
    state.agent.journal.say(&told);
    report(state, number, |report| {
        report.resumed = false;
        report.not_resumed = Some(why);
    });
}

/// The earlier conversation that belongs to a step: that of the same step, else the first that was had with the same CLI. One with
/// another CLI is told of once, by the step itself or by the first that begins one.
fn choose<'a>(
    earlier: &'a Earlier,
    taken: &BTreeSet<usize>,
    step: &str,
    cli: &str,
    first: bool,
) -> Option<(usize, &'a Conversation)> {
    let free = || earlier.conversations.iter().enumerate().filter(|(index, _)| !taken.contains(index));
    free()
        .find(|(_, known)| known.step == step && known.cli == cli)
        .or_else(|| free().find(|(_, known)| known.cli == cli))
        .or_else(|| free().find(|(_, known)| known.step == step))
        .or_else(|| free().next().filter(|_| first))
}

/// The id of a step of this task.
pub(crate) fn step_id(state: &TaskState<'_>, number: usize) -> String {
    let index = state.index;
    let step = |report: &cloud_code_model::task::Report| {
        Some(report.tasks.get(index)?.steps.get(number)?.id.clone())
    };
    state.agent.reporter.read(step).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_gets_its_own() {
        let known = |step: &str, cli: &str, session: &str| Conversation {
            step: step.to_owned(),
            cli: cli.to_owned(),
            session: session.to_owned(),
        };
        let earlier = Earlier {
            conversations: vec![
                known("fix", "claude-code", "a"),
                known("review", "codex", "b"),
                known("docs", "claude-code", "c"),
            ],
            ..Earlier::default()
        };
        let check = |taken: &[usize], step: &str, cli: &str, first: bool, expected: Option<&str>| {
            let taken = taken.iter().copied().collect();
            let found = choose(&earlier, &taken, step, cli, first).map(|(_, found)| found.session.as_str());
            assert_eq!(found, expected, "{step} {cli}");
        };
        check(&[], "docs", "claude-code", true, Some("c"));
        check(&[], "renamed", "claude-code", true, Some("a"));
        check(&[0], "renamed", "claude-code", false, Some("c"));
        check(&[0, 2], "renamed", "claude-code", false, None);
        check(&[], "review", "gemini", false, Some("b"));
        check(&[], "renamed", "gemini", true, Some("a"));
        check(&[], "renamed", "gemini", false, None);
    }
}
