//! The coding CLIs that a step may name, and what each needs from outside its container.

/// One coding CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cli {
    /// Its name in `with.cli`, and of its image.
    pub name: &'static str,
    /// Secrets that it takes, as environment variables; it needs one of them.
    pub secrets: &'static [&'static str],
    /// Settings that it takes, as environment variables.
    pub settings: &'static [&'static str],
}

/// All of them. Sources: each CLI's own documentation, see docs.
pub const ALL: &[Cli] = &[
    Cli {
        name: "claude-code",
        secrets: &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"],
        settings: &["ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL"],
    },
    Cli { name: "script", secrets: &[], settings: &[] },
];

/// The CLI of this name.
pub fn find(name: &str) -> Option<&'static Cli> {
    ALL.iter().find(|cli| cli.name == name)
}

/// All names, for messages.
pub fn names() -> String {
    ALL.iter().map(|cli| cli.name).collect::<Vec<_>>().join(", ")
}
