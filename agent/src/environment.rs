//! The environment of a step: what it inherits, what it is told, and which secrets it may have.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cloud_code_model::task::{Author, Task, Tasking};

use crate::config::AgentConfig;
use crate::proxy;

/// Variables by name.
pub(crate) type Variables = BTreeMap<String, String>;

/// Where a home goes when the image's own cannot be written to.
const FALLBACK_HOME: &str = "/tmp/home";

/// The author of commits when the tasking names none.
pub(crate) fn default_author() -> Author {
    Author {
        name: "cloud-code[bot]".to_owned(),
        email: "cloud-code[bot]@users.noreply.github.com".to_owned(),
    }
}

/// The process runner's mark on an attempt's processes: it ends what steps leave running by it, so steps keep it.
const PROCESS_MARK: &str = "CLOUD_CODE_PROCESS";

/// A home folder that can be written to: `HOME`, else a folder under `/tmp`.
pub(crate) fn home(config: &AgentConfig) -> PathBuf {
    let wanted = config.environment.get("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    if let Some(home) = wanted.filter(|home| tempfile::tempfile_in(home).is_ok()) {
        return home;
    }
    let fallback = PathBuf::from(FALLBACK_HOME);
    if fs::create_dir_all(&fallback).is_ok() && tempfile::tempfile_in(&fallback).is_ok() {
        return fallback;
    }
    std::env::temp_dir()
}

/// What every step of a task inherits: the agent's own environment without its secrets, and Actions' variables.
pub(crate) fn base(
    config: &AgentConfig,
    tasking: &Tasking,
    task: &Task,
    home: &Path,
    temporary: &Path,
) -> Variables {
    let mut variables = config.environment.clone();
    variables.retain(|name, _| !name.starts_with("CLOUD_CODE_") || name == PROCESS_MARK);
    let author = task.author.clone().unwrap_or_else(default_author);
    let workspace = config.workspace.display().to_string();
    let temporary = temporary.display().to_string();
    let told = [
        ("CI", "true".to_owned()),
        ("CLOUD_CODE", "true".to_owned()),
        ("CLOUD_CODE_RUN", tasking.run.clone()),
        ("GITHUB_WORKSPACE", workspace),
        ("GITHUB_REPOSITORY", format!("{}/{}", task.repository.owner, task.repository.name)),
        ("GITHUB_REPOSITORY_OWNER", task.repository.owner.clone()),
        ("GITHUB_SHA", task.base.clone()),
        ("GITHUB_JOB", tasking.job.clone()),
        ("GITHUB_RUN_ID", tasking.run.clone()),
        ("GITHUB_RUN_ATTEMPT", tasking.attempt.to_string()),
        ("RUNNER_OS", "Linux".to_owned()),
        ("RUNNER_TEMP", temporary),
        ("HOME", home.display().to_string()),
        // A commit made inside a step is by the same author; a question by git would wait for ever.
        ("GIT_AUTHOR_NAME", author.name.clone()),
        ("GIT_AUTHOR_EMAIL", author.email.clone()),
        ("GIT_COMMITTER_NAME", author.name),
        ("GIT_COMMITTER_EMAIL", author.email),
        ("GIT_TERMINAL_PROMPT", "0".to_owned()),
    ];
    if config.proxy.is_some() {
        let url = format!("http://{}", proxy::ADDRESS);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            variables.insert(name.to_owned(), url.clone());
        }
        for name in ["NO_PROXY", "no_proxy"] {
            variables.insert(name.to_owned(), "localhost,127.0.0.1,::1".to_owned());
        }
        // Node looks at the variables only when it is asked to.
        variables.insert("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned());
    }
    variables.extend(told.into_iter().map(|(name, value)| (name.to_owned(), value)));
    variables
}

/// Puts folders before all others that programs are looked for in; the last one comes first.
pub(crate) fn prepend_path(variables: &mut Variables, folders: &[String]) {
    if folders.is_empty() {
        return;
    }
    let known = variables.remove("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    let all: Vec<&str> = folders.iter().rev().map(String::as_str).chain([known.as_str()]).collect();
    variables.insert("PATH".to_owned(), all.join(":"));
}

/// Where a program lies, looked for as a shell would with this environment.
pub(crate) fn find_program(variables: &Variables, name: &str) -> Option<PathBuf> {
    let path = variables.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str);
    path.split(':').filter(|folder| !folder.is_empty()).map(|folder| Path::new(folder).join(name)).find(
        |file| {
            use std::os::unix::fs::PermissionsExt;
            fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
        },
    )
}
