//! What a person types in a comment: `/cloud-code …`.

/// A command at the beginning of a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `/cloud-code run [instructions]`: start a run, with these instructions added to the prompt.
    Run {
        /// The rest of the comment, trimmed; may be empty and may have several lines.
        instructions: String,
    },
    /// `/cloud-code run FILE.yml [NAME=VALUE …]`: start this workflow, about this issue.
    Dispatch {
        /// The workflow's file.
        workflow: String,
        /// Its inputs.
        inputs: Vec<(String, String)>,
        /// What follows the first line.
        instructions: String,
    },
    /// `/cloud-code also WORDS`: say this to the agent that is at work; where none is, start a run with it.
    Also {
        /// The rest of the comment, trimmed; may have several lines.
        words: String,
    },
    /// `/cloud-code cancel [--force]`: end this running runs.
    Cancel {
        /// Jobs too that say `if: always()`.
        force: bool,
    },
    /// `/cloud-code approve [JOB]`: let what waits at an environment pass.
    Approve {
        /// The job's key; all that wait for this person where it is left out.
        job: Option<String>,
    },
    /// `/cloud-code reject [JOB]`: do not let it pass.
    Reject {
        /// As above.
        job: Option<String>,
    },
    /// `/cloud-code rerun [failed|all]`: run this last run again.
    Rerun {
        /// All of it; else only what failed.
        all: bool,
    },
    /// Something after `/cloud-code` that is no command of ours.
    Unknown {
        /// The word that was typed, at most 40 characters of it.
        word: String,
    },
}

const PREFIX: &str = "/cloud-code";

/// The commands, as shown to a person who mistyped one.
pub const KNOWN: &[&str] = &["run", "also", "cancel", "approve", "reject", "rerun"];

/// Reads the command that a comment begins with; `None` where it does not begin with one.
///
/// Only the very beginning counts: a quoted (`> /cloud-code`) or indented-code command is talk about a command.
pub fn parse(comment: &str) -> Option<Command> {
    let rest =
        comment.trim_start_matches('\u{feff}').trim_start_matches(['\n', '\r']).strip_prefix(PREFIX)?;
    if !(rest.is_empty() || rest.starts_with(char::is_whitespace)) {
        return None;
    }
    let rest = rest.trim();
    let (word, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Some(match word.to_ascii_lowercase().as_str() {
        "run" => dispatch(tail).unwrap_or_else(|| Command::Run { instructions: tail.trim().to_owned() }),
        "also" => Command::Also { words: tail.trim().to_owned() },
        "cancel" | "stop" => Command::Cancel { force: tail.split_whitespace().any(|word| word == "--force") },
        "approve" => Command::Approve { job: first_word(tail) },
        "reject" => Command::Reject { job: first_word(tail) },
        "rerun" => {
            Command::Rerun { all: first_word(tail).is_some_and(|word| word.eq_ignore_ascii_case("all")) }
        }
        _ => Command::Unknown { word: word.chars().take(40).collect() },
    })
}

/// A workflow's file and its inputs, where that is what the first line has; anything else is an instruction.
fn dispatch(tail: &str) -> Option<Command> {
    let (line, rest) = tail.trim_start().split_once('\n').unwrap_or((tail.trim(), ""));
    let mut words = words(line).into_iter();
    let workflow = words.next().filter(|word| word.ends_with(".yml") || word.ends_with(".yaml"))?;
    let inputs = words.map(|word| {
        let (name, value) = word.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    });
    let inputs = inputs.collect::<Option<_>>()?;
    Some(Command::Dispatch { workflow, inputs, instructions: rest.trim().to_owned() })
}

/// The words of a line. Quotes, single or double, keep spaces together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn first_word(text: &str) -> Option<String> {
    text.split_whitespace().next().map(|word| word.chars().take(400).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(comment: &str, expected: Option<Command>) {
        assert_eq!(parse(comment), expected, "{comment:?}");
    }

    #[test]
    fn comments_that_begin_with_a_command() {
        let run = |text: &str| Some(Command::Run { instructions: text.to_owned() });
        check("/cloud-code run", run(""));
        check("/cloud-code run\r\n", run(""));
        check("\n/cloud-code  RUN  use tabs\nand tests", run("use tabs\nand tests"));
        let also = |words: &str| Some(Command::Also { words: words.to_owned() });
        check("/cloud-code also  a test\nand\n", also("a test\nand"));
        check("/cloud-code Also deploy.yml a=b", also("deploy.yml a=b"));
        check("/cloud-code also", also(""));
        check("/cloud-code cancel please", Some(Command::Cancel { force: false }));
        check("/cloud-code cancel --force", Some(Command::Cancel { force: true }));
        let start = |workflow: &str, inputs: &[(&str, &str)], instructions: &str| {
            let inputs =
                inputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let (workflow, instructions) = (workflow.to_owned(), instructions.to_owned());
            Some(Command::Dispatch { workflow, inputs, instructions })
        };
        check("/cloud-code run deploy.yml", start("deploy.yml", &[], ""));
        check(
            "/cloud-code run deploy.yaml to=prod note=\"two words\" 'a b=c=d' e=\r\nand\nmore\n",
            start(
                "deploy.yaml",
                &[("to", "prod"), ("note", "two words"), ("a b", "c=d"), ("e", "")],
                "and\nmore",
            ),
        );
        check("/cloud-code run deploy.yml is broken", run("deploy.yml is broken"));
        check("/cloud-code run fix deploy.yml", run("fix deploy.yml"));
        check("/cloud-code run \"it's", run("\"it's"));
        check("/cloud-code approve", Some(Command::Approve { job: None }));
        check("/cloud-code approve deploy now", Some(Command::Approve { job: Some("deploy".to_owned()) }));
        check("/cloud-code reject a.1", Some(Command::Reject { job: Some("a.1".to_owned()) }));
        check("/cloud-code rerun", Some(Command::Rerun { all: false }));
        check("/cloud-code rerun ALL", Some(Command::Rerun { all: true }));
        check("/cloud-code", Some(Command::Unknown { word: String::new() }));
        check("/cloud-code rnu", Some(Command::Unknown { word: "rnu".to_owned() }));
        check("/cloud-codex run", None);
        check("> /cloud-code run", None);
        check("    /cloud-code run", None);
        check("please /cloud-code run", None);
        check("", None);
    }
}
