//! `git-upload-pack`: what the client wants and has goes in, acknowledgements and a pack come out.
//!
//! Each request stands by itself: the client repeats its wants and the commits known to be common, so there is no state
//! to keep between two of them.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use git2::{ObjectType, Oid, Repository};

use super::{ServeError, framing, oid, open, references, text};
use crate::pktline::{self, Frame, Frames};

/// More lines of wants or haves than any client sends in one request.
const MAX_LINES: usize = 100_000;

#[derive(Default)]
struct Request {
    wants: BTreeSet<Oid>,
    haves: Vec<Oid>,
    done: bool,
    detailed: bool,
    side_band: Option<usize>,
}

fn read(body: &[u8]) -> Result<Request, ServeError> {
    let mut request = Request::default();
    let mut frames = Frames::new(body);
    let mut lines = 0;
    while let Some(frame) = frames.next().map_err(framing)? {
        let Frame::Line(line) = frame else { continue };
        lines += 1;
        if lines > MAX_LINES {
            return Err(ServeError::Request(format!("more than {MAX_LINES} lines in one request")));
        }
        let line = text(line)?;
        if let Some(rest) = line.strip_prefix("want ") {
            let (digits, capabilities) = rest.split_once(' ').unwrap_or((rest, ""));
            request.wants.insert(oid(digits)?);
            for capability in capabilities.split(' ') {
                match capability {
                    "multi_ack_detailed" => request.detailed = true,
                    "side-band-64k" => request.side_band = Some(pktline::MAX_PAYLOAD - 1),
                    "side-band" => request.side_band = request.side_band.or(Some(995)),
                    _ => {}
                }
            }
        } else if let Some(digits) = line.strip_prefix("have ") {
            request.haves.push(oid(digits)?);
        } else if line == "done" {
            request.done = true;
        } else {
            let what = line.split(' ').next().unwrap_or_default();
            return Err(ServeError::Request(format!(
                "`{what}` is not supported; this server has no shallow clones"
            )));
        }
    }
    Ok(request)
}

/// Answers `POST …/git-upload-pack`: the whole body of the response.
///
/// # Errors
/// [`ServeError::Request`] for a malformed request or a wanted object that no reference points at.
pub fn upload_pack(repository: &Path, body: &[u8]) -> Result<Vec<u8>, ServeError> {
    let repository = open(repository)?;
    let request = read(body)?;
    if request.wants.is_empty() {
        return Ok(Vec::new());
    }
    let advertised: HashSet<Oid> = references(&repository)?
        .iter()
        .flat_map(|reference| [Some(reference.id), reference.peeled])
        .flatten()
        .collect();
    let head = repository.head().ok().and_then(|head| head.target());
    if let Some(unknown) =
        request.wants.iter().find(|want| !advertised.contains(want) && Some(**want) != head)
    {
        return Err(ServeError::Request(format!("not our ref {unknown}")));
    }

    let odb = repository.odb()?;
    let common: Vec<Oid> = request.haves.iter().copied().filter(|have| odb.exists(*have)).collect();
    let mut answer = Vec::new();
    if request.detailed {
        for id in &common {
            pktline::line(&mut answer, format!("ACK {id} common\n").as_bytes());
        }
    }
    let last = common.last();
    if !request.done {
        match last {
            Some(id) if request.detailed => {
                if enough(&repository, &request.wants, &common) {
                    pktline::line(&mut answer, format!("ACK {id} ready\n").as_bytes());
                }
                pktline::line(&mut answer, b"NAK\n");
            }
            Some(id) => pktline::line(&mut answer, format!("ACK {id}\n").as_bytes()),
            None => pktline::line(&mut answer, b"NAK\n"),
        }
        return Ok(answer);
    }
    match last {
        Some(id) => pktline::line(&mut answer, format!("ACK {id}\n").as_bytes()),
        None => pktline::line(&mut answer, b"NAK\n"),
    }
    pack(&repository, &request, &common, &mut answer)?;
    Ok(answer)
}

/// Whether each want descends from something common, so that more haves would gain nothing.
fn enough(repository: &Repository, wants: &BTreeSet<Oid>, common: &[Oid]) -> bool {
    wants.iter().all(|want| {
        let Some(commit) = commit_of(repository, *want) else { return true };
        common
            .iter()
            .any(|have| *have == commit || repository.graph_descendant_of(commit, *have).unwrap_or(false))
    })
}

fn commit_of(repository: &Repository, id: Oid) -> Option<Oid> {
    let object = repository.find_object(id, None).ok()?;
    object.peel(ObjectType::Commit).ok().map(|commit| commit.id())
}

fn pack(
    repository: &Repository,
    request: &Request,
    common: &[Oid],
    answer: &mut Vec<u8>,
) -> Result<(), ServeError> {
    let mut builder = repository.packbuilder()?;
    let mut walk = repository.revwalk()?;
    for want in &request.wants {
        insert(repository, &mut builder, &mut walk, *want)?;
    }
    for have in common {
        if let Some(commit) = commit_of(repository, *have) {
            walk.hide(commit)?;
        }
    }
    builder.insert_walk(&mut walk)?;
    let limit = request.side_band;
    builder.foreach(|chunk| {
        match limit {
            Some(limit) => chunk.chunks(limit).for_each(|part| pktline::side_band(answer, 1, part)),
            None => answer.extend_from_slice(chunk),
        }
        true
    })?;
    if limit.is_some() {
        pktline::flush(answer);
    }
    Ok(())
}

/// Puts one want into the pack: commits by way of the walk, tags with what they point at, anything else as it is.
fn insert(
    repository: &Repository,
    builder: &mut git2::PackBuilder<'_>,
    walk: &mut git2::Revwalk<'_>,
    want: Oid,
) -> Result<(), git2::Error> {
    let mut id = want;
    loop {
        match repository.find_object(id, None)?.kind() {
            Some(ObjectType::Commit) => return walk.push(id),
            Some(ObjectType::Tag) => {
                builder.insert_object(id, None)?;
                id = repository.find_tag(id)?.target_id();
            }
            _ => return builder.insert_recursive(id, None),
        }
    }
}
