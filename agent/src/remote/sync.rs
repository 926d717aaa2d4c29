//! Carries the agent's files to their links, looks for a newer grant, and for appended tasks when the agent asks for them.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cloud_code_model::task::{
    BUNDLE_FILE, EARLIER_SESSION_FILE, Grant, LOG_FILE, REPORTING_FILE, Report, SESSION_FILE, Status,
    TASKING_FILE, TRANSCRIPT_FILE, Tasking,
};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::http::{self, HttpError};
use crate::workspace::Workspace;

/// The file that a newer grant comes in.
const GRANT_FILE: &str = "grant.json";
/// Between two looks at the files.
const LOOK: Duration = Duration::from_millis(500);
/// A report that says nothing new is carried this often, as a sign of life: well below the lease, and each is an event that is
/// paid for.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// Logs grow all the time, and an object can't be appended to.
const LOGS: Duration = Duration::from_secs(10);
/// Each further MiB of a log makes it wait so much longer.
const LOGS_PER_MIB: u32 = 5;
/// A newer grant is looked for when the present one has less time left; one comes when half of the hour is over.
const LEFT: SignedDuration = SignedDuration::from_mins(40);
/// The first look for it, and how long to wait between two.
const ASK_GRANT: Duration = Duration::from_secs(60);
/// Largest report that is looked into.
const MAX_REPORT: usize = 16 * 1024 * 1024;

/// What was carried.
#[derive(Debug, Default)]
struct Carried {
    report: Option<Report>,
    report_at: Option<Instant>,
    logs: [(u64, Option<SystemTime>, Option<Instant>); 2],
    asked_grant: Option<Instant>,
    tasking: Vec<u8>,
}

/// The files, and their links.
pub(super) struct Sync {
    workspace: Workspace,
    grant: RefCell<Grant>,
    carried: RefCell<Carried>,
    turn: Arc<Mutex<()>>,
}

impl Sync {
    pub(super) fn new(grant: &Grant, workspace: Workspace) -> Sync {
        // Secrets and token are where they are needed by now.
        let links = Grant { secrets: Default::default(), checkout: None, ..grant.clone() };
        Sync { workspace, grant: RefCell::new(links), carried: RefCell::default(), turn: Arc::default() }
    }

    /// Fetches the tasking.
    pub(super) async fn tasking(&self) -> Result<Vec<u8>, String> {
        let link =
            self.link(|grant| grant.get.get(TASKING_FILE).cloned()).ok_or("the grant has no link to it")?;
        let bytes = http::patiently(|| Ok(http::get(link.clone(), Vec::new()))).await?;
        self.carried.borrow_mut().tasking.clone_from(&bytes);
        Ok(bytes)
    }

    /// Fetches the conversations of an earlier attempt, where the tasking says that there are any. Without them new ones are begun.
    pub(super) async fn earlier_session(&self) -> Option<Vec<u8>> {
        let tasking = Tasking::parse(&self.carried.borrow().tasking).ok()?;
        let wanted = tasking
            .tasks
            .iter()
            .any(|task| task.earlier.as_ref().is_some_and(|earlier| earlier.lost.is_none()));
        let link = self.link(|grant| grant.get.get(EARLIER_SESSION_FILE).cloned()).filter(|_| wanted)?;
        http::patiently(|| Ok(http::get(link.clone(), Vec::new()))).await.ok()
    }

    /// Run, job and attempt: by the tasking where there is one, else by the attempt's name.
    pub(super) fn identity(&self) -> (String, String, u32) {
        if let Ok(tasking) = Tasking::parse(&self.carried.borrow().tasking) {
            return (tasking.run, tasking.job, tasking.attempt);
        }
        let grant = self.grant.borrow();
        // cloud-code-r-DIGITS-JOB-NUMBER
        let name = grant.attempt.trim_start_matches("cloud-code-");
        let (rest, number) = name.rsplit_once('-').unwrap_or((name, "1"));
        let at = rest.char_indices().filter(|(_, c)| *c == '-').nth(1).map_or(rest.len(), |(at, _)| at);
        let job = rest.get(at + 1..).unwrap_or_default();
        (rest[..at].to_owned(), job.to_owned(), number.parse().unwrap_or(1))
    }

