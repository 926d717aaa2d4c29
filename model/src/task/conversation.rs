//! Conversations of coding CLIs that outlive their run: the archive that their files lie in, and what the next run on the same
//! branch is told of them.

use serde::{Deserialize, Serialize};

/// The archive that the agent leaves: tar, compressed with gzip. Names in it are `CLI/PATH`, the path below the CLI's own folder.
pub const SESSION_FILE: &str = "session.tar.gz";
/// The archive of an earlier attempt, where the agent finds it.
pub const EARLIER_SESSION_FILE: &str = "earlier-session.tar.gz";
/// Largest archive that is kept, in bytes.
pub const MAX_SESSION_FILE: u64 = 8 << 20;
/// Most conversations of one attempt that are kept.
pub const MAX_CONVERSATIONS: usize = 8;

/// One conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Conversation {
    /// Id of the step that had it.
    pub step: String,
    /// With which CLI.
    pub cli: String,
    /// The CLI's own id for it.
    pub session: String,
}

/// What an earlier attempt on the same branch left of its conversations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Earlier {
    /// Its run.
    pub run: String,
    /// Its conversations, oldest first.
    #[serde(default)]
    pub conversations: Vec<Conversation>,
    /// Why none of them can be gone on with, for people; without it, [`EARLIER_SESSION_FILE`] lies beside the tasking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// Whether this can be a CLI's id for a conversation. Such an id becomes an argument and a part of file names, and it came out of a
/// container: it begins with a letter or digit, and holds nothing but those, `-`, `_` and `.`; at most 128 bytes.
pub fn is_session_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= 128
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_no_options_and_no_paths() {
        for good in ["9bd6f3a0-1c2d-4e5f-8a9b-0c1d2e3f4a5b", "ses_3fA9", "a.b"] {
            assert!(is_session_id(good), "{good}");
        }
        for bad in ["", "-rf", "--resume", "../x", "a/b", "a b", ".hidden", "a\0", "é", &"x".repeat(129)] {
            assert!(!is_session_id(bad), "{bad}");
        }
    }
}
