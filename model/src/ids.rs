//! Names of runs and attempts, and how they are derived.
//!
//! Ids are derived, never drawn: the same delivery and workflow give the same run id, so a delivery that is handled twice
//! finds the run that it made the first time.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// Identifies a run: `r-` and 20 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// The id of the run that `delivery` starts of the workflow at `workflow_path`.
    pub fn derive(delivery: &str, workflow_path: &str) -> Self {
        Self(format!("r-{}", digest(&[delivery, workflow_path])))
    }

    /// Reads an id that a user or a label gave; `None` unless it has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("r-")?;
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (digits.len() == 20 && digits.bytes().all(lower_hex)).then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One try of one job of one run. The number is the fencing token: a report with an older number is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptId {
    /// The run.
    pub run: RunId,
    /// The job's key in its workflow file.
    pub job: String,
    /// Counts from 1.
    pub number: u32,
}

impl AttemptId {
    /// A name for containers, folders and tasks: `cloud-code-RUN-JOB-NUMBER`. Job keys are `[A-Za-z_][A-Za-z0-9_-]*`
    /// by GitHub's rule, joined by dots where a matrix or a called workflow makes several of one, so that the name is safe wherever a path component or a container's name is asked for.
    pub fn name(&self) -> String {
        format!("cloud-code-{}-{}-{}", self.run, self.job, self.number)
    }
}

impl AttemptId {
    /// Reads back what `Display` writes, `RUN/JOB/NUMBER`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (run, job, number) = (parts.next()?, parts.next()?, parts.next()?);
        let id = Self { run: RunId::parse(run)?, job: job.to_owned(), number: number.parse().ok()? };
        (parts.next().is_none() && !job.is_empty()).then_some(id)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.run, self.job, self.number)
    }
}

/// 20 hexadecimal digits of a SHA-256 over the parts, each preceded by its length so that no two lists collide.
pub fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(&hash.finalize()[..10])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_are_derived_and_parsed_back() {
        let id = RunId::derive("d-1", ".cloud-code/fix.yml");
        assert_eq!(id, RunId::derive("d-1", ".cloud-code/fix.yml"));
        assert_ne!(id, RunId::derive("d-1", ".cloud-code/fix2.yml"));
        assert_eq!(RunId::parse(id.as_str()), Some(id));
        for bad in [
            "",
            "r-",
            "r-ABCDEFABCDEFABCDEFAB",
            "r-0123456789012345678",
            "x-01234567890123456789",
            "r-../../../../../../a",
        ] {
            assert_eq!(RunId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn attempts_are_read_back() {
        for job in ["fix", "build.12", "call.a-b_C"] {
            let id = AttemptId { run: RunId::derive("d", "w"), job: job.to_owned(), number: 3 };
            assert_eq!(AttemptId::parse(&id.to_string()), Some(id));
        }
        let run = RunId::derive("d", "w");
        for bad in [
            String::new(),
            format!("{run}/fix"),
            format!("{run}//1"),
            format!("{run}/fix/1/2"),
            "r-1/fix/1".to_owned(),
        ] {
            assert_eq!(AttemptId::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn the_parts_of_a_digest_do_not_run_together() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }
}
