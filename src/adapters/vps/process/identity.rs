//! Telling a process from another that has got its number since, and finding the processes of an attempt.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The variable that marks an attempt's processes, also those that left its session. Its value is the attempt's name.
pub(super) const MARK: &str = "CLOUD_CODE_PROCESS";

/// A process, by its number, when it started, and since which boot of the machine that is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) pid: i32,
    started: u64,
    boot: String,
}

/// What is read of `/proc/PID/stat` (proc_pid_stat(5)).
struct Stat {
    pid: i32,
    state: char,
    session: i32,
    started: u64,
}

impl Identity {
    /// Reads what the wrapper wrote: the boot's id, then its own line of `/proc`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (boot, stat) = text.split_once('\n')?;
        let stat = Stat::parse(stat)?;
        Some(Self { pid: stat.pid, started: stat.started, boot: boot.to_owned() })
    }

    /// Whether this very process runs.
    pub(super) fn is_alive(&self) -> bool {
        fs::read_to_string("/proc/sys/kernel/random/boot_id").is_ok_and(|boot| boot.trim() == self.boot)
            && Stat::of(self.pid).is_some_and(|stat| stat.started == self.started && stat.runs())
    }

    /// A handle that becomes readable when it ends; `None` when it has. Unlike the number it can't come to mean another.
    pub(super) fn open(&self) -> io::Result<Option<OwnedFd>> {
        let Some(handle) = handle(self.pid)? else { return Ok(None) };
        // Looked at after opening: while the handle is open, the number is not given to another.
        Ok(self.is_alive().then_some(handle))
    }
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the program's name in parentheses, and may itself have spaces and parentheses.
    fn parse(line: &str) -> Option<Self> {
        let (pid, _) = line.split_once(" (")?;
        let (_, rest) = line.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // `rest` begins with field 3.
        Some(Self {
            pid: pid.parse().ok()?,
            state: fields.first()?.chars().next()?,
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// A zombie has ended and only waits for its parent to ask how.
    fn runs(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// Waits until the process behind the handle has ended, for at most `patience`; says whether it has. Blocks.
pub(super) fn wait(handle: &OwnedFd, patience: Duration) -> io::Result<bool> {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&timeout)) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Kills every process that has the mark `name` or, while `leader` runs, is in its session. Returns whether there was any.
/// One that starts another meanwhile may escape one round, so that it is called until there is none.
pub(super) fn kill_all(name: &str, leader: Option<&Identity>) -> io::Result<bool> {
    let mut any = false;
    let mark = format!("{MARK}={name}");
    let session = leader.filter(|leader| leader.is_alive()).map(|leader| leader.pid);
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if pid == std::process::id().cast_signed() || !belongs(pid, &mark, session) {
            continue;
        }
        let Some(handle) = handle(pid)? else { continue };
        // Looked at again, now that the number can't come to mean another.
        if belongs(pid, &mark, session) {
            any = true;
            match pidfd_send_signal(&handle, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(any)
}

fn belongs(pid: i32, mark: &str, session: Option<i32>) -> bool {
    let Some(stat) = Stat::of(pid).filter(Stat::runs) else { return false };
    session == Some(stat.session)
        || fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
        })
}

fn handle(pid: i32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(handle) => Ok(Some(handle)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn own_text() -> String {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        format!("{}\n{}", boot.trim(), fs::read_to_string("/proc/self/stat").unwrap())
    }

    #[test]
    fn a_process_knows_itself_and_not_a_namesake() {
        let me = Identity::parse(&own_text()).unwrap();
        assert!(me.is_alive() && me.open().unwrap().is_some());
        assert!(!wait(&me.open().unwrap().unwrap(), Duration::ZERO).unwrap());
        for other in [
            Identity { started: me.started + 1, ..me.clone() },
            Identity { boot: "another".to_owned(), ..me.clone() },
            Identity { pid: i32::MAX, ..me.clone() },
        ] {
            assert!(!other.is_alive() && other.open().unwrap().is_none(), "{other:?}");
        }
    }

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let mut fields = vec!["S", "1", "7", "8"];
        fields.resize(19, "0");
        fields.push("4242");
        let stat = Stat::parse(&format!("17 (a) b (c)) {}", fields.join(" "))).unwrap();
        assert_eq!((stat.pid, stat.state, stat.session, stat.started), (17, 'S', 8, 4242));
        for bad in ["", "17", "17 (sh)", "17 (sh) S 1 2"] {
            assert!(Stat::parse(bad).is_none(), "{bad}");
        }
    }
}
