//! Workflow commands in what a script prints: `::error::`, `::add-mask::`, `::group::` and their like.

use cloud_code_model::task::{Annotation, WorkflowCommand};

use crate::journal::{Journal, LogStream};
use crate::lines::Piece;
use cloud_code_model::task::shorten;

/// Most remarks of a step; GitHub shows ten of each level, and keeps no more.
const MAX_ANNOTATIONS: usize = 50;

/// Most bytes of one remark's text.
const MAX_MESSAGE: usize = 4 * 1024;

/// Most bytes of its headline and its file's name.
const MAX_NAME: usize = 1024;

/// Reads the commands of one step.
pub(super) struct Commands<'a> {
    pub(super) journal: &'a Journal,
    annotations: Vec<Annotation>,
    left_out: usize,
    /// No command is read until this one comes, after `::stop-commands::`.
    stopped: Option<String>,
}

impl<'a> Commands<'a> {
    pub(super) fn new(journal: &'a Journal) -> Commands<'a> {
        Commands { journal, annotations: Vec::new(), left_out: 0, stopped: None }
    }

    /// Takes a piece of a line: does what it says, or logs it.
    pub(super) fn take(&mut self, stream: &mut LogStream, piece: &Piece<'_>) {
        let line = Some(piece.bytes)
            .filter(|bytes| piece.first && piece.end && bytes.trim_ascii_start().starts_with(b"::"));
        match line.and_then(|bytes| str::from_utf8(bytes).ok()).and_then(|line| self.command(line.trim_end()))
        {
            Some(instead) => {
                let journal = self.journal;
                instead.lines().for_each(|line| {
                    stream.piece(journal, &Piece { bytes: line.as_bytes(), end: true, first: true })
                });
            }
            None => stream.piece(self.journal, piece),
        }
    }

    /// What is logged instead of a command, empty for nothing; `None` where the line is none.
    fn command(&mut self, line: &str) -> Option<String> {
        if let Some(token) = &self.stopped {
            let ends = line.trim().strip_prefix("::").and_then(|rest| rest.strip_suffix("::")) == Some(token);
            if ends {
                self.stopped = None;
            }
            return ends.then(String::new);
        }
        Some(match WorkflowCommand::parse(line)? {
            WorkflowCommand::Annotation(annotation) => {
                let said = format!("##[{}]{}", annotation.level.word(), annotation.message);
                self.keep(annotation);
                said
            }
            WorkflowCommand::Debug(text) => format!("##[debug]{text}"),
            WorkflowCommand::Group(title) => format!("##[group]{title}"),
            WorkflowCommand::EndGroup => "##[endgroup]".to_owned(),
            WorkflowCommand::AddMask(secret) => {
                if !secret.trim().is_empty() {
                    self.journal.add_secret(&secret);
                }
                String::new()
            }
            WorkflowCommand::Stop(token) => {
                // Without a word of its own it could never be ended.
                self.stopped = Some(token).filter(|token| !token.is_empty());
                String::new()
            }
            WorkflowCommand::Unknown(_) => return None,
        })
    }

    fn keep(&mut self, mut annotation: Annotation) {
        if self.annotations.len() >= MAX_ANNOTATIONS {
            self.left_out += 1;
            return;
        }
        let clean = |text: &str, most: usize| shorten(&text.replace('\0', ""), most);
        annotation.message = clean(&annotation.message, MAX_MESSAGE);
        annotation.title = annotation.title.map(|title| clean(&title, MAX_NAME));
        annotation.file = annotation.file.map(|file| clean(&file, MAX_NAME));
        self.annotations.push(annotation);
    }

    /// The remarks, once the script is over.
    pub(super) fn close(&mut self) -> Vec<Annotation> {
        if self.left_out > 0 {
            self.journal.log(&format!("##[warning]{} remarks more are in this log alone", self.left_out));
        }
        std::mem::take(&mut self.annotations)
    }
}
