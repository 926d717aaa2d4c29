//! The workspace's `.cloud-code/` folder: where each file lies, and reading the tasking.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use cloud_code_model::task::{
    BUNDLE_FILE, EARLIER_SESSION_FILE, FOLDER, LOG_FILE, REPORTING_FILE, SESSION_FILE, TASKING_FILE,
    TRANSCRIPT_FILE, Tasking, TaskingError,
};
use serde::Deserialize;

/// Most bytes of a tasking file: an event is at most 25 MB, and the agent is to stay small.
const MAX_TASKING: u64 = 32 * 1024 * 1024;

/// Name under which a report is written before it gets its own.
const REPORTING_TEMPORARY: &str = ".reporting.yaml.tmp";

/// The same of the archive of conversations.
const SESSION_TEMPORARY: &str = ".session.tar.gz.tmp";

/// A checkout with a task folder.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
}

/// The parts of a tasking by which even an unreadable one can be answered.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Identity {
    pub(crate) run: String,
    pub(crate) job: String,
    pub(crate) attempt: u32,
}

/// Why there is no tasking.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("{path} is over {MAX_TASKING} bytes long")]
    TooLarge { path: String },
    #[error("{error}")]
    Refused { error: TaskingError, identity: Option<Identity> },
}

impl Workspace {
    pub(crate) fn new(root: PathBuf) -> Workspace {
        Workspace { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that the agent leaves its files in.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root.join(FOLDER)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder().join(LOG_FILE)
    }

    pub(crate) fn transcript(&self) -> PathBuf {
        self.folder().join(TRANSCRIPT_FILE)
    }

    /// The archive of conversations, and the name under which it is written before it gets its own.
    pub(crate) fn session(&self) -> (PathBuf, PathBuf) {
        (self.folder().join(SESSION_FILE), self.folder().join(SESSION_TEMPORARY))
    }

    /// That of an earlier attempt.
    pub(crate) fn earlier_session(&self) -> PathBuf {
        self.folder().join(EARLIER_SESSION_FILE)
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.folder().join(REPORTING_FILE)
    }

    pub(crate) fn report_temporary(&self) -> PathBuf {
        self.folder().join(REPORTING_TEMPORARY)
    }

    /// Reads the tasking anew.
    pub(crate) fn tasking(&self) -> Result<Tasking, ReadError> {
        let path = self.folder().join(TASKING_FILE);
        let shown = path.display().to_string();
        let io = |source| ReadError::Io { path: shown.clone(), source };
        let mut bytes = Vec::new();
        File::open(&path).map_err(io)?.take(MAX_TASKING + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > MAX_TASKING {
            return Err(ReadError::TooLarge { path: shown });
        }
        Tasking::parse(&bytes).map_err(|error| ReadError::Refused {
            error,
            identity: serde_yaml::from_slice(&bytes).ok().filter(|identity: &Identity| identity.attempt > 0),
        })
    }

    /// Paths, relative to the root, that are never committed: the files of this folder that are not the repository's own.
    pub(crate) fn never_committed(&self) -> Vec<String> {
        [
            TASKING_FILE,
            REPORTING_FILE,
            REPORTING_TEMPORARY,
            LOG_FILE,
            TRANSCRIPT_FILE,
            SESSION_FILE,
            SESSION_TEMPORARY,
            EARLIER_SESSION_FILE,
            BUNDLE_FILE,
        ]
        .map(|name| format!("{FOLDER}/{name}"))
        .into()
    }

    /// Tells git of these files too, so that a `git add --all` inside a step leaves them alone. A workspace without a
    /// `.git` folder is left as it is: the finish will say what is wrong with it.
    pub(crate) fn hide_own_files(&self) -> io::Result<()> {
        let git = self.root.join(".git");
        if !git.is_dir() {
            return Ok(());
        }
        let info = git.join("info");
        fs::create_dir_all(&info)?;
        let path = info.join("exclude");
        let known = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut lines: Vec<String> =
            self.never_committed().into_iter().map(|name| format!("/{name}")).collect();
        // aider's map of the repository, which it keeps beside the work wherever it is told to.
        lines.push("/.aider.tags.cache.v*/".to_owned());
        lines.retain(|line| !known.lines().any(|known| known == line));
        if lines.is_empty() {
            return Ok(());
        }
        let gap = if known.is_empty() || known.ends_with('\n') { "" } else { "\n" };
        let mut file = File::options().create(true).append(true).open(&path)?;
        file.write_all(format!("{gap}{}\n", lines.join("\n")).as_bytes())
    }
}
