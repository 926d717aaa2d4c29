//! Who may start a run, and which paths a change may touch.

use serde::{Deserialize, Serialize};

/// What a person may do in a repository, weakest first, as GitHub names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Nothing.
    None,
    /// May look.
    Read,
    /// May label and assign, but not push.
    Triage,
    /// May push.
    Write,
    /// May push and manage most settings.
    Maintain,
    /// May do everything.
    Admin,
}

impl Permission {
    /// Reads GitHub's `role_name` or `permission`. A custom role's name is unknown here: the caller passes the base
    /// `permission` beside it, and the stronger of the known ones counts.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "none" => Self::None,
            "read" | "pull" => Self::Read,
            "triage" => Self::Triage,
            "write" | "push" => Self::Write,
            "maintain" => Self::Maintain,
            "admin" => Self::Admin,
            _ => return None,
        })
    }

    /// Whether somebody with this may start a run: starting one spends money and leads to a pushed branch.
    pub fn may_start(self) -> bool {
        self >= Self::Write
    }
}

/// Folders that are protected unless the operator says otherwise: what runs in CI, with rights that an agent does not have.
pub const PROTECTED: [&str; 3] = [".github/workflows/", ".github/actions/", ".cloud-code/"];

/// What a change may hold before it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangePolicy {
    /// Files that may be touched in all.
    pub max_files: usize,
    /// Bytes of the bundle at most.
    pub max_bytes: u64,
    /// Folders that may not be touched, each ending in `/`, compared without regard to case.
    pub protected: Vec<String>,
    /// The issue that its commits may refer to, and so close; their other references and mentions are made ineffective.
    #[serde(default)]
    pub closes: Option<u64>,
}

impl Default for ChangePolicy {
    fn default() -> Self {
        Self {
            max_files: 100,
            max_bytes: 4 * 1024 * 1024,
            protected: PROTECTED.map(str::to_owned).into(),
            closes: None,
        }
    }
}

impl ChangePolicy {
    /// The protected folder that `path` lies in, if it lies in one. The folder's own name counts too, since a file or a
    /// symbolic link may take its place.
    pub fn protects(&self, path: &str) -> Option<&str> {
        let path = path.to_lowercase();
        let inside = |folder: &&String| {
            let folder = folder.to_lowercase();
            path.starts_with(&folder) || path == folder.trim_end_matches('/') || is_ancestor(&path, &folder)
        };
        self.protected.iter().find(inside).map(String::as_str)
    }
}

/// Whether a coding CLI may take this file of a repository for instructions or settings of its own. On a pull request they come
/// from the default branch: what its author wrote there must not steer the agent.
pub fn is_instruction(path: &str) -> bool {
    const ANYWHERE: [&str; 6] =
        ["claude.md", "claude.local.md", "agents.md", "agents.override.md", "gemini.md", "conventions.md"];
    const AT_ROOT: [&str; 12] = [
        ".claude",
        ".mcp.json",
        ".gemini",
        ".geminiignore",
        ".codex",
        ".agents",
        ".opencode",
        "opencode.json",
        "opencode.jsonc",
        ".env",
        ".husky",
        ".cursorrules",
    ];
    let path = path.to_lowercase();
    let name = path.rsplit('/').next().unwrap_or_default();
    let first = path.split('/').next().unwrap_or_default();
    ANYWHERE.contains(&name)
        || AT_ROOT.contains(&first)
        || first.starts_with(".aider")
        || path.split('/').any(|part| part == ".claude")
}

/// Whether `path` is a parent folder's own name, e.g. `.github` replaced by a link when `.github/workflows/` is protected.
fn is_ancestor(path: &str, folder: &str) -> bool {
    folder.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_access_is_what_starts_a_run() {
        for (role, may) in [
            ("none", false),
            ("read", false),
            ("triage", false),
            ("write", true),
            ("maintain", true),
            ("admin", true),
        ] {
            assert_eq!(Permission::parse(role).is_some_and(Permission::may_start), may, "{role}");
        }
        assert_eq!(Permission::parse("some-custom-role"), None);
    }

    #[test]
    fn what_clis_read_as_instructions() {
        for (path, is) in [
            ("CLAUDE.md", true),
            ("docs/Claude.MD", true),
            ("AGENTS.md", true),
            (".claude/settings.json", true),
            ("sub/.claude/agents/x.md", true),
            (".aider.conf.yml", true),
            (".env", true),
            ("sub/.env", false),
            (".envrc", false),
            ("README.md", false),
            ("src/agents.md.rs", false),
        ] {
            assert_eq!(is_instruction(path), is, "{path}");
        }
    }

    #[test]
    fn protected_folders() {
        let policy = ChangePolicy::default();
        for (path, protected) in [
            (".github/workflows/ci.yml", true),
            (".GitHub/Workflows/ci.yml", true),
            (".github/workflows", true),
            (".github", true),
            (".github/actions/setup/action.yml", true),
            (".github/CODEOWNERS", false),
            (".cloud-code/implement.yml", true),
            (".cloud-code", true),
            (".cloud-codes/x", false),
            ("src/.cloud-code/x", false),
            ("src/main.rs", false),
        ] {
            assert_eq!(policy.protects(path).is_some(), protected, "{path}");
        }
    }
}
