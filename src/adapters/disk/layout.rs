//! Where the files of an attempt lie below the data folder.
//!
//! ```text
//! DATA_DIR/attempts/RUN/JOB/NUMBER/
//!     workspace/                 the checkout, within the container's reach: all in it is a stranger's
//!         .cloud-code/NAME       tasking.yaml, reporting.yaml, …
//!     kept/NAME                  what was kept of it, out of its reach
//! ```

use cloud_code_model::ids::{AttemptId, digest};
use std::path::{Path, PathBuf};

/// The folder in a workspace through which we and the agent talk.
pub const EXCHANGE_DIR: &str = ".cloud-code";

/// The attempt's folder.
pub fn attempt_dir(data_dir: &Path, attempt: &AttemptId) -> PathBuf {
    data_dir
        .join("attempts")
        .join(component(attempt.run.as_str()))
        .join(component(&attempt.job))
        .join(attempt.number.to_string())
}

/// The attempt's checkout.
pub fn workspace_dir(data_dir: &Path, attempt: &AttemptId) -> PathBuf {
    attempt_dir(data_dir, attempt).join("workspace")
}

/// The attempt's kept files.
pub fn kept_dir(data_dir: &Path, attempt: &AttemptId) -> PathBuf {
    attempt_dir(data_dir, attempt).join("kept")
}

/// A name that stays within its folder. Job keys are checked where workflows are read; should one get past that, its
/// digest serves.
fn component(name: &str) -> String {
    let safe = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 200
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if safe { name.to_owned() } else { format!("{}~", digest(&[name])) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloud_code_model::ids::RunId;

    #[test]
    fn no_job_leaves_its_folder() {
        let check = |job: &str, expected: Option<&str>| {
            let run = RunId::derive("d", "w");
            let attempt = AttemptId { run: run.clone(), job: job.to_owned(), number: 2 };
            let path = kept_dir(Path::new("/data"), &attempt);
            let below =
                path.strip_prefix("/data/attempts").expect("below").to_str().expect("UTF-8").to_owned();
            let job = expected.map_or_else(|| format!("{}~", digest(&[job])), str::to_owned);
            assert_eq!(below, format!("{run}/{job}/2/kept"));
        };
        check("fix_it-2", Some("fix_it-2"));
        check("call.2.fix", Some("call.2.fix"));
        for bad in ["..", ".", "", "a/b", "../../etc", "a\0b", "-x", &"x".repeat(300)] {
            check(bad, None);
        }
    }
}
