//! Faults as state: what GitHub will do wrong the next times that a request of some kind comes.

use std::time::Duration;

use tokio::sync::watch;

/// Which requests a fault is for.
#[derive(Debug, Clone)]
pub struct Matcher {
    method: Option<String>,
    path: String,
}

impl Matcher {
    /// Requests of this method whose path (without the query) fits the pattern; `*` stands for anything, slashes too.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: Some(method.to_uppercase()), path: path.to_owned() }
    }

    /// Requests of any method.
    #[must_use]
    pub fn any(path: &str) -> Self {
        Self { method: None, path: path.to_owned() }
    }

    pub(crate) fn fits(&self, method: &str, path: &str) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted == method) && glob(&self.path, path)
    }
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status and body, and nothing is done.
    Status(u16, String),
    /// The primary rate limit is used up: 403, no requests remaining, reset after this time.
    RateLimited {
        /// Until the limit is reset.
        retry_after: Duration,
    },
    /// The secondary rate limit: 403 with `retry-after`, or without it.
    SecondaryLimit {
        /// The `retry-after` header, where GitHub sends one.
        retry_after: Option<Duration>,
    },
    /// Says nothing for this time, then goes on as usual. A client that has left by then had no effect.
    Hang(Duration),
    /// Closes the connection without an answer; nothing is done.
    DropConnection,
    /// Does what was asked, then answers this status as a gateway that lost the answer does.
    AfterEffect(u16),
    /// Does what was asked, then closes the connection without an answer.
    DropAfterEffect,
}

/// A fault with the number of requests it is still for.
#[derive(Debug, Clone)]
pub(crate) struct PlannedFault {
    pub(crate) matcher: Matcher,
    pub(crate) fault: Fault,
    pub(crate) times: usize,
}

/// Takes the next fault for a request, if one is planned.
pub(crate) fn take(faults: &mut Vec<PlannedFault>, method: &str, path: &str) -> Option<Fault> {
    let index = faults.iter().position(|planned| planned.matcher.fits(method, path))?;
    let planned = &mut faults[index];
    let fault = planned.fault.clone();
    planned.times = planned.times.saturating_sub(1);
    if planned.times == 0 {
        faults.remove(index);
    }
    Some(fault)
}

/// At which moment a request is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It has arrived, and nothing has been done.
    Before,
    /// It has been done, and nothing has been answered.
    After,
}

/// A request that the forge holds while a test does something else, such as killing whoever made it. It is never answered:
/// when this is dropped, its connection is closed. Where it has not come by then, it is answered as any other.
#[derive(Debug)]
pub struct Pause {
    reached: watch::Receiver<bool>,
    _held: watch::Sender<()>,
}

impl Pause {
    /// Waits until the request is there and held. Never ends if it never comes.
    pub async fn reached(&mut self) {
        if self.reached.wait_for(|reached| *reached).await.is_err() {
            // The forge was stopped, so that the request can come no more.
            std::future::pending::<()>().await;
        }
    }
}

/// A pause that is planned for the request that fits after `skip` others did.
#[derive(Debug)]
pub(crate) struct PlannedPause {
    matcher: Matcher,
    skip: usize,
    pub(crate) when: When,
    reached: watch::Sender<bool>,
    held: watch::Receiver<()>,
}

impl PlannedPause {
    pub(crate) fn new(matcher: Matcher, skip: usize, when: When) -> (Self, Pause) {
        let (reached, reached_out) = watch::channel(false);
        let (held_out, held) = watch::channel(());
        (Self { matcher, skip, when, reached, held }, Pause { reached: reached_out, _held: held_out })
    }

    /// Holds the request until the test lets go of its [`Pause`].
    pub(crate) async fn hold(mut self) {
        self.reached.send_replace(true);
        while self.held.changed().await.is_ok() {}
    }
}

/// Takes the pause that is due for a request, if one is planned.
pub(crate) fn take_pause(pauses: &mut Vec<PlannedPause>, method: &str, path: &str) -> Option<PlannedPause> {
    pauses.retain(|planned| planned.held.has_changed().is_ok());
    let mut due = None;
    for (index, planned) in
        pauses.iter_mut().enumerate().filter(|(_, planned)| planned.matcher.fits(method, path))
    {
        match planned.skip.checked_sub(1) {
            Some(left) => planned.skip = left,
            None => due = due.or(Some(index)),
        }
    }
    due.map(|index| pauses.remove(index))
}

fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, path: &str, want: bool| {
            assert_eq!(glob(pattern, path), want, "{pattern} on {path}");
        };
        check("/repos/a/b/pulls", "/repos/a/b/pulls", true);
        check("/repos/a/b/pulls", "/repos/a/b/pulls/1", false);
        check("/repos/*/pulls", "/repos/a/b/pulls", true);
        check("/repos/*/comments*", "/repos/a/b/issues/1/comments", true);
        check("*", "/anything", true);
        check("/repos/*/git-upload-pack", "/a/b.git/git-upload-pack", false);
        check("*/git-receive-pack", "/a/b.git/git-receive-pack", true);
    }

    #[test]
    fn a_fault_is_taken_as_often_as_planned() {
        let mut faults = vec![PlannedFault {
            matcher: Matcher::new("post", "/x"),
            fault: Fault::DropConnection,
            times: 2,
        }];
        assert!(take(&mut faults, "GET", "/x").is_none());
        assert!(take(&mut faults, "POST", "/x").is_some());
        assert!(take(&mut faults, "POST", "/x").is_some());
        assert!(take(&mut faults, "POST", "/x").is_none());
    }

    #[test]
    fn a_pause_waits_for_its_turn() {
        let (planned, _pause) = PlannedPause::new(Matcher::any("/x*"), 1, When::After);
        let mut pauses = vec![planned];
        assert!(take_pause(&mut pauses, "GET", "/x1").is_none());
        assert!(take_pause(&mut pauses, "GET", "/y").is_none());
        assert!(take_pause(&mut pauses, "GET", "/x2").is_some_and(|taken| taken.when == When::After));
        assert!(take_pause(&mut pauses, "GET", "/x3").is_none());
    }
}
