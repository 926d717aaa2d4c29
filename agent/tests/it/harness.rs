//! A workspace as the orchestrator prepares it, and a look at what the agent left there.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use cloud_code_model::task::{Conclusion, Report, StepConclusion, StepReport};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A repository with one commit, and a task folder.
pub(crate) struct Lab {
    dir: TempDir,
    pub(crate) base: String,
    env: Vec<(String, String)>,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("work");
        let repository = git2::Repository::init(&root).unwrap();
        fs::write(root.join("README.md"), "hello\n").unwrap();
        let mut index = repository.index().unwrap();
        index.add_path(Path::new("README.md")).unwrap();
        index.write().unwrap();
        let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
        let author = git2::Signature::now("A", "a@example.com").unwrap();
        let base =
            repository.commit(Some("HEAD"), &author, &author, "first", &tree, &[]).unwrap().to_string();
        fs::create_dir(root.join(".cloud-code")).unwrap();
        for name in ["bin", "home", "tmp"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Lab { dir, base, env: Vec::new() }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// A file beside the workspace.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn repository(&self) -> git2::Repository {
        git2::Repository::open(self.root()).unwrap()
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Lab {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A tasking with one task; `more` are further fields of it.
    pub(crate) fn tasking(&self, steps: &str, more: &str) -> String {
        let steps = steps.trim_end().lines().map(|line| format!("      {line}\n")).collect::<String>();
        let more = more.lines().map(|line| format!("    {line}\n")).collect::<String>();
        format!(
            "version: 1\nrun: r-1\njob: implement\nattempt: 1\ntasks:\n  - id: t1\n    \
             repository: {{ owner: acme, name: shop, default_branch: main }}\n    base: {}\n    \
             branch: cloud-code/issue-42\n    steps:\n{steps}{more}",
            self.base
        )
    }

    pub(crate) fn write_tasking(&self, text: &str) {
        fs::write(self.root().join(".cloud-code/tasking.yaml"), text).unwrap();
    }

    /// A program on the PATH of the agent.
    pub(crate) fn program(&self, name: &str, text: &str) {
        let path = self.dir.path().join("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A pipe by which a step says that it has come to some point.
    pub(crate) fn fifo(&self) -> PathBuf {
        let path = self.beside("fifo");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    pub(crate) fn start(&self) -> Child {
        let path = format!("{}:{}", self.dir.path().join("bin").display(), std::env::var("PATH").unwrap());
        Command::new(env!("CARGO_BIN_EXE_cloud-code-agent"))
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.beside("home"))
            .env("TMPDIR", self.beside("tmp"))
            .env("CLOUD_CODE_WORKSPACE", self.root())
            .env("CLOUD_CODE_RETRY_SECONDS", "0,0.01,0.01")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs a tasking with these steps to its end, in a container of this image as the server would start it.
    pub(crate) fn run_in(&self, image: &str, steps: &str, more: &str) -> Left {
        let output = self.output_in(image, steps, more);
        assert!(output.status.success(), "{output:?}");
        Left { report: self.report(), log: self.log(), output }
    }

    /// The same, whatever the end.
    pub(crate) fn output_in(&self, image: &str, steps: &str, more: &str) -> Output {
        self.write_tasking(&self.tasking(steps, more));
        let container = Container::new(image);
        self.give(container.user);
        let left = Command::new("docker")
            .args(container.arguments(&self.root(), &self.env))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .output();
        self.give((rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()));
        left.unwrap()
    }

    /// Gives the workspace to a user, where this one may.
    fn give(&self, (user, group): (u32, u32)) {
        if rustix::process::geteuid().is_root() {
            let owner = format!("{user}:{group}");
            assert!(Command::new("chown").args(["-R", &owner]).arg(self.root()).status().unwrap().success());
        }
    }

    /// Runs a tasking with these steps to its end.
    pub(crate) fn run(&self, steps: &str, more: &str) -> Left {
        self.write_tasking(&self.tasking(steps, more));
        self.wait(self.start())
    }

    pub(crate) fn wait(&self, child: Child) -> Left {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Left { report: self.report(), log: self.log(), output }
    }

    pub(crate) fn report(&self) -> Report {
        Report::parse(&fs::read(self.root().join(".cloud-code/reporting.yaml")).unwrap(), 1 << 20).unwrap()
    }

    /// The log without its time stamps.
    pub(crate) fn log(&self) -> String {
        let text = fs::read(self.root().join(".cloud-code/log.txt")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines()
            .map(|line| format!("{}\n", line.split_once("Z ").map_or(line, |(_, rest)| rest)))
            .collect()
    }

    pub(crate) fn transcript(&self) -> String {
        fs::read_to_string(self.root().join(".cloud-code/transcript.jsonl")).unwrap()
    }

    /// The names of the files in a commit.
    pub(crate) fn files(&self, commit: &str) -> Vec<String> {
        let repository = self.repository();
        let tree = repository.find_commit(commit.parse().unwrap()).unwrap().tree().unwrap();
        let mut names = Vec::new();
        tree.walk(git2::TreeWalkMode::PreOrder, |folder, entry| {
            if entry.kind() == Some(git2::ObjectType::Blob) {
                names.push(format!("{folder}{}", entry.name().unwrap()));
            }
            git2::TreeWalkResult::Ok
        })
        .unwrap();
        names
    }

    /// Checks that the bundle is what the report says.
    pub(crate) fn check_bundle(&self, report: &Report) {
        let changes = report.tasks.last().unwrap().changes.as_ref().unwrap();
        let bytes = fs::read(self.root().join(".cloud-code").join(changes.bundle.as_ref().unwrap())).unwrap();
        assert_eq!(hex::encode(Sha256::digest(&bytes)), changes.sha256.clone().unwrap());
        let header = cloud_code_git::bundle::parse_header(&bytes).unwrap();
        let shown: Vec<String> = header.references.iter().map(|(name, id)| format!("{name} {id}")).collect();
        assert_eq!(shown, [format!("refs/heads/cloud-code/issue-42 {}", changes.head)]);
        let needs: Vec<String> = header.prerequisites.iter().map(ToString::to_string).collect();
        assert_eq!(needs, std::slice::from_ref(&self.base));
    }
}

/// A CLI's image; None, said aloud, where there is no Docker to test with. CI may not skip.
pub(crate) fn image(cli: &str) -> Option<String> {
    if std::env::var("CLOUD_CODE_TEST_DOCKER").as_deref() != Ok("1") {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "CI has to test in containers: set CLOUD_CODE_TEST_DOCKER=1"
        );
        let _ = writeln!(std::io::stderr(), "skipped: needs Docker; set CLOUD_CODE_TEST_DOCKER=1");
        return None;
    }
    let prefix = std::env::var("CLOUD_CODE_TEST_IMAGES").unwrap_or("cloud-code-agent-".to_owned());
    Some(format!("{prefix}{cli}:latest"))
}

/// A container to be; it is gone when this is dropped, also when a test failed meanwhile.
struct Container {
    name: String,
    image: String,
    user: (u32, u32),
}

impl Container {
    fn new(image: &str) -> Container {
        let user = match rustix::process::geteuid().as_raw() {
            0 => (1000, 1000),
            user => (user, rustix::process::getegid().as_raw()),
        };
        let name = format!("cloud-code-agent-test-{}", uuid::Uuid::new_v4().simple());
        Container { name, image: image.to_owned(), user }
    }

    /// The sandbox of `src/adapters/vps/docker/spec.rs`, in Docker's own words.
    fn arguments(&self, root: &Path, env: &[(String, String)]) -> Vec<String> {
        let (user, group) = self.user;
        let mut arguments: Vec<String> =
            ["run", "--rm", "--read-only", "--cap-drop", "ALL"].map(str::to_owned).into();
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        option("--name", self.name.clone());
        option("--security-opt", "no-new-privileges".to_owned());
        option("--user", format!("{user}:{group}"));
        option("--tmpfs", "/tmp:rw,exec,nosuid,nodev,mode=1777".to_owned());
        option("--tmpfs", format!("/home/agent:rw,exec,nosuid,nodev,mode=0700,uid={user},gid={group}"));
        option("--add-host", "host.docker.internal:host-gateway".to_owned());
        option("--volume", format!("{}:/workspace", root.display()));
        option("--env", "CLOUD_CODE_RETRY_SECONDS=0,0.01,0.01".to_owned());
        // By its name alone: the value comes from the client's environment.
        env.iter().for_each(|(name, _)| option("--env", name.clone()));
        arguments.push(self.image.clone());
        arguments
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rm", "-fv", &self.name])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// What the agent left.
pub(crate) struct Left {
    pub(crate) report: Report,
    pub(crate) log: String,
    pub(crate) output: Output,
}

impl Left {
    pub(crate) fn conclusion(&self) -> Conclusion {
        self.report.conclusion.unwrap()
    }

    pub(crate) fn message(&self) -> &str {
        self.report.message.as_deref().unwrap_or_default()
    }

    pub(crate) fn step(&self, number: usize) -> &StepReport {
        &self.report.tasks[0].steps[number]
    }

    pub(crate) fn conclusions(&self) -> Vec<StepConclusion> {
        self.report.tasks[0].steps.iter().map(|step| step.conclusion.unwrap()).collect()
    }

    /// The conclusion, with all there is to know when it is another.
    #[track_caller]
    pub(crate) fn expect(&self, conclusion: Conclusion) -> &Left {
        assert_eq!(self.conclusion(), conclusion, "{:#?}\n{:.8000}", self.report, self.log);
        self
    }
}
