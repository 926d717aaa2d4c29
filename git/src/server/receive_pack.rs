//! `git-receive-pack`: commands and a pack go in, a report of what became of each reference comes out.
//!
//! A reference moves only when it still has the value that the client saw, and only once its new commit is there with
//! all of its history. The pack's objects stay in the repository even when every command is refused.

use std::io::Write;
use std::path::Path;

use git2::{ErrorCode, Oid, Reference, Repository};

use super::{ServeError, framing, oid, open, text};
use crate::pktline::{self, Frame, Frames};

/// More commands than any client sends in one push.
const MAX_COMMANDS: usize = 10_000;

/// One reference that a push wants to move, or has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// Full name, such as `refs/heads/main`.
    pub refname: String,
    /// The value before; `None` where the push creates the reference.
    pub old: Option<Oid>,
    /// The value after; `None` where the push deletes the reference.
    pub new: Option<Oid>,
    /// True where the old value is an ancestor of the new one, and for creations: no history is lost.
    pub fast_forward: bool,
}

/// What came of a push.
#[derive(Debug, Default)]
pub struct Received {
    /// The whole body of the response.
    pub body: Vec<u8>,
    /// The references that moved, in the order of the commands.
    pub updates: Vec<RefUpdate>,
}

struct Command {
    refname: String,
    old: Oid,
    new: Oid,
}

/// Answers `POST …/git-receive-pack`.
///
/// `allow` is asked about each reference once its objects are in; an `Err` refuses that reference and its text goes to
/// the client (as `protected branch hook declined` does on a forge).
///
/// # Errors
/// [`ServeError::Request`] for a malformed request. A refused reference is no error: it stands in the report.
pub fn receive_pack(
    repository: &Path,
    body: &[u8],
    allow: &dyn Fn(&RefUpdate) -> Result<(), String>,
) -> Result<Received, ServeError> {
    let repository = open(repository)?;
    let mut frames = Frames::new(body);
    let mut commands = Vec::new();
    let (mut report_status, mut side_band) = (false, false);
    loop {
        match frames.next().map_err(framing)? {
            None if commands.is_empty() => return Ok(Received::default()),
            None => return Err(ServeError::Request("the commands do not end in a flush".into())),
            Some(Frame::Flush) => break,
            Some(Frame::Line(line)) => {
                let mut halves = line.splitn(2, |byte| *byte == 0);
                let command = command(text(halves.next().unwrap_or_default())?)?;
                for capability in text(halves.next().unwrap_or_default())?.split(' ') {
                    report_status |= capability == "report-status";
                    side_band |= capability == "side-band-64k";
                }
                commands.push(command);
                if commands.len() > MAX_COMMANDS {
                    return Err(ServeError::Request(format!(
                        "more than {MAX_COMMANDS} commands in one push"
                    )));
                }
            }
        }
    }
    if commands.is_empty() {
        return Ok(Received::default());
    }

    let unpacked = unpack(&repository, frames.rest(), commands.iter().any(|command| !command.new.is_zero()));
    let mut report = Vec::new();
    match &unpacked {
        Ok(()) => pktline::line(&mut report, b"unpack ok\n"),
        Err(problem) => pktline::line(&mut report, format!("unpack {}\n", one_line(problem)).as_bytes()),
    }
    let mut updates = Vec::new();
    for command in commands {
        let applied = match &unpacked {
            Ok(()) => apply(&repository, &command, allow),
            Err(_) => Err("unpacker error".into()),
        };
        let line = match &applied {
            Ok(_) => format!("ok {}\n", command.refname),
            Err(reason) => format!("ng {} {}\n", command.refname, one_line(reason)),
        };
        pktline::line(&mut report, line.as_bytes());
        updates.extend(applied);
    }
    pktline::flush(&mut report);

    let body = match (report_status, side_band) {
        (false, _) => Vec::new(),
        (true, false) => report,
        (true, true) => {
            let mut body = Vec::new();
            pktline::side_band(&mut body, 1, &report);
            pktline::flush(&mut body);
            body
        }
    };
    Ok(Received { body, updates })
}

