//! The server's end of git's smart HTTP, protocol version 0, stateless: three pure functions from request bytes to
//! response bytes. Who may ask is the HTTP layer's business; so are headers and streaming.
//!
//! It serves small repositories on loopback (a demonstration's forge, a test's GitHub): answers are built in memory, and
//! shallow and partial clones are not offered. Sources: git's Documentation/gitprotocol-http.adoc and
//! gitprotocol-pack.adoc.
//!
//! | request | function | content type of the answer |
//! | --- | --- | --- |
//! | `GET /info/refs?service=git-…` | [`info_refs`] | `application/x-git-…-advertisement` |
//! | `POST /git-upload-pack` | [`upload_pack`] | `application/x-git-upload-pack-result` |
//! | `POST /git-receive-pack` | [`receive_pack`] | `application/x-git-receive-pack-result` |
//!
//! The git program sends large negotiations with `Content-Encoding: gzip`: [`gunzip`] such bodies first.

mod receive_pack;
mod upload_pack;

use std::io::Read;
use std::path::Path;

use git2::{Oid, Repository};

pub use receive_pack::{Received, RefUpdate, receive_pack};
pub use upload_pack::upload_pack;

use crate::pktline;

const AGENT: &str = concat!("agent=cloud-code/", env!("CARGO_PKG_VERSION"));

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The client's mistake; the HTTP layer answers 400.
    #[error("not a valid git request: {0}")]
    Request(String),
    /// There is no repository at that path; the HTTP layer answers 404.
    #[error("no repository is there")]
    NotFound,
    /// The repository could not be read or written; the HTTP layer answers 500.
    #[error("repository error: {0}")]
    Repository(#[from] git2::Error),
}

/// The two services of smart HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Clone and fetch.
    UploadPack,
    /// Push.
    ReceivePack,
}

impl Service {
    /// The name as it stands in URLs: `git-upload-pack` or `git-receive-pack`.
    pub fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    /// The service of that name (the value of `service=`, or the last segment of a POST's path).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::UploadPack, Self::ReceivePack].into_iter().find(|service| service.name() == name)
    }

    fn capabilities(self, head: Option<&str>) -> String {
        match self {
            // multi_ack_detailed is not an extra here: in stateless HTTP a client can only learn from it which commits
            // to repeat in its next request, and the git program ends in a protocol error without it.
            Self::UploadPack => {
                let symref = head.map(|target| format!(" symref=HEAD:{target}")).unwrap_or_default();
                format!("multi_ack_detailed side-band-64k ofs-delta no-progress{symref} {AGENT}")
            }
            Self::ReceivePack => format!("report-status delete-refs side-band-64k ofs-delta {AGENT}"),
        }
    }
}

pub(crate) fn open(repository: &Path) -> Result<Repository, ServeError> {
    crate::setup::ready();
    let flags = git2::RepositoryOpenFlags::NO_SEARCH;
    Repository::open_ext(repository, flags, std::iter::empty::<&Path>()).map_err(|error| match error.code() {
        git2::ErrorCode::NotFound => ServeError::NotFound,
        _ => error.into(),
    })
}

/// One advertised reference, resolved to an object.
struct Advertised {
    name: String,
    id: Oid,
    /// What an annotated tag finally points at.
    peeled: Option<Oid>,
}

/// Every reference under `refs/`, sorted by name. Broken ones and names that are not UTF-8 are left out.
fn references(repository: &Repository) -> Result<Vec<Advertised>, git2::Error> {
    let mut found = Vec::new();
    for reference in repository.references()? {
        let reference = reference?;
        let Ok(name) = reference.name().map(str::to_owned) else { continue };
        let Some(id) = reference.resolve().ok().and_then(|resolved| resolved.target()) else { continue };
        let peeled = repository
            .find_tag(id)
            .ok()
            .and_then(|tag| tag.into_object().peel(git2::ObjectType::Any).ok())
            .map(|object| object.id());
        if name.starts_with("refs/") {
            found.push(Advertised { name, id, peeled });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The whole body of `GET …/info/refs?service=…`, its `# service=` line included.
///
/// # Errors
/// [`ServeError::NotFound`] where there is no repository, [`ServeError::Repository`] where it cannot be read.
pub fn info_refs(repository: &Path, service: Service) -> Result<Vec<u8>, ServeError> {
    let repository = open(repository)?;
    let references = references(&repository)?;
    let mut lines: Vec<(String, Oid)> = Vec::new();
    let head = repository.find_reference("HEAD").ok();
    let head_target = head.as_ref().and_then(|head| head.symbolic_target().ok().flatten().map(str::to_owned));
    let head_id = head.and_then(|head| head.resolve().ok()).and_then(|head| head.target());
    if service == Service::UploadPack
        && let Some(id) = head_id
    {
        lines.push(("HEAD".into(), id));
    }
    for Advertised { name, id, peeled } in references {
        if service == Service::UploadPack
            && let Some(peeled) = peeled
        {
            let peeled_name = format!("{name}^{{}}");
            lines.push((name, id));
            lines.push((peeled_name, peeled));
        } else {
            lines.push((name, id));
        }
    }
    if lines.is_empty() {
        lines.push(("capabilities^{}".into(), Oid::ZERO_SHA1));
    }

    let mut body = Vec::new();
    pktline::line(&mut body, format!("# service={}\n", service.name()).as_bytes());
    pktline::flush(&mut body);
    let capabilities = service.capabilities(head_id.and(head_target.as_deref()));
    for (index, (name, id)) in lines.iter().enumerate() {
        let line =
            if index == 0 { format!("{id} {name}\0{capabilities}\n") } else { format!("{id} {name}\n") };
        pktline::line(&mut body, line.as_bytes());
    }
    pktline::flush(&mut body);
    Ok(body)
}

/// Undoes the `Content-Encoding: gzip` of a request body.
///
/// # Errors
/// [`ServeError::Request`] where it is not gzip, or inflates to more than `limit` bytes.
pub fn gunzip(body: &[u8], limit: u64) -> Result<Vec<u8>, ServeError> {
    let mut inflated = Vec::new();
    let read = flate2::read::GzDecoder::new(body).take(limit.saturating_add(1)).read_to_end(&mut inflated);
    match read {
        Ok(length) if length as u64 <= limit => Ok(inflated),
        Ok(_) => Err(ServeError::Request(format!("the body inflates to more than {limit} bytes"))),
        Err(_) => Err(ServeError::Request("the body is not valid gzip".into())),
    }
}

/// The text of a line without its trailing newline.
fn text(line: &[u8]) -> Result<&str, ServeError> {
    let text = std::str::from_utf8(line).map_err(|_| ServeError::Request("a line is not UTF-8".into()))?;
    Ok(text.strip_suffix('\n').unwrap_or(text))
}

/// An object id of 40 lower or upper case hexadecimal digits, no shorter.
fn oid(digits: &str) -> Result<Oid, ServeError> {
    Some(digits)
        .filter(|digits| digits.len() == 40)
        .and_then(|digits| Oid::from_str(digits).ok())
        .ok_or_else(|| ServeError::Request("an object id must be 40 hexadecimal digits".into()))
}

fn framing(problem: String) -> ServeError {
    ServeError::Request(problem)
}
