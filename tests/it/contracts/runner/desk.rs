//! Workspaces whose agent is a shell script, and the pipes by which a test and the script talk.

use super::{PATIENCE, attempt};
use cloud_code::ports::{Launch, Limits, Network};
use cloud_code_model::ids::AttemptId;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

/// Says that it runs, then ends with the code that it is told. A container's process 1 gets no signal that it does not listen for.
pub(super) const OBEDIENT: &str = r#"
trap 'exit 130' INT
echo out; echo err >&2
echo x >>started
exec 3<>go
echo ready >ready
read code <&3
exit "$code"
"#;

/// A folder for the workspaces of one test.
pub(super) struct Desk {
    root: tempfile::TempDir,
    run: String,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), run: uuid::Uuid::new_v4().to_string() }
    }

    pub(super) fn path(&self) -> &Path {
        self.root.path()
    }

    fn workspace(&self, attempt: &AttemptId) -> PathBuf {
        self.path().join(attempt.name())
    }

    /// A launch whose agent is `script`, run by `sh` in the workspace, with the pipes `ready` and `go` beside it.
    pub(super) fn launch(&self, number: u32, script: &str) -> Launch {
        let attempt = attempt(&self.run, number);
        let workspace = self.workspace(&attempt);
        if !workspace.exists() {
            fs::create_dir(&workspace).unwrap();
            fs::write(workspace.join("agent.sh"), format!("cd \"$CLOUD_CODE_WORKSPACE\"\n{script}")).unwrap();
            for pipe in ["ready", "go"] {
                let path = workspace.join(pipe);
                assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
                fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
            }
        }
        Launch {
            attempt,
            image: String::new(),
            workspace,
            objects: None,
            fetch: None,
            env: Vec::new(),
            secrets: Vec::new(),
            network: Network::Open,
            limits: Limits { memory_bytes: 256 << 20, cpus: 1.0, pids: 100, tmpfs_bytes: 16 << 20 },
        }
    }

    /// Waits until the script writes a line into `ready`, and returns it.
    pub(super) async fn ready(&self, attempt: &AttemptId) -> String {
        let path = self.workspace(attempt).join("ready");
        // Opened for both, so that neither side waits for the other in open(2).
        let mut pipe = pipe::OpenOptions::new().read_write(true).open_receiver(path).unwrap();
        let mut line = Vec::new();
        let reading = async {
            while !line.ends_with(b"\n") {
                line.push(pipe.read_u8().await.unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the agent did not get ready");
        String::from_utf8(line).unwrap().trim().to_owned()
    }

    /// Gives the script a line on `go`.
    pub(super) async fn go(&self, attempt: &AttemptId, line: &str) {
        let path = self.workspace(attempt).join("go");
        let mut pipe = pipe::OpenOptions::new().open_sender(path).unwrap();
        pipe.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    pub(super) fn starts(&self, attempt: &AttemptId) -> usize {
        fs::read_to_string(self.workspace(attempt).join("started")).map_or(0, |text| text.lines().count())
    }
}
