//! libgit2's HTTP transport over ureq and rustls: smart HTTP, stateless.
//!
//! libgit2 is built without TLS here, so it could not speak https by itself; and its own credentials callback is not open
//! to transports written outside it. So the credentials of a call lie in a thread-local for as long as the call lasts
//! ([`with_call`]), and what went wrong is left there in our own terms, since libgit2 would reduce it to a string.
//!
//! Responses are streamed. Requests are small, save a push's pack, which is spooled to a temporary file beyond 1 MiB.

use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use tempfile::SpooledTempFile;
use ureq::SendBody;
use ureq::http::{Response, header};

use crate::error::one_line;
use crate::{Credentials, GitError, Remote};

/// Servers are known to treat agents whose name does not begin with `git/` as browsers.
const USER_AGENT: &str = concat!("git/2.0 (cloud-code/", env!("CARGO_PKG_VERSION"), ")");
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 5;
const SPOOL_IN_MEMORY: usize = 1024 * 1024;

/// What belongs to one operation with a remote.
struct Call {
    remote: String,
    credentials: Option<Credentials>,
    timeout: Duration,
    failure: Mutex<Option<GitError>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Call>>> = const { RefCell::new(None) };
}

/// Runs an operation of libgit2 with the remote's credentials at hand; also gives back the first failure that the
/// transport saw, if any.
pub(crate) fn with_call<T>(remote: &Remote, operation: impl FnOnce() -> T) -> (T, Option<GitError>) {
    let call = Arc::new(Call {
        remote: remote.url.clone(),
        credentials: remote.credentials.clone(),
        timeout: remote.timeout,
        failure: Mutex::new(None),
    });
    struct Restore(Option<Arc<Call>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let restore = Restore(CURRENT.replace(Some(Arc::clone(&call))));
    let result = operation();
    drop(restore);
    let failure = call.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    (result, failure)
}

/// Makes the transport of one connection; registered for http and https.
pub(crate) fn factory(remote: &git2::Remote<'_>) -> Result<Transport, git2::Error> {
    let call = CURRENT
        .with_borrow(Clone::clone)
        .ok_or_else(|| git2::Error::from_str("an HTTP remote was used outside of Remote::talk"))?;
    Transport::smart(remote, true, Http { call, base: Mutex::new(None) })
}

struct Http {
    call: Arc<Call>,
    /// Where the advertisement was finally found, after redirects; later requests go there.
    base: Mutex<Option<String>>,
}

impl SmartSubtransport for Http {
    fn action(&self, url: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let (name, advertisement) = match action {
            Service::UploadPackLs => ("git-upload-pack", true),
            Service::UploadPack => ("git-upload-pack", false),
            Service::ReceivePackLs => ("git-receive-pack", true),
            Service::ReceivePack => ("git-receive-pack", false),
        };
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        if advertisement {
            let (found, response) = self
                .call
                .advertisement(url.trim_end_matches('/'), name)
                .map_err(|error| self.call.fail(error))?;
            *base = Some(found);
            return Ok(Box::new(Stream { call: Arc::clone(&self.call), state: State::Response(response) }));
        }
        let base = base.clone().unwrap_or_else(|| url.trim_end_matches('/').to_owned());
        let state = State::Request { base, service: name, body: SpooledTempFile::new(SPOOL_IN_MEMORY) };
        Ok(Box::new(Stream { call: Arc::clone(&self.call), state }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

type Body = Box<dyn Read + Send>;

enum State {
    Request { base: String, service: &'static str, body: SpooledTempFile },
    Response(Body),
    Failed,
}

/// One request and its response: written until it is first read.
struct Stream {
    call: Arc<Call>,
    state: State,
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Request { body, .. } => body.write(bytes),
            State::Response(_) | State::Failed => Err(io::Error::other("the request was sent already")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let State::Request { base, service, body } = &mut self.state {
            let sent = self.call.post(base, service, body);
            self.state = State::Failed;
            match sent {
                Ok(response) => self.state = State::Response(response),
                Err(error) => return Err(io::Error::other(self.call.fail(error).message().to_owned())),
            }
        }
        match &mut self.state {
            State::Response(response) => response.read(buffer).map_err(|error| {
                let failure = self.call.network(&error.to_string());
                io::Error::other(self.call.fail(failure).message().to_owned())
            }),
            State::Request { .. } | State::Failed => Err(io::Error::other("the request failed before")),
        }
    }
}

impl Call {
    /// Keeps the first failure for the caller; libgit2 gets its text.
    fn fail(&self, error: GitError) -> git2::Error {
        let text = error.to_string();
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        git2::Error::new(git2::ErrorCode::GenericError, git2::ErrorClass::Net, text)
    }

    fn network(&self, detail: &str) -> GitError {
        GitError::Network { remote: self.remote.clone(), detail: one_line(detail) }
    }

    fn failed(&self, error: &ureq::Error) -> GitError {
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                GitError::Invalid(format!("{} is not a URL that can be asked", self.remote))
            }
            other => self.network(&other.to_string()),
        }
    }

    fn authorization(&self) -> Option<String> {
        let credentials = self.credentials.as_ref()?;
        Some(format!("Basic {}", BASE64.encode(format!("{}:{}", credentials.username, credentials.password))))
    }

    /// Gets the advertisement, following redirects on the same host: forges redirect repositories that were renamed.
    /// Gives back the repository's final address and the body.
    fn advertisement(&self, base: &str, service: &str) -> Result<(String, Body), GitError> {
        let suffix = format!("/info/refs?service={service}");
        let mut url = format!("{base}{suffix}");
        for _ in 0..=MAX_REDIRECTS {
            let mut request = agent().get(&url);
            if let Some(value) = self.authorization() {
                request = request.header(header::AUTHORIZATION, value);
            }
            let response = request
                .config()
                .timeout_global(Some(self.timeout))
                .build()
                .call()
                .map_err(|error| self.failed(&error))?;
            if !response.status().is_redirection() {
                let base = url.strip_suffix(&suffix).unwrap_or(base).to_owned();
                return Ok((base, self.accept(response, &format!("application/x-{service}-advertisement"))?));
            }
            url = self.redirected(&url, &response, &suffix)?;
        }
        Err(GitError::Other(format!("{} redirects more than {MAX_REDIRECTS} times", self.remote)))
    }

    fn redirected(
        &self,
        from: &str,
        response: &Response<ureq::Body>,
        suffix: &str,
    ) -> Result<String, GitError> {
        let location = response
            .headers()
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let origin = |url: &str| -> Option<(String, String)> {
            let (scheme, rest) = url.split_once("://")?;
            Some((scheme.to_ascii_lowercase(), rest.split(['/', '?', '#']).next()?.to_ascii_lowercase()))
        };
        let Some((scheme, host)) = origin(from) else {
            return Err(GitError::Other("a URL without a host".into()));
        };
        let to = if location.starts_with('/') && !location.starts_with("//") {
            format!("{scheme}://{host}{location}")
        } else {
            location.to_owned()
        };
        let same = origin(&to).is_some_and(|(to_scheme, to_host)| {
            to_host == host && (to_scheme == scheme || (scheme == "http" && to_scheme == "https"))
        });
        if !same || !to.ends_with(suffix) {
            return Err(GitError::Invalid(format!(
                "{} redirects to another place; credentials are not sent there. Use the repository's own address",
                self.remote
            )));
        }
        Ok(to)
    }

    fn post(&self, base: &str, service: &str, body: &mut SpooledTempFile) -> Result<Body, GitError> {
        let spooled = |source| GitError::Io { what: "spooling a request to git".into(), source };
        let length = body.seek(SeekFrom::End(0)).map_err(spooled)?;
        body.seek(SeekFrom::Start(0)).map_err(spooled)?;
        let mut request = agent()
            .post(format!("{base}/{service}"))
            .header(header::CONTENT_TYPE, format!("application/x-{service}-request"))
            .header(header::ACCEPT, format!("application/x-{service}-result"))
            .header(header::CONTENT_LENGTH, length.to_string());
        if let Some(value) = self.authorization() {
            request = request.header(header::AUTHORIZATION, value);
        }
        let response = request
            .config()
            .timeout_global(Some(self.timeout))
            .build()
            .send(SendBody::from_reader(body))
            .map_err(|error| self.failed(&error))?;
        self.accept(response, &format!("application/x-{service}-result"))
    }

    /// The body of a good answer; anything else becomes the error that it means.
    fn accept(&self, response: Response<ureq::Body>, expected: &str) -> Result<Body, GitError> {
        let status = response.status().as_u16();
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or_default().to_owned();
        if status == 200 && kind.split(';').next().is_some_and(|kind| kind.trim() == expected) {
            return Ok(Box::new(response.into_body().into_reader()));
        }
        let remote = self.remote.clone();
        let said = if kind.starts_with("text/plain") { self.words(response) } else { String::new() };
        let detail =
            if said.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {said}") };
        Err(match status {
            200 => GitError::Invalid(format!(
                "{remote} is no git repository: it answers with `{}`",
                one_line(&kind)
            )),
            401 | 403 => GitError::Authentication { remote, detail },
            404 | 410 => GitError::NotFound {
                what: remote,
                hint: "check the address, and that the credentials may see the repository".into(),
            },
            408 | 429 | 500.. => GitError::Network { remote, detail },
            _ => GitError::Other(format!("{remote} answered {detail}")),
        })
    }

    /// What a server says in plain words, short, and without our password should it repeat it.
    fn words(&self, response: Response<ureq::Body>) -> String {
        let mut bytes = Vec::new();
        if response.into_body().into_reader().take(1000).read_to_end(&mut bytes).is_err() {
            return String::new();
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match &self.credentials {
            Some(credentials) if !credentials.password.is_empty() => {
                one_line(&text.replace(&credentials.password, "***"))
            }
            _ => one_line(&text),
        }
    }
}

/// One agent for all calls, so that connections and the TLS roots are shared.
fn agent() -> &'static ureq::Agent {
    static AGENT: OnceLock<ureq::Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        crate::http::config(USER_AGENT).timeout_resolve(Some(RESOLVE_TIMEOUT)).build().new_agent()
    })
}
