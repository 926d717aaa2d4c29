//! What an expression may use where it stands: which contexts, and which functions beside the well-known ones.

use super::ignore_case::equal;

/// A function of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Function {
    Case,
    Contains,
    EndsWith,
    Format,
    FromJson,
    Join,
    StartsWith,
    ToJson,
    HashFiles,
    Always,
    Cancelled,
    Failure,
    Success,
}

/// The most parameters that any function takes.
const MOST: usize = 255;

impl Function {
    /// Functions that are known everywhere: name, fewest and most parameters.
    const WELL_KNOWN: [(&'static str, Self, usize, usize); 8] = [
        ("case", Self::Case, 3, MOST),
        ("contains", Self::Contains, 2, 2),
        ("endsWith", Self::EndsWith, 2, 2),
        ("format", Self::Format, 1, MOST),
        ("fromJSON", Self::FromJson, 1, 1),
        ("join", Self::Join, 1, 2),
        ("startsWith", Self::StartsWith, 2, 2),
        ("toJSON", Self::ToJson, 1, 1),
    ];

    /// Functions that only some places know.
    const BY_PLACE: [(&'static str, Self, usize, usize); 5] = [
        ("hashFiles", Self::HashFiles, 1, MOST),
        ("always", Self::Always, 0, 0),
        ("cancelled", Self::Cancelled, 0, 0),
        ("failure", Self::Failure, 0, MOST),
        ("success", Self::Success, 0, MOST),
    ];

    pub(super) fn name(self) -> &'static str {
        let all = Self::WELL_KNOWN.iter().chain(&Self::BY_PLACE);
        all.filter(|row| row.1 == self).map(|row| row.0).next().unwrap_or_default()
    }

    /// Whether it asks how the job stands, so that `success()` is not implied in an `if`.
    pub(super) fn is_status(self) -> bool {
        matches!(self, Self::Always | Self::Cancelled | Self::Failure | Self::Success)
    }
}

/// A function that a place allows beside the well-known ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedFunction {
    function: Function,
    fewest: usize,
    most: usize,
}

/// What an expression may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseOptions {
    /// The names of contexts, without case; None allows any.
    pub contexts: Option<Vec<String>>,
    /// Functions beside `case`, `contains`, `endsWith`, `format`, `fromJSON`, `join`, `startsWith` and `toJSON`, which are always there.
    pub functions: Vec<AllowedFunction>,
}

/// Everything is allowed: any context, `hashFiles` and the status functions.
impl Default for ParseOptions {
    fn default() -> Self {
        let allow = |&(_, function, fewest, most): &(_, _, _, _)| AllowedFunction { function, fewest, most };
        Self { contexts: None, functions: Function::BY_PLACE.iter().map(allow).collect() }
    }
}

impl ParseOptions {
    /// What a place allows, in the form that GitHub's workflow schema has it under `context`: a plain name is a context, a name with
    /// parameter counts a function: `github`, `always(0,0)`, `hashFiles(1,255)`, `success(0,MAX)`. Entries that name no function of ours are
    /// left out.
    pub fn from_schema<'a>(entries: impl IntoIterator<Item = &'a str>) -> Self {
        let mut contexts = Vec::new();
        let mut functions = Vec::new();
        for entry in entries {
            match entry.split_once('(') {
                None => contexts.push(entry.trim().to_owned()),
                Some((name, counts)) => functions.extend(allowed(name.trim(), counts.trim_end_matches(')'))),
            }
        }
        Self { contexts: Some(contexts), functions }
    }

    /// Only these contexts, and no function beside the well-known ones.
    pub fn contexts<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { contexts: Some(names.into_iter().map(str::to_owned).collect()), functions: Vec::new() }
    }

    pub(super) fn knows_context(&self, name: &str) -> bool {
        match &self.contexts {
            None => true,
            Some(names) => names.iter().any(|known| equal(known, name)),
        }
    }

    /// The function called `name`, where it is known here, with its fewest and most parameters.
    pub(super) fn function(&self, name: &str) -> Option<(Function, usize, usize)> {
        let well_known = Function::WELL_KNOWN.iter().find(|row| equal(row.0, name));
        if let Some(&(_, function, fewest, most)) = well_known {
            return Some((function, fewest, most));
        }
        let allowed = self.functions.iter().find(|allowed| equal(allowed.function.name(), name))?;
        Some((allowed.function, allowed.fewest, allowed.most))
    }
}

fn allowed(name: &str, counts: &str) -> Option<AllowedFunction> {
    let &(_, function, fewest, most) = Function::BY_PLACE.iter().find(|row| equal(row.0, name))?;
    let (first, second) = counts.split_once(',').unwrap_or((counts, counts));
    Some(AllowedFunction {
        function,
        fewest: first.trim().parse().unwrap_or(fewest),
        // `MAX` is no number: the most that any function takes.
        most: second.trim().parse().unwrap_or(most.max(MOST)),
    })
}
