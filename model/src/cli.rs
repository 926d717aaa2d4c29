//! The coding CLIs that a step may name, and what each needs from outside its container.
//!
//! This is the one table of them: checking of workflows, `doctor`, the images' names, `.env.example` and the environment
//! of a container are derived from it. Sources: each CLI's own documentation and runs of it, see docs/clis.md.

/// One coding CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cli {
    /// Its name in `with.cli`, and of its image.
    pub name: &'static str,
    /// Secrets that it takes, as environment variables; it needs one of them, where there are any.
    pub secrets: &'static [&'static str],
    /// Settings that it takes, as environment variables.
    pub settings: &'static [&'static str],
    /// Hosts of the LLMs that it talks to by itself, which jobs with a restricted network may reach.
    pub hosts: &'static [&'static str],
}

/// All of them.
pub const ALL: &[Cli] = &[
    Cli {
        name: "claude-code",
        secrets: &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"],
        settings: &["ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL"],
        hosts: &["api.anthropic.com"],
    },
    Cli {
        name: "codex",
        secrets: &["CODEX_API_KEY", "OPENAI_API_KEY"],
        settings: &["OPENAI_BASE_URL"],
        hosts: &["api.openai.com"],
    },
    Cli {
        name: "gemini",
        secrets: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        settings: &[
            "GOOGLE_GEMINI_BASE_URL",
            "GEMINI_MODEL",
            "GOOGLE_GENAI_USE_VERTEXAI",
            "GOOGLE_CLOUD_PROJECT",
            "GOOGLE_CLOUD_LOCATION",
        ],
        hosts: &[
            "generativelanguage.googleapis.com",
            "aiplatform.googleapis.com",
            "*-aiplatform.googleapis.com",
            "oauth2.googleapis.com",
        ],
    },
    Cli {
        name: "aider",
        secrets: &["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"],
        settings: &["OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "AIDER_MODEL"],
        hosts: &["api.openai.com", "api.anthropic.com", "generativelanguage.googleapis.com"],
    },
    Cli {
        name: "opencode",
        secrets: &["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"],
        settings: &["ANTHROPIC_BASE_URL", "OPENAI_BASE_URL"],
        hosts: &["api.anthropic.com", "api.openai.com", "generativelanguage.googleapis.com", "models.dev"],
    },
    Cli { name: "script", secrets: &[], settings: &[], hosts: &[] },
];

/// An environment variable of the server that is handed on to containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it means, without the names of the CLIs that take it.
    pub meaning: &'static str,
}

/// All variables that the CLIs take, each once.
pub const VARIABLES: &[Variable] = &[
    variable("ANTHROPIC_API_KEY", "an API key of Anthropic."),
    variable("ANTHROPIC_AUTH_TOKEN", "a bearer token instead of an API key."),
    variable("CLAUDE_CODE_OAUTH_TOKEN", "a subscription's token instead of an API key."),
    variable("CODEX_API_KEY", "an API key of OpenAI for codex alone; it goes before OPENAI_API_KEY."),
    variable("OPENAI_API_KEY", "an API key of OpenAI."),
    variable("GEMINI_API_KEY", "an API key of Google's Gemini API."),
    variable("GOOGLE_API_KEY", "an API key of Google Cloud, for Vertex AI."),
    variable("ANTHROPIC_BASE_URL", "another LLM server that speaks Anthropic's Messages; without `/v1`."),
    variable("ANTHROPIC_MODEL", "the model of steps that name none."),
    variable("OPENAI_BASE_URL", "another LLM server that speaks OpenAI's API; with `/v1`."),
    variable("GOOGLE_GEMINI_BASE_URL", "another LLM server that speaks Gemini's API; without `/v1beta`."),
    variable("GEMINI_MODEL", "the model of steps that name none."),
    variable("GOOGLE_GENAI_USE_VERTEXAI", "`true`: Vertex AI instead of the Gemini API."),
    variable("GOOGLE_CLOUD_PROJECT", "the project for Vertex AI."),
    variable("GOOGLE_CLOUD_LOCATION", "the region for Vertex AI."),
    variable("AIDER_MODEL", "the model of steps that name none, as aider writes it: `openai/gpt-5`."),
];

const fn variable(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, meaning }
}

/// The CLI of this name.
pub fn find(name: &str) -> Option<&'static Cli> {
    ALL.iter().find(|cli| cli.name == name)
}

/// All names, for messages.
pub fn names() -> String {
    ALL.iter().map(|cli| cli.name).collect::<Vec<_>>().join(", ")
}

impl Variable {
    /// The CLIs that take it.
    pub fn takers(&self) -> impl Iterator<Item = &'static Cli> + '_ {
        ALL.iter().filter(|cli| cli.secrets.iter().chain(cli.settings).any(|name| *name == self.name))
    }

    /// Must its value never be shown?
    pub fn is_secret(&self) -> bool {
        ALL.iter().any(|cli| cli.secrets.contains(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_tables_agree() {
        let taken: BTreeSet<&str> =
            ALL.iter().flat_map(|cli| cli.secrets.iter().chain(cli.settings)).copied().collect();
        let told: BTreeSet<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
        assert_eq!(taken, told);
        assert_eq!(told.len(), VARIABLES.len(), "a variable stands there twice");
        for variable in VARIABLES {
            let settings = ALL.iter().any(|cli| cli.settings.contains(&variable.name));
            assert!(settings != variable.is_secret(), "{} is secret and a setting", variable.name);
        }
        let names: BTreeSet<&str> = ALL.iter().map(|cli| cli.name).collect();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn each_has_its_image_and_its_line_in_the_docs() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let docs = std::fs::read_to_string(root.join("docs/clis.md")).unwrap_or_default();
        for cli in ALL {
            let dockerfile = root.join("docker/agents").join(cli.name).join("Dockerfile");
            assert!(dockerfile.is_file(), "{} is missing", dockerfile.display());
            let row = docs.lines().find(|line| line.starts_with(&format!("| `{}` ", cli.name)));
            assert!(row.is_some(), "docs/clis.md has no row for {}", cli.name);
            for name in cli.secrets.iter().chain(cli.settings) {
                assert!(row.is_some_and(|row| row.contains(name)), "docs/clis.md: {} lacks {name}", cli.name);
            }
        }
    }
}