    /// Carries what is new, for ever. What fails is tried again at the next look.
    pub(super) async fn follow(&self) -> Infallible {
        loop {
            self.carry_report().await;
            self.carry_logs().await;
            self.look_for_grant().await;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Carries everything, the closing report last.
    pub(super) async fn finish(&self) -> Result<(), String> {
        let mut trouble = None;
        for name in [BUNDLE_FILE, SESSION_FILE, LOG_FILE, TRANSCRIPT_FILE] {
            match self.read(name) {
                Ok(Some(bytes)) => trouble = self.put_patiently(name, bytes).await.err().or(trouble),
                Ok(None) => {}
                Err(error) => trouble = Some(format!("{name}: {error}")),
            }
        }
        let report = self.read(REPORTING_FILE).map_err(|error| format!("{REPORTING_FILE}: {error}"))?;
        if let Some(bytes) = report {
            self.put_patiently(REPORTING_FILE, bytes).await?;
        }
        trouble.map_or(Ok(()), Err)
    }

    async fn carry_report(&self) {
        let Ok(Some(bytes)) = self.read(REPORTING_FILE) else { return };
        let Ok(report) = Report::parse(&bytes, MAX_REPORT) else { return };
        // What was there before the agent began has been told; its closing one goes when all else has gone.
        if report.status != Status::InProgress {
            return;
        }
        let due = {
            let carried = self.carried.borrow();
            let alike =
                |last: &Report| *last == Report { sequence: last.sequence, at: last.at, ..report.clone() };
            let news = !carried.report.as_ref().is_some_and(alike);
            news || carried.report_at.is_none_or(|at| at.elapsed() >= SIGN_OF_LIFE)
        };
        if due && self.put(REPORTING_FILE, bytes).await.is_ok() {
            let mut carried = self.carried.borrow_mut();
            carried.report = Some(report);
            carried.report_at = Some(Instant::now());
        }
    }

    async fn carry_logs(&self) {
        for (number, name) in [LOG_FILE, TRANSCRIPT_FILE].into_iter().enumerate() {
            let Ok(metadata) = fs::metadata(self.path(name)) else { continue };
            let seen = (metadata.len(), metadata.modified().ok());
            let due = {
                let (size, modified, at) = self.carried.borrow().logs[number];
                let mebibytes = u32::try_from(seen.0 >> 20).unwrap_or(u32::MAX);
                let wait =
                    LOGS.saturating_add(Duration::from_secs(1).saturating_mul(mebibytes * LOGS_PER_MIB));
                seen.0 > 0 && seen != (size, modified) && at.is_none_or(|at| at.elapsed() >= wait)
            };
            if due
                && let Ok(Some(bytes)) = self.read(name)
                && self.put(name, bytes).await.is_ok()
            {
                self.carried.borrow_mut().logs[number] = (seen.0, seen.1, Some(Instant::now()));
            }
        }
    }

    /// Puts an appended task where the agent looks for it; called before it looks. What can't be had now is not there.
    pub(super) async fn look_for_tasks(&self) {
        let Some(link) = self.link(|grant| grant.get.get(TASKING_FILE).cloned()) else { return };
        let Ok(bytes) = http::get(link, Vec::new()).await else { return };
        if bytes == self.carried.borrow().tasking || Tasking::parse(&bytes).is_err() {
            return;
        }
        let path = self.path(TASKING_FILE);
        let temporary = path.with_extension("yaml.tmp");
        if fs::write(&temporary, &bytes).and_then(|()| fs::rename(&temporary, &path)).is_ok() {
            self.carried.borrow_mut().tasking = bytes;
        }
    }

    pub(super) async fn look_for_grant(&self) {
        let left = self.grant.borrow().expires_at.duration_since(Timestamp::now());
        let asked = self.carried.borrow().asked_grant;
        if left > LEFT || asked.is_some_and(|at| at.elapsed() < ASK_GRANT) {
            return;
        }
        self.carried.borrow_mut().asked_grant = Some(Instant::now());
        self.renew().await;
    }

    /// Takes a newer grant, where there is one.
    async fn renew(&self) {
        let Some(link) = self.link(|grant| grant.get.get(GRANT_FILE).cloned()) else { return };
        let Ok(bytes) = http::get(link, Vec::new()).await else { return };
        let Ok(newer) = Grant::parse(&bytes) else { return };
        let mut grant = self.grant.borrow_mut();
        if newer.attempt == grant.attempt && newer.expires_at > grant.expires_at {
            *grant = newer;
        }
    }

    pub(super) async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), HttpError> {
        let link = self.link(|grant| grant.put.get(name).cloned());
        match link {
            Some(link) => http::put(link, bytes, Arc::clone(&self.turn).lock_owned().await).await,
            None => Err(HttpError::Status(404)),
        }
    }

    async fn put_patiently(&self, name: &str, bytes: Vec<u8>) -> Result<(), String> {
        let put = || Ok(self.put(name, bytes.clone()));
        let Err(error) = http::patiently(put).await else { return Ok(()) };
        // The link may be over, and a newer one there.
        self.renew().await;
        http::patiently(put).await.map_err(|_| format!("{name} could not be handed over: {error}"))
    }

    fn link(&self, pick: impl FnOnce(&Grant) -> Option<String>) -> Option<String> {
        pick(&self.grant.borrow())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.workspace.folder().join(name)
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_attempts_name_is_read_back() {
        for (name, run, job, number) in [
            ("cloud-code-r-0123456789abcdef0123-implement-1", "r-0123456789abcdef0123", "implement", 1),
            ("cloud-code-r-0123456789abcdef0123-fix-it_2-30", "r-0123456789abcdef0123", "fix-it_2", 30),
        ] {
            let grant = Grant {
                version: 1,
                attempt: name.to_owned(),
                expires_at: Timestamp::UNIX_EPOCH,
                get: Default::default(),
                put: Default::default(),
                secrets: Default::default(),
                checkout: None,
            };
            let sync = Sync::new(&grant, Workspace::new(PathBuf::from("/nowhere")));
            assert_eq!(sync.identity(), (run.to_owned(), job.to_owned(), number));
        }
    }
}
