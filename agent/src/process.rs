//! One child at a time: in a process group of its own, watched for limits, stopped by stages, its output passed on.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::Instant;

use crate::config::Graces;
use crate::stop::{Stop, Urgency};

/// How long output is still read after the child ended while others hold its pipes open.
const DRAIN: Duration = Duration::from_secs(1);

/// Bytes of one read.
const CHUNK: usize = 16 * 1024;

/// Where output goes, and who may end the child because of it.
pub(crate) trait Sink {
    /// The next bytes of standard output.
    fn stdout(&mut self, bytes: &[u8]) -> Verdict;
    /// The next bytes of standard error.
    fn stderr(&mut self, bytes: &[u8]);
}

/// What a sink wants after what it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Carry on.
    Continue,
    /// The child said that it is done: stop it if it does not end by itself.
    Closing,
    /// Stop it now.
    Stop(Cause),
}

/// Why a child was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Somebody stopped the agent.
    Cancelled,
    /// The task's time was up.
    TaskTimeout,
    /// The step's time was up.
    StepTimeout,
    /// It had said nothing for too long.
    Silence,
    /// It had said that it was done, and stayed.
    Lingering,
    /// It had spent too much.
    Budget,
    /// It had spoken too often.
    Turns,
}

/// When a child is to be stopped by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    pub(crate) task: Option<Instant>,
    pub(crate) step: Option<Instant>,
    pub(crate) silence: Option<Duration>,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) cause: Option<Cause>,
    /// The process group, where processes of it were still there.
    pub(crate) group: Option<Group>,
}

/// A process group that a step left behind.
#[derive(Debug)]
pub(crate) struct Group(Pid);

impl Group {
    /// Ends all of it at once.
    pub(crate) fn kill(&self) {
        signal(self.0, Signal::KILL);
    }
}

/// Where a child is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    Interrupted,
    Terminated,
    Killed,
}

/// Runs a command to its end. Its output is piped; its input is as the command says.
pub(crate) async fn run(
    mut command: Command,
    limits: Limits,
    graces: Graces,
    stop: &Stop,
    sink: &mut dyn Sink,
) -> io::Result<Ended> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let group = group.ok_or_else(|| io::Error::other("the child has no process id"))?;
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let mut buffers = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut watch = Watch {
        group,
        limits,
        graces,
        stage: Stage::Running,
        cause: None,
        next: None,
        heard: Instant::now(),
        closing: None,
    };
    let mut stop = stop.clone();
    let mut urgency = Urgency::None;
    let mut status: Option<ExitStatus> = None;
    let mut drain: Option<Instant> = None;
    while status.is_none() || out.is_some() || err.is_some() {
        let wake = if status.is_some() { drain } else { watch.wake() };
        tokio::select! {
            ended = child.wait(), if status.is_none() => {
                status = Some(ended?);
                drain = Some(Instant::now() + DRAIN);
                if watch.stage != Stage::Running {
                    // Who was to be stopped takes what it started along.
                    signal(group, Signal::KILL);
                }
            }
            read = read(&mut out, &mut buffers.0), if out.is_some() => match read? {
                0 => out = None,
                length => {
                    watch.heard = Instant::now();
                    match sink.stdout(&buffers.0[..length]) {
                        Verdict::Continue => {}
                        Verdict::Closing => { watch.closing.get_or_insert_with(|| Instant::now() + graces.linger); }
                        Verdict::Stop(cause) => watch.begin(cause, Urgency::Stop),
                    }
                }
            },
            read = read(&mut err, &mut buffers.1), if err.is_some() => match read? {
                0 => err = None,
                length => {
                    watch.heard = Instant::now();
                    sink.stderr(&buffers.1[..length]);
                }
            },
            more = stop.over(urgency), if status.is_none() => {
                urgency = more;
                watch.begin(Cause::Cancelled, urgency);
            }
            () = sleep_until(wake) => {}
        }
        if drain.is_some_and(|drain| drain <= Instant::now()) {
            break;
        }
        if status.is_none() {
            watch.check(Instant::now());
        }
    }
    let left = out.is_some() || err.is_some();
    let status = match status {
        Some(status) => status,
        None => child.wait().await?,
    };
    Ok(Ended { status, cause: watch.cause, group: left.then_some(Group(group)) })
}

/// The clock of a running child.
struct Watch {
    group: Pid,
    limits: Limits,
    graces: Graces,
    stage: Stage,
    cause: Option<Cause>,
    /// When the next stage begins.
    next: Option<Instant>,
    /// When it last said something.
    heard: Instant,
    /// When it is stopped because it said that it was done.
    closing: Option<Instant>,
}

impl Watch {
    /// What it must be stopped for, and when.
    fn reasons(&self) -> [(Option<Instant>, Cause); 4] {
        let Limits { task, step, silence } = self.limits;
        [
            (task, Cause::TaskTimeout),
            (step, Cause::StepTimeout),
            (self.closing, Cause::Lingering),
            (silence.map(|silence| self.heard + silence), Cause::Silence),
        ]
    }

    /// When [`Watch::check`] has something to do next.
    fn wake(&self) -> Option<Instant> {
        match self.stage {
            Stage::Running => self.reasons().into_iter().filter_map(|(at, _)| at).min(),
            _ => self.next,
        }
    }

    fn check(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.stage == Stage::Running {
            if let Some((_, cause)) = self.reasons().into_iter().find(|(at, _)| due(*at)) {
                self.begin(cause, Urgency::Stop);
            }
        } else if due(self.next) {
            self.escalate();
        }
    }

    /// Begins to stop the child, or hurries it.
    fn begin(&mut self, cause: Cause, urgency: Urgency) {
        self.cause.get_or_insert(cause);
        if urgency == Urgency::Kill {
            self.stage = Stage::Terminated;
        }
        if urgency == Urgency::Kill || self.stage == Stage::Running {
            self.escalate();
        }
    }

    fn escalate(&mut self) {
        let (stage, name, grace) = match self.stage {
            Stage::Running => (Stage::Interrupted, Signal::INT, Some(self.graces.interrupt)),
            Stage::Interrupted => (Stage::Terminated, Signal::TERM, Some(self.graces.terminate)),
            Stage::Terminated | Stage::Killed => (Stage::Killed, Signal::KILL, None),
        };
        signal(self.group, name);
        self.stage = stage;
        self.next = grace.map(|grace| Instant::now() + grace);
    }
}

/// A group that is gone needs no signal, so that an error says nothing.
fn signal(group: Pid, signal: Signal) {
    let _ = kill_process_group(group, signal);
}

async fn read(stream: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> io::Result<usize> {
    match stream {
        Some(stream) => stream.read(buffer).await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
