//! The files through which a step answers: GITHUB_OUTPUT, GITHUB_ENV, GITHUB_PATH and GITHUB_STEP_SUMMARY.
//!
//! Their format is Actions': `name=value`, or `name<<DELIMITER`, lines, `DELIMITER`.
//! <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::journal::shorten;

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

fn pairs(file: &str, text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let (equals, heredoc) = (line.find('='), line.find("<<"));
        let (name, value) = match (equals, heredoc) {
            (Some(at), heredoc) if heredoc.is_none_or(|heredoc| at < heredoc) => {
                (&line[..at], line[at + 1..].to_owned())
            }
            (_, Some(at)) => {
                let delimiter = &line[at + 2..];
                if delimiter.is_empty() {
                    return Err(format!("{file}: `{}` has no delimiter after `<<`", shorten(line, 80)));
                }
                let mut value: Vec<&str> = Vec::new();
                loop {
                    match lines.next() {
                        Some(line) if line == delimiter => break,
                        Some(line) => value.push(line),
                        None => {
                            return Err(format!(
                                "{file}: the delimiter `{}` does not come again",
                                shorten(delimiter, 80)
                            ));
                        }
                    }
                }
                (&line[..at], value.join("\n"))
            }
            _ => {
                return Err(format!(
                    "{file}: `{}` is neither `name=value` nor `name<<DELIMITER`",
                    shorten(line, 80)
                ));
            }
        };
        let name = name.trim();
        if name.is_empty() || name.len() > 200 || name.chars().any(|character| character.is_control()) {
            return Err(format!("{file}: `{}` has no usable name", shorten(line, 80)));
        }
        if value.contains('\0') {
            return Err(format!("{file}: the value of {name} contains a NUL byte"));
        }
        pairs.push((name.to_owned(), value));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let found = pairs("F", text).unwrap();
            let found: Vec<(&str, &str)> =
                found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("", &[]);
        check("a=1\n\nb=\nc=x=y<<z\n", &[("a", "1"), ("b", ""), ("c", "x=y<<z")]);
        check("a<<EOF\none\n\ntwo=2\nEOF\nb=3", &[("a", "one\n\ntwo=2"), ("b", "3")]);
        check("a<<E=F\nx\nE=F", &[("a", "x")]);
        check("a<<EOF\nEOF\n", &[("a", "")]);
        check("a=1\r\n", &[("a", "1")]);
    }

    #[test]
    fn mistakes_are_told() {
        let check = |text: &str, words: &str| {
            let error = pairs("F", text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        };
        check("hello", "`hello` is neither");
        check("a<<EOF\nb\n", "`EOF` does not come again");
        check("a<<\nb\n", "no delimiter");
        check("=b", "no usable name");
        check("a=b\0", "NUL");
    }

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
