//! Reads a coding CLI's output while it runs: into log, transcript and report.

use cloud_code_model::task::{AgentStep, Usage, is_session_id};

use crate::agent::Agent;
use crate::cli::{Event, Reader};
use crate::journal::LogStream;
use crate::lines::Lines;
use crate::process::{Cause, Sink, Verdict};
use crate::task::TaskState;
use cloud_code_model::task::shorten;

/// Most bytes of a line that is read; of a longer one (a tool that read a large file) nothing is kept.
const MAX_LINE: usize = 1024 * 1024;

/// Most bytes of standard error that are kept for the error message.
const MAX_ERRORS: usize = 2 * 1024;

/// Most bytes of what a tool answered that go into the log.
const MAX_RESULT: usize = 2 * 1024;

pub(super) struct AgentSink<'a> {
    agent: &'a Agent,
    /// Task and step in the report.
    place: (usize, usize),
    pub(super) reader: Box<dyn Reader>,
    lines: Lines,
    err_lines: Lines,
    err: LogStream,
    budget: Option<f64>,
    model: Option<String>,
    turns_left: Option<u32>,
    over_turns: bool,
    pub(super) session: Option<String>,
    pub(super) question: Option<String>,
    pub(super) over_budget: bool,
    closing: bool,
    /// The end of standard error.
    pub(super) errors: String,
}

impl<'a> AgentSink<'a> {
    pub(super) fn new(
        state: &TaskState<'a>,
        number: usize,
        reader: Box<dyn Reader>,
        step: &AgentStep,
        budget: Option<f64>,
        turns_left: Option<u32>,
    ) -> AgentSink<'a> {
        AgentSink {
            agent: state.agent,
            place: (state.index, number),
            reader,
            lines: Lines::new(MAX_LINE),
            err_lines: Lines::new(MAX_LINE),
            err: state.agent.journal.stream(),
            budget,
            model: step.model.clone(),
            turns_left,
            over_turns: false,
            session: None,
            question: None,
            over_budget: false,
            closing: false,
            errors: String::new(),
        }
    }

    /// The streams are over.
    pub(super) fn close(&mut self) {
        let mut lines = std::mem::replace(&mut self.lines, Lines::new(0));
        lines.finish(|piece| self.line(piece.bytes, piece.first && piece.end));
        let journal = &self.agent.journal;
        self.err_lines.finish(|piece| self.err.piece(journal, &piece));
        self.err.close(journal);
    }

    fn line(&mut self, bytes: &[u8], whole: bool) {
        if !whole {
            return;
        }
        let line = String::from_utf8_lossy(bytes);
        let line = line.trim_end_matches('\r');
        if line.starts_with('{') {
            self.agent.journal.transcribe(line);
        }
        let mut events = Vec::new();
        self.reader.line(line, &mut |event| events.push(event));
        events.into_iter().for_each(|event| self.event(event));
    }

    fn event(&mut self, event: Event) {
        let journal = &self.agent.journal;
        match event {
            Event::Session(id) => {
                if is_session_id(&id) && self.session.as_deref() != Some(id.as_str()) {
                    self.note(|step| step.session = Some(id.clone()));
                    self.session = Some(id);
                }
            }
            Event::Message(text) => journal.say(&text),
            Event::Thought(text) => journal.log(&format!("(thinking) {text}")),
            Event::ToolCall { name, input } => journal.say(&format!("> {name}: {}", shorten(&input, 2000))),
            Event::ToolResult { failed, output } => {
                let mark = if failed { "! " } else { "  " };
                let output = shorten(&output, MAX_RESULT);
                let lines: Vec<String> = output.lines().map(|line| format!("{mark}{line}")).collect();
                journal.log(&lines.join("\n"));
            }
            Event::Turn => match &mut self.turns_left {
                Some(0) => self.over_turns = true,
                Some(turns) => *turns -= 1,
                None => {}
            },
            Event::Retry { reason } => journal.say(&format!("the CLI tries a request again: {reason}")),
            Event::Question(text) => {
                journal.say(&format!("question: {text}"));
                self.question = Some(shorten(&text.replace('\0', ""), 4000));
            }
            Event::Usage(usage) => self.usage(usage),
            Event::Closing => self.closing = true,
        }
    }

    fn usage(&mut self, usage: Usage) {
        let usage = self.agent.config.prices.fill(self.model.as_deref(), usage);
        if let (Some(budget), Some(cost)) = (self.budget, usage.cost_usd) {
            self.over_budget |= cost > budget;
        }
    }

    /// Changes the report in memory; the next heartbeat writes it.
    fn note(&self, change: impl FnOnce(&mut cloud_code_model::task::StepReport)) {
        let (task, step) = self.place;
        self.agent.reporter.note(|report| {
            if let Some(step) = report.tasks.get_mut(task).and_then(|task| task.steps.get_mut(step)) {
                change(step);
            }
        });
    }
}

impl Sink for AgentSink<'_> {
    fn stdout(&mut self, bytes: &[u8]) -> Verdict {
        let mut lines = std::mem::replace(&mut self.lines, Lines::new(0));
        let mut skipped = false;
        lines.push(bytes, |piece| {
            skipped |= piece.first && !piece.end;
            self.line(piece.bytes, piece.first && piece.end);
        });
        self.lines = lines;
        if skipped {
            self.agent.journal.log(&format!("##[warning]a line of over {MAX_LINE} bytes is left out"));
        }
        match (self.over_budget, self.closing) {
            (true, _) => Verdict::Stop(Cause::Budget),
            (_, false) if self.over_turns => Verdict::Stop(Cause::Turns),
            (_, true) => Verdict::Closing,
            _ => Verdict::Continue,
        }
    }

    fn stderr(&mut self, bytes: &[u8]) {
        let journal = &self.agent.journal;
        self.errors.push_str(&String::from_utf8_lossy(bytes));
        if self.errors.len() > MAX_ERRORS {
            let mut from = self.errors.len() - MAX_ERRORS;
            while !self.errors.is_char_boundary(from) {
                from += 1;
            }
            self.errors.drain(..from);
        }
        self.err_lines.push(bytes, |piece| self.err.piece(journal, &piece));
        self.err.flush(journal);
    }
}
