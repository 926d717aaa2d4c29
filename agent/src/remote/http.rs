//! The few requests that the agent makes, and patience with them.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

const TIMEOUT: Duration = Duration::from_secs(300);
/// Nothing that is read here is larger: a tasking holds an event, which has 25 MB at most.
const MAX_BODY: u64 = 32 * 1024 * 1024;
/// Waits between tries, about two minutes in all.
const WAITS: [u64; 7] = [1, 2, 4, 8, 16, 32, 60];

/// Why there is no answer to be had.
#[derive(Debug)]
pub(super) enum HttpError {
    /// A clear answer, which will be the same next time.
    Status(u16),
    /// No answer, or one that asks for patience.
    Unavailable(String),
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HttpError::Status(status) => write!(f, "the storage answered {status}"),
            HttpError::Unavailable(reason) => f.write_str(reason),
        }
    }
}

/// Header names and values.
pub(super) type Headers = Vec<(String, String)>;

fn client() -> &'static ureq::Agent {
    static CLIENT: OnceLock<ureq::Agent> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let name = concat!("cloud-code-agent/", env!("CARGO_PKG_VERSION"));
        cloud_code_git::http::config(name).timeout_global(Some(TIMEOUT)).build().new_agent()
    })
}

/// The request without its address: a link is a secret while it lasts.
fn unavailable(error: &ureq::Error) -> HttpError {
    HttpError::Unavailable(match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "the address is none that can be asked".to_owned(),
        other => other.to_string(),
    })
}

fn answered(status: u16) -> Result<(), HttpError> {
    match status {
        200..=299 => Ok(()),
        429 | 500..=599 => Err(HttpError::Unavailable(format!("the storage answered {status}"))),
        other => Err(HttpError::Status(other)),
    }
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, HttpError> + Send + 'static,
) -> Result<T, HttpError> {
    let done = tokio::task::spawn_blocking(call).await;
    done.unwrap_or_else(|error| Err(HttpError::Unavailable(error.to_string())))
}

pub(super) async fn get(url: String, headers: Headers) -> Result<Vec<u8>, HttpError> {
    blocking(move || {
        let mut request = client().get(&url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut response = request.call().map_err(|error| unavailable(&error))?;
        answered(response.status().as_u16())?;
        response.body_mut().with_config().limit(MAX_BODY).read_to_vec().map_err(|error| unavailable(&error))
    })
    .await
}

pub(super) async fn delete(url: String, headers: Headers) -> Result<(), HttpError> {
    blocking(move || {
        let mut request = client().delete(&url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.call().map_err(|error| unavailable(&error))?;
        answered(response.status().as_u16())
    })
    .await
}

/// Keeps its turn until the request is over, also when nobody waits for that any more: an older report must not come after the last one.
pub(super) async fn put(url: String, body: Vec<u8>, turn: OwnedMutexGuard<()>) -> Result<(), HttpError> {
    blocking(move || {
        let _turn = turn;
        let response = client().put(&url).send(&body[..]).map_err(|error| unavailable(&error))?;
        answered(response.status().as_u16())
    })
    .await
}

/// Makes a request until there is an answer, for about two minutes. Each try is made anew, since signatures age.
pub(super) async fn patiently<T, F: Future<Output = Result<T, HttpError>>>(
    request: impl Fn() -> Result<F, String>,
) -> Result<T, String> {
    let mut waits = WAITS.iter();
    loop {
        match request()?.await {
            Ok(answer) => return Ok(answer),
            Err(error @ HttpError::Status(_)) => return Err(error.to_string()),
            Err(error) => match waits.next() {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(*seconds)).await,
                None => return Err(error.to_string()),
            },
        }
    }
}
