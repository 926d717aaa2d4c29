//! One script for every program: a turn that uses claude-code's `Bash` or `Write` is said with the tools that the program
//! which asks has, or in text where it has none (as aider does).

use serde_json::{Value, json};

use super::script::Turn;
use super::wire::Asked;

/// The turn in the words of the program that asks.
pub(super) fn fit(turn: &Turn, asked: &Asked) -> Turn {
    let Turn::ToolUse { name, input, usage } = turn else { return turn.clone() };
    let has = |tool: &str| asked.tools.iter().any(|known| known == tool);
    if has(name) {
        return turn.clone();
    }
    let text = |field: &str| input[field].as_str().unwrap_or_default();
    let fitted = match name.as_str() {
        "Bash" if !asked.tools.is_empty() => shell(&has, text("command")),
        "Write" if has("write") => {
            Some(("write", json!({ "filePath": text("file_path"), "content": text("content") })))
        }
        "Write" if has("write_file") => {
            Some(("write_file", json!({ "file_path": text("file_path"), "content": text("content") })))
        }
        "Write" if asked.tools.is_empty() => {
            let said = format!("{}\n```\n{}```\n", text("file_path"), text("content"));
            return Turn::Text { text: said, usage: *usage };
        }
        "Write" => {
            let command = format!("cat > '{}' <<'END'\n{}END\n", text("file_path"), text("content"));
            shell(&has, &command)
        }
        _ => None,
    };
    match fitted {
        Some((name, input)) => Turn::ToolUse { name: name.to_owned(), input, usage: *usage },
        None => turn.clone(),
    }
}

/// The program's tool for a command line: opencode's, gemini's, codex' (its name is by model and version).
fn shell(has: &impl Fn(&str) -> bool, command: &str) -> Option<(&'static str, Value)> {
    let known = [
        ("bash", json!({ "command": command, "description": "Run a command" })),
        ("run_shell_command", json!({ "command": command })),
        ("exec_command", json!({ "cmd": command })),
        ("shell_command", json!({ "command": command })),
        ("shell", json!({ "command": ["bash", "-lc", command] })),
    ];
    known.into_iter().find(|(name, _)| has(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_said_with_the_tools_that_there_are() {
        let check = |turn: &Turn, tools: &[&str], expected: &Turn| {
            let asked = Asked {
                model: String::new(),
                stream: true,
                main: true,
                prompt: String::new(),
                spoken: 0,
                tools: tools.iter().map(|name| (*name).to_owned()).collect(),
            };
            assert_eq!(fit(turn, &asked), *expected, "{tools:?}");
        };
        let (bash, write) = (Turn::bash("ls"), Turn::write("a.txt", "x\n"));
        check(&bash, &["Read", "Bash"], &bash);
        check(&bash, &["run_shell_command"], &Turn::tool("run_shell_command", json!({ "command": "ls" })));
        check(&bash, &["exec_command"], &Turn::tool("exec_command", json!({ "cmd": "ls" })));
        check(&bash, &["other"], &bash);
        check(&write, &["write"], &Turn::tool("write", json!({ "filePath": "a.txt", "content": "x\n" })));
        check(
            &write,
            &["exec_command"],
            &Turn::tool("exec_command", json!({ "cmd": "cat > 'a.txt' <<'END'\nx\nEND\n" })),
        );
        check(&write, &[], &Turn::text("a.txt\n```\nx\n```\n"));
        check(&Turn::Overloaded, &[], &Turn::Overloaded);
    }
}
