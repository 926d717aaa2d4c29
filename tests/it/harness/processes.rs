//! The processes of a world: those of the agents that its server started.

use super::World;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A process that runs.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// Its arguments, with spaces between them.
    pub(crate) command: String,
}

impl World {
    /// The agents' processes: those with the world's folder in their environment or as their working folder.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let server = self.server.as_ref().map(super::ServerProcess::pid);
        let mut found = below(self.dir());
        found.retain(|process| Some(process.pid) != server);
        found
    }

    /// The agent proper, `cloud-code agent`, of the only attempt that runs.
    pub(crate) fn agent_process(&self) -> Process {
        let all = self.processes();
        let wanted = format!("{} agent", super::server::PROGRAM);
        let mut agents: Vec<_> = all.iter().filter(|process| process.command == wanted).collect();
        // One that it is about to start has its name until it has become another program.
        let pids: Vec<i32> = agents.iter().map(|process| process.pid).collect();
        agents.retain(|process| !pids.contains(&process.parent));
        assert_eq!(agents.len(), 1, "{all:?}");
        agents[0].clone()
    }
}

/// The running processes that have to do with a folder.
pub(crate) fn below(dir: &Path) -> Vec<Process> {
    let own = std::process::id().cast_signed();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let proc = entry.path();
        let here = fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
            || fs::read(proc.join("environ"))
                .is_ok_and(|environ| contains(&environ, dir.as_os_str().as_bytes()));
        // After the name in parentheses: the state, the parent, and more.
        let stat = fs::read_to_string(proc.join("stat")).unwrap_or_default();
        let mut fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
        let runs = fields.next().is_some_and(|state| !matches!(state, "Z" | "X" | ""));
        let parent = fields.next().and_then(|parent| parent.parse().ok()).unwrap_or_default();
        if pid != own && here && runs {
            let command = fs::read(proc.join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
            found.push(Process { pid, parent, command });
        }
    }
    found
}

/// Whether bytes contain others.
pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && haystack.windows(needle.len()).any(|window| window == needle)
}
