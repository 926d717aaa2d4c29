//! How a world is set up: the repository's files, the server's settings.

use std::path::PathBuf;

/// What a test may choose. The default is a private repository with a README and no workflow of its own.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) files: Vec<(String, String)>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) default_branch: String,
    pub(crate) empty: bool,
    /// The GitHub description to check the traffic against, if any.
    pub(crate) openapi: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            files: vec![("README.md".to_owned(), "# shop\n".to_owned())],
            env: Vec::new(),
            default_branch: "main".to_owned(),
            empty: false,
            openapi: std::env::var_os("CLOUD_CODE_OPENAPI").map(PathBuf::from),
        }
    }
}

impl Options {
    /// A repository whose one workflow runs this shell script as the agent.
    pub(crate) fn script(command: &str) -> Self {
        Self::default().workflow(&Workflow::script(command).text())
    }

    /// A repository with this workflow.
    pub(crate) fn workflow(self, text: &str) -> Self {
        self.file(".cloud-code/implement.yml", text)
    }

    /// One more file.
    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.retain(|(known, _)| known != path);
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    /// A setting of the server.
    pub(crate) fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    /// No first commit.
    pub(crate) fn empty(mut self) -> Self {
        self.empty = true;
        self
    }
}

/// A workflow file, written for a test.
#[derive(Debug, Clone)]
pub(crate) struct Workflow {
    head: String,
    job: String,
    steps: String,
}

impl Workflow {
    /// Starts on the label and on the command, one run an issue, and has no step yet.
    pub(crate) fn new() -> Self {
        Self {
            head: "name: implement\non:\n  issues: { types: [labeled] }\n  issue_comment: { types: [created] }\n\
                   concurrency: { group: \"issue-${{ github.event.issue.number }}\", cancel-in-progress: true }\n"
                .to_owned(),
            job: "    timeout-minutes: 5\n".to_owned(),
            steps: String::new(),
        }
    }

    /// With one agent step that runs this shell script.
    pub(crate) fn script(command: &str) -> Self {
        Self::new().agent(command)
    }

    /// An agent step more.
    pub(crate) fn agent(self, command: &str) -> Self {
        let command = indented(command, 12);
        let step = format!(
            "      - name: Agent\n        uses: agent\n        with:\n          cli: script\n          command: |\n{command}"
        );
        self.step(&step)
    }

    /// A step more, as it stands in the file; its first line begins with six spaces and a hyphen.
    pub(crate) fn step(mut self, step: &str) -> Self {
        self.steps.push_str(step);
        if !step.ends_with('\n') {
            self.steps.push('\n');
        }
        self
    }

    /// A line of the job; `timeout-minutes` replaces the usual one.
    pub(crate) fn job(mut self, line: &str) -> Self {
        if line.starts_with("timeout-minutes") {
            self.job.clear();
        }
        self.job.push_str(&format!("    {line}\n"));
        self
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> String {
        format!("{}jobs:\n  implement:\n{}    steps:\n{}", self.head, self.job, self.steps)
    }
}

/// Every line with so many spaces before it.
pub(crate) fn indented(text: &str, spaces: usize) -> String {
    let text = text.trim_matches('\n');
    let common =
        text.lines().filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len());
    let common = common.min().unwrap_or(0);
    text.lines().map(|line| format!("{:spaces$}{}\n", "", line.get(common..).unwrap_or_default())).collect()
}