fn command(line: &str) -> Result<Command, ServeError> {
    let mut fields = line.splitn(3, ' ');
    let (Some(old), Some(new), Some(refname)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(ServeError::Request("a command must be `OLD NEW REFERENCE`".into()));
    };
    Ok(Command { refname: refname.to_owned(), old: oid(old)?, new: oid(new)? })
}

/// Adds the pack to the repository. A push that moves references to objects already there sends a pack of none.
fn unpack(repository: &Repository, pack: &[u8], expected: bool) -> Result<(), String> {
    if !expected && pack.is_empty() {
        return Ok(());
    }
    let header =
        pack.get(..12).filter(|header| header.starts_with(b"PACK")).ok_or("no pack follows the commands")?;
    if header.ends_with(&[0, 0, 0, 0]) {
        return Ok(());
    }
    let odb = repository.odb().map_err(|error| error.message().to_owned())?;
    let mut writer = odb.packwriter().map_err(|error| error.message().to_owned())?;
    writer.write_all(pack).map_err(|_| git2::Error::last_error(-1).message().to_owned())?;
    writer.commit().map_err(|error| error.message().to_owned())?;
    Ok(())
}

fn apply(
    repository: &Repository,
    command: &Command,
    allow: &dyn Fn(&RefUpdate) -> Result<(), String>,
) -> Result<RefUpdate, String> {
    let Command { refname, old, new } = command;
    if !refname.starts_with("refs/") || !Reference::is_valid_name(refname) {
        return Err("funny refname".into());
    }
    let current = repository.find_reference(refname).ok().and_then(|reference| reference.target());
    let (old, new) = (present(*old), present(*new));
    if current != old {
        return Err(match old {
            Some(_) => "stale info: the reference moved meanwhile".into(),
            None => "the reference already exists".into(),
        });
    }
    if let Some(new) = new {
        connected(repository, new, refname.starts_with("refs/heads/"))?;
    }
    let fast_forward = match (old, new) {
        (Some(old), Some(new)) => old == new || repository.graph_descendant_of(new, old).unwrap_or(false),
        (None, _) => true,
        (Some(_), None) => false,
    };
    let update = RefUpdate { refname: refname.clone(), old, new, fast_forward };
    allow(&update)?;
    let moved = match (old, new) {
        (None, Some(new)) => repository.reference(refname, new, false, "push").map(drop),
        (Some(old), Some(new)) => repository.reference_matching(refname, new, true, old, "push").map(drop),
        (Some(_), None) => repository.find_reference(refname).and_then(|mut reference| reference.delete()),
        (None, None) => Ok(()),
    };
    moved.map_err(|error| match error.code() {
        ErrorCode::Modified | ErrorCode::Exists | ErrorCode::Locked => {
            "stale info: the reference moved meanwhile".into()
        }
        _ => one_line(error.message()),
    })?;
    Ok(update)
}

/// The commit and every ancestor that no reference had before must be there, each with its root tree.
fn connected(repository: &Repository, new: Oid, branch: bool) -> Result<(), String> {
    let missing = |error: git2::Error| format!("missing necessary objects: {}", one_line(error.message()));
    let object = repository.find_object(new, None).map_err(missing)?;
    let Ok(commit) = object.peel_to_commit() else {
        return if branch { Err("a branch must point at a commit".into()) } else { Ok(()) };
    };
    if branch && object.kind() != Some(git2::ObjectType::Commit) {
        return Err("a branch must point at a commit".into());
    }
    let mut walk = repository.revwalk().map_err(missing)?;
    walk.push(commit.id()).map_err(missing)?;
    for reference in repository.references().map_err(missing)?.flatten() {
        if let Ok(known) = reference.peel_to_commit() {
            walk.hide(known.id()).map_err(missing)?;
        }
    }
    for id in walk {
        let commit = repository.find_commit(id.map_err(missing)?).map_err(missing)?;
        commit.tree().map_err(missing)?;
    }
    Ok(())
}

fn present(id: Oid) -> Option<Oid> {
    (!id.is_zero()).then_some(id)
}

/// A reason that fits one line of the report.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}
