//! The lines with which a script speaks to its runner: `::error file=a.rs,line=3::text`.
//!
//! Format: <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>; escapes as actions/toolkit
//! writes them (`%25`, `%0D`, `%0A`, and in properties `%3A` and `%2C` too).

use serde::{Deserialize, Serialize};

/// What a line asks of the runner.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkflowCommand {
    /// `::error::`, `::warning::`, `::notice::`: to be shown beside the code.
    Annotation(Annotation),
    /// `::debug::`: for the log alone.
    Debug(String),
    /// `::group::TITLE`: what follows belongs together.
    Group(String),
    /// `::endgroup::`
    EndGroup,
    /// `::add-mask::VALUE`: hide this from now on.
    AddMask(String),
    /// `::stop-commands::TOKEN`: read no command until `::TOKEN::`.
    Stop(String),
    /// One that Actions has no more, or that is not known: its name.
    Unknown(String),
}

/// A remark on the work, with the place in the code where there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Annotation {
    /// How bad it is.
    pub level: AnnotationLevel,
    /// What it says.
    pub message: String,
    /// A headline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The file, as the step named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The first line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The last line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_line: Option<u32>,
    /// The first column, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The last column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_column: Option<u32>,
}

impl Annotation {
    /// Where it is, for people: `FILE:LINE` or `FILE`; `None` where it names no file.
    pub fn place(&self) -> Option<String> {
        let file = self.file.as_deref().filter(|file| !file.is_empty())?;
        Some(self.line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}")))
    }

    /// Its file as a path in the repository; `None` where it is no such path.
    pub fn path(&self) -> Option<&str> {
        let file = self.file.as_deref()?;
        let file = file.strip_prefix("./").unwrap_or(file);
        let inside = !file.split(['/', '\\']).any(|part| matches!(part, "" | "." | ".."));
        (inside && !file.contains(':')).then_some(file)
    }
}

/// How bad it is, by GitHub's names for check runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnotationLevel {
    /// `::notice::`
    #[default]
    Notice,
    /// `::warning::`
    Warning,
    /// `::error::`
    Failure,
}

impl AnnotationLevel {
    /// The word in logs: `error`, `warning`, `notice`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Failure => "error",
        }
    }
}

impl WorkflowCommand {
    /// Reads a line; `None` where it is no command.
    pub fn parse(line: &str) -> Option<WorkflowCommand> {
        let rest = line.trim_start().strip_prefix("::")?;
        let (head, data) = rest.split_once("::")?;
        let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
        if name.is_empty() || name.contains(char::is_whitespace) {
            return None;
        }
        let level = match name.to_ascii_lowercase().as_str() {
            "error" => AnnotationLevel::Failure,
            "warning" => AnnotationLevel::Warning,
            "notice" => AnnotationLevel::Notice,
            "debug" => return Some(Self::Debug(unescaped(data, false))),
            "group" => return Some(Self::Group(unescaped(data, false))),
            "endgroup" => return Some(Self::EndGroup),
            "add-mask" => return Some(Self::AddMask(unescaped(data, false))),
            "stop-commands" => return Some(Self::Stop(data.trim().to_owned())),
            other => return Some(Self::Unknown(other.to_owned())),
        };
        let mut annotation = Annotation { level, message: unescaped(data, false), ..Annotation::default() };
        for (key, value) in properties.split(',').filter_map(|property| property.split_once('=')) {
            let text = || Some(unescaped(value.trim(), true)).filter(|text| !text.is_empty());
            let number = || value.trim().parse().ok().filter(|number| *number > 0);
            match key.trim() {
                "title" => annotation.title = text(),
                "file" => annotation.file = text(),
                "line" => annotation.line = number(),
                "endLine" => annotation.end_line = number(),
                "col" => annotation.column = number(),
                "endColumn" => annotation.end_column = number(),
                _ => {}
            }
        }
        Some(Self::Annotation(annotation))
    }
}

/// Each escape once, so that `%250A` is `%0A` and no line's end.
fn unescaped(text: &str, property: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let escape = rest.get(at..at + 3).map(str::to_ascii_uppercase);
        let plain = match escape.as_deref() {
            Some("%25") => Some('%'),
            Some("%0D") => Some('\r'),
            Some("%0A") => Some('\n'),
            Some("%3A") if property => Some(':'),
            Some("%2C") if property => Some(','),
            _ => None,
        };
        out.push(plain.unwrap_or('%'));
        rest = &rest[at + if plain.is_some() { 3 } else { 1 }..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        let check = |line: &str, expected: Option<WorkflowCommand>| {
            assert_eq!(WorkflowCommand::parse(line), expected, "{line}");
        };
        check("plain", None);
        check(":: :: not one", None);
        check("a ::error::b", None);
        check("::group::Build", Some(WorkflowCommand::Group("Build".to_owned())));
        check("::endgroup::", Some(WorkflowCommand::EndGroup));
        check("  ::debug::x%250Ay", Some(WorkflowCommand::Debug("x%0Ay".to_owned())));
        check("::add-mask::two%0Alines", Some(WorkflowCommand::AddMask("two\nlines".to_owned())));
        check("::stop-commands::t0k", Some(WorkflowCommand::Stop("t0k".to_owned())));
        check("::set-output name=a::b", Some(WorkflowCommand::Unknown("set-output".to_owned())));
        check(
            "::error file=src/a%2Cb.rs,line=3,endLine=4,col=5,endColumn=x,title=Oh%3A no::It is%0Abroken: a::b 100%",
            Some(WorkflowCommand::Annotation(Annotation {
                level: AnnotationLevel::Failure,
                message: "It is\nbroken: a::b 100%".to_owned(),
                title: Some("Oh: no".to_owned()),
                file: Some("src/a,b.rs".to_owned()),
                line: Some(3),
                end_line: Some(4),
                column: Some(5),
                end_column: None,
            })),
        );
        let warning =
            Annotation {
                level: AnnotationLevel::Warning, message: "é%".to_owned(), ..Annotation::default()
            };
        check("::Warning::é%", Some(WorkflowCommand::Annotation(warning)));
    }
}
