//! A small file system of its own, for tests in which a disk is full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The file system, unmounted when dropped.
pub(crate) struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one; `None`, and a line that says so, where that is not allowed. CI may not skip.
    pub(crate) fn mount(dir: &Path, megabytes: usize) -> Option<Self> {
        fs::create_dir_all(dir).unwrap();
        let size = format!("size={megabytes}m");
        match Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir).output() {
            Ok(mounted) if mounted.status.success() => Some(Self(dir.to_owned())),
            other => {
                assert!(
                    std::env::var("CI").as_deref() != Ok("true"),
                    "CI has to be able to mount a tmpfs: {other:?}"
                );
                eprintln!("skipped: a tmpfs can't be mounted (root may)");
                None
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
