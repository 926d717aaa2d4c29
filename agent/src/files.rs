//! The files through which a step answers: GITHUB_OUTPUT, GITHUB_ENV, GITHUB_PATH and GITHUB_STEP_SUMMARY.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cloud_code_model::task::answer_pairs as pairs;

use cloud_code_model::task::shorten;

/// Most bytes of one of these files: outputs of a job are 1 MiB at most.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Most bytes of a summary that goes into the report.
pub(crate) const MAX_SUMMARY: usize = 60 * 1024;

/// The files of one step.
pub(crate) struct StepFiles {
    folder: PathBuf,
}

/// What a step wrote into them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answers {
    pub(crate) outputs: Vec<(String, String)>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) path: Vec<String>,
    pub(crate) summary: Option<String>,
}

const OUTPUT: &str = "GITHUB_OUTPUT";
const ENV: &str = "GITHUB_ENV";
const PATH: &str = "GITHUB_PATH";
const SUMMARY: &str = "GITHUB_STEP_SUMMARY";

impl StepFiles {
    /// Makes them, empty, in a folder that is there.
    pub(crate) fn create(folder: PathBuf) -> io::Result<StepFiles> {
        for name in [OUTPUT, ENV, PATH, SUMMARY] {
            File::create(folder.join(name))?;
        }
        Ok(StepFiles { folder })
    }

    /// Where else the step's own files go: its script, its prompt.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The variables that say where they are.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (String, String)> + '_ {
        [OUTPUT, ENV, PATH, SUMMARY]
            .into_iter()
            .map(|name| (name.to_owned(), self.folder.join(name).display().to_string()))
    }

    /// Reads what the step wrote; the error is the step's to mend.
    pub(crate) fn answers(&self) -> Result<Answers, String> {
        let env = pairs(ENV, &self.read(ENV)?)?;
        if let Some((name, _)) = env.iter().find(|(name, _)| is_reserved(name)) {
            return Err(format!("{name} cannot be set through {ENV}"));
        }
        let path = self
            .read(PATH)?
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        let summary = self.read(SUMMARY)?;
        let summary = Some(shorten(summary.trim(), MAX_SUMMARY)).filter(|summary| !summary.is_empty());
        Ok(Answers { outputs: pairs(OUTPUT, &self.read(OUTPUT)?)?, env, path, summary })
    }

    fn read(&self, name: &str) -> Result<String, String> {
        let mut bytes = Vec::new();
        match File::open(self.folder.join(name)) {
            Ok(file) => {
                file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| format!("{name}: {error}"))?
            }
            // A step may take its own file away: then it says nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(format!("{name}: {error}")),
        };
        if bytes.len() as u64 > MAX_FILE {
            return Err(format!("{name} is over {MAX_FILE} bytes long"));
        }
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }
}

/// Names that mean something to the agent, or that would change what later programs are, as in Actions.
fn is_reserved(name: &str) -> bool {
    name == "NODE_OPTIONS"
        || ["GITHUB_", "RUNNER_", "CLOUD_CODE_"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn reserved_names_are_refused_and_a_removed_file_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let files = StepFiles::create(folder.path().to_owned()).unwrap();
        assert_eq!(files.answers().unwrap(), Answers::default());
        std::fs::write(folder.path().join(ENV), "NODE_OPTIONS=--require x").unwrap();
        assert!(files.answers().unwrap_err().contains("NODE_OPTIONS"));
        std::fs::remove_file(folder.path().join(ENV)).unwrap();
        std::fs::write(folder.path().join(PATH), "/a\n\n/b\n").unwrap();
        assert_eq!(files.answers().unwrap().path, ["/a", "/b"]);
    }
}
