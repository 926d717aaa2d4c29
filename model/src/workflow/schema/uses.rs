//! Sets of contexts and functions that a place allows.

use crate::expression::ParseOptions;

/// Contexts and functions beside those that are known everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::workflow) struct Uses(u32);

/// The name of each bit, in the form of [`ParseOptions::from_schema`].
const NAMES: [&str; 18] = [
    "github",
    "inputs",
    "vars",
    "needs",
    "strategy",
    "matrix",
    "secrets",
    "steps",
    "job",
    "runner",
    "env",
    "jobs",
    "hashFiles(1,255)",
    "always(0,0)",
    "cancelled(0,0)",
    // Of a job, about jobs that it needs …
    "success(0,MAX)",
    "failure(0,MAX)",
    // … and the two of a step, which take nothing.
    "success(0,0) failure(0,0)",
];

impl Uses {
    pub(super) const NONE: Self = Self(0);
    /// `github`, `inputs` and `vars`: known as soon as there is an event.
    pub(super) const EVENT: Self = Self(0b111);
    pub(super) const NEEDS: Self = Self(1 << 3);
    /// `strategy` and `matrix`.
    pub(super) const MATRIX: Self = Self(0b11 << 4);
    pub(super) const SECRETS: Self = Self(1 << 6);
    /// `steps`, `job` and `runner`, which a running job has.
    const RUNNING: Self = Self(0b111 << 7);
    pub(super) const ENV: Self = Self(1 << 10);
    pub(super) const JOBS: Self = Self(1 << 11);
    const HASH_FILES: Self = Self(1 << 12);
    const STATUS: Self = Self(0b11 << 13);

    /// Of a job before it has a runner.
    pub(super) const JOB: Self = Self::EVENT.and(Self::NEEDS);
    /// Of one job of a matrix before it has a runner.
    pub(super) const MATRIX_JOB: Self = Self::JOB.and(Self::MATRIX);
    /// On the runner.
    pub(super) const RUNNER: Self = Self::MATRIX_JOB.and(Self::RUNNING).and(Self::ENV);
    /// In a step.
    pub(super) const STEP: Self = Self::RUNNER.and(Self::SECRETS).and(Self::HASH_FILES);
    /// In the `if` of a job.
    pub(super) const JOB_IF: Self = Self::JOB.and(Self::STATUS).and(Self(0b11 << 15));
    /// In the `if` of a step.
    pub(super) const STEP_IF: Self = Self::RUNNER.and(Self::HASH_FILES).and(Self::STATUS).and(Self(1 << 17));

    /// `github` and `inputs`.
    const ASKED: Self = Self(0b11);
    /// In a step of an action, and in its outputs.
    pub(super) const ACTION: Self =
        Self::ASKED.and(Self::MATRIX).and(Self::RUNNING).and(Self::ENV).and(Self::HASH_FILES);
    /// In the `if` of a step of an action.
    pub(super) const ACTION_IF: Self = Self::ACTION.and(Self::STATUS).and(Self(1 << 17));
    /// In the default of an action's input.
    pub(super) const ACTION_INPUT: Self =
        Self(1).and(Self::MATRIX).and(Self(0b110 << 7)).and(Self::HASH_FILES);

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn entries(self) -> impl Iterator<Item = &'static str> {
        let set = NAMES.iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0);
        set.flat_map(|(_, names)| names.split(' '))
    }

    /// What the parser of expressions allows here.
    pub(super) fn options(self) -> ParseOptions {
        ParseOptions::from_schema(self.entries())
    }

    /// The names of contexts.
    pub(super) fn contexts(self) -> impl Iterator<Item = &'static str> {
        self.entries().filter(|entry| !entry.contains('('))
    }

    /// The names of functions.
    pub(super) fn functions(self) -> impl Iterator<Item = &'static str> {
        self.entries().filter_map(|entry| entry.split_once('(').map(|(name, _)| name))
    }
}
