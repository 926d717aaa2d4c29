//! Being stopped: SIGINT and SIGTERM to the agent cancel the work, a second one of them makes it quick.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How much of a hurry there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Carry on.
    None,
    /// Asked to stop: children get their graces, work is saved.
    Stop,
    /// Asked again: children are killed, work is saved.
    Kill,
}

/// The side that is asked.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<Urgency>);

impl Stop {
    pub(crate) fn urgency(&self) -> Urgency {
        *self.0.borrow()
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.urgency() > Urgency::None
    }

    /// Waits until the urgency is over `seen`, and gives it.
    pub(crate) async fn over(&mut self, seen: Urgency) -> Urgency {
        match self.0.wait_for(|urgency| *urgency > seen).await {
            Ok(urgency) => *urgency,
            // Nobody is left who could ask.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Listens to signals.
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    sender: watch::Sender<Urgency>,
}

impl Signals {
    /// From here on SIGINT and SIGTERM no longer end the process by themselves.
    pub(crate) fn new() -> io::Result<(Signals, Stop)> {
        let (sender, receiver) = watch::channel(Urgency::None);
        let signals = Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            sender,
        };
        Ok((signals, Stop(receiver)))
    }

    /// Passes signals on for ever.
    pub(crate) async fn listen(mut self) -> std::convert::Infallible {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            self.sender.send_modify(|urgency| {
                *urgency = if *urgency == Urgency::None { Urgency::Stop } else { Urgency::Kill };
            });
        }
    }
}
