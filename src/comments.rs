//! Every word that goes to GitHub.
//!
//! Text that came from outside (titles, summaries, reasons) is made harmless here: no mention reaches anybody, no marker
//! of ours can be forged, and nothing is longer than the forge takes.

use crate::ports::Change;
use crate::words::{blocked, duration, money, plural, thousands};
use cloud_code_model::ids::RunId;
use cloud_code_model::run::{
    Attempt, AttemptState, Conclusion, Publication, Run, RunStatus, SessionSummary, StepSummary, Usage,
};
use std::fmt::Write;

mod additions;
mod annotations;
mod jobs;

/// GitHub takes 65,536 characters; this leaves room for our own words.
const MAX_TEXT: usize = 60_000;

/// Remarks of steps in the comment on an issue.
const MAX_ANNOTATIONS: usize = 10;

/// Between these, a pull request's text is ours to renew.
pub const PULL_BEGIN: &str = "<!-- cloud-code:begin -->";
/// See [`PULL_BEGIN`].
pub const PULL_END: &str = "<!-- cloud-code:end -->";

/// Finds the comment about a run again.
pub fn run_marker(run: &RunId) -> String {
    format!("<!-- cloud-code:run:{run} -->")
}

/// Finds an answer to a command again.
pub fn reply_marker(key: &str) -> String {
    format!("<!-- cloud-code:reply:{key} -->")
}

/// The page about a run on our server.
pub fn run_url(run: &Run, public_url: Option<&str>) -> Option<String> {
    public_url.map(|url| format!("{}/runs/{}", url.trim_end_matches('/'), run.id))
}

/// Answers a command that was refused.
pub fn refused(actor: &str, reason: &str) -> String {
    format!("@{actor}, nothing was started: {}.", quiet(reason.trim_end_matches('.')))
}

/// Answers `/cloud-code also` where an agent is at work.
pub fn added(actor: &str) -> String {
    format!("@{actor}, the agent at work is told, and goes on with it when it has done what it is at.")
}

/// Answers `/cloud-code cancel`.
pub fn cancelled_by_command(actor: &str, runs: usize, force: bool) -> String {
    let all = if force { ", with all their jobs" } else { "" };
    match runs {
        0 => format!("@{actor}, there is no run to cancel on this issue."),
        1 => format!("@{actor}, the run is being cancelled{}.", all.replace("their", "its")),
        many => format!("@{actor}, {many} runs are being cancelled{all}."),
    }
}

/// Answers `/cloud-code approve` and `reject`.
pub fn reviewed(actor: &str, jobs: &[String], approved: bool) -> String {
    let what = if approved { "approved" } else { "rejected" };
    let jobs: Vec<_> = jobs.iter().map(|job| format!("`{job}`")).collect();
    format!("@{actor}, {} {what}.", jobs.join(" and "))
}

/// Answers `/cloud-code rerun`.
pub fn rerun(actor: &str, all: bool) -> String {
    let what = if all { "the run begins again" } else { "what failed runs again" };
    format!("@{actor}, {what}.")
}

/// Answers a command that could not be obeyed.
pub fn not_done(actor: &str, reason: &str) -> String {
    format!("@{actor}, that can't be done: {}.", quiet(reason.trim_end_matches('.')))
}

/// Tells that workflow files can't be used.
pub fn bad_workflows(problems: &[String]) -> String {
    let mut out = "These workflows could not be started:\n\n".to_owned();
    for problem in problems {
        let _ = writeln!(out, "- {}", quiet(&problem.replace('\n', " ")));
    }
    cut(out)
}

/// The one comment about a run.
pub fn run_comment(run: &Run, public_url: Option<&str>) -> String {
    let mut out = format!("{}\n{}\n", run_marker(&run.id), headline(run));
    if let Some(reason) = run.reason.as_deref().filter(|_| run.is_over()) {
        let _ = writeln!(out, "\n> {}", quiet(reason).replace('\n', "\n> "));
    }
    if let Some(publication) = run.publication() {
        let _ = writeln!(out, "\n{}", published(publication));
    }
    out.push_str(&jobs::waiting(run));
    out.push_str(&additions::list(run));
    let attempt = jobs::shown(run).and_then(|job| job.attempts.last());
    if let Some(report) = attempt.and_then(|attempt| attempt.report.as_ref()) {
        if let Some(summary) = report.summary.as_ref().filter(|_| run.is_over()) {
            let _ = writeln!(
                out,
                "\n<details><summary>What the agent said</summary>\n\n{}\n\n</details>",
                quiet_block(summary)
            );
        }
        if run.jobs.len() == 1 {
            out.push_str(&steps(&report.steps));
        }
        out.push_str(&conversations(&report.sessions));
        if run.is_over() {
            out.push_str(&annotations::list(&report.steps, MAX_ANNOTATIONS));
        }
        if let Some(line) = blocked(&report.blocked_hosts) {
            let _ = writeln!(out, "\n{}", quiet(&line));
        }
    }
    if run.jobs.len() > 1 {
        out.push_str(&jobs::list(run));
    }
    let _ = writeln!(out, "\n<sub>{}</sub>", footer(run, public_url));
    cut(out)
}

/// Whether agents went on with an earlier run's conversations.
fn conversations(sessions: &[SessionSummary]) -> String {
    let mut out = String::new();
    if sessions.iter().any(|session| session.resumed) {
        out.push_str("\nThe agent went on with its conversation of the earlier run.\n");
    }
    for session in sessions {
        if let Some(why) = &session.not_resumed {
            let _ = writeln!(
                out,
                "\nThe conversation of the earlier run could not be gone on with ({}): the agent began a new one, with a note of what was done.",
                quiet_line(why, 300)
            );
        }
    }
    out
}

fn steps(steps: &[StepSummary]) -> String {
    let mut out = if steps.is_empty() { String::new() } else { "\n".to_owned() };
    for step in steps {
        let mark = match step.conclusion.as_deref() {
            Some("success") => "✅",
            Some("skipped") => "⏭️",
            Some("no_changes") => "➖",
            Some(_) => "❌",
            None if step.status == "in_progress" => "⏳",
            None => "▫️",
        };
        let _ = writeln!(out, "- {mark} {}", quiet_line(&step.name, 100));
    }
    out
}

fn headline(run: &Run) -> String {
    let publishing =
        run.jobs.iter().any(|job| job.attempts.last().is_some_and(|a| a.state == AttemptState::Publishing));
    match (run.status, run.conclusion) {
        (RunStatus::Queued, _) if run.hold.as_ref().is_some_and(|hold| !hold.granted) => {
            "🕓 **Queued.** It waits for an earlier run of the same concurrency group.".to_owned()
        }
        (RunStatus::Queued, _) => "🕓 **Queued.** An agent will start as soon as a runner is free.".to_owned(),
        (RunStatus::InProgress, _) if publishing => "⏫ **Publishing** the change.".to_owned(),
        (RunStatus::InProgress, _) if run.cancel.is_some() => "🛑 **Stopping.**".to_owned(),
        (RunStatus::InProgress, _) => "⏳ **Working on it.**".to_owned(),
        (RunStatus::Completed, conclusion) => match conclusion.unwrap_or(Conclusion::Failure) {
            Conclusion::Success if run.publication().is_none() => "✅ **Done.** No change was needed.".to_owned(),
            Conclusion::Success => "✅ **Done.**".to_owned(),
            Conclusion::NoChanges => {
                "➖ **No changes.** The agent finished without changing anything; there is no branch and no pull request."
                    .to_owned()
            }
            Conclusion::NeedsInput => "❓ **The agent has a question.** Answer it, then comment `/cloud-code run`.".to_owned(),
            Conclusion::TimedOut => "⌛ **Timed out.**".to_owned(),
            Conclusion::BudgetExceeded => "💸 **The budget is spent.**".to_owned(),
            Conclusion::Cancelled => {
                let by = run.cancel.as_ref().map_or("somebody", |cancel| cancel.by.as_str());
                format!("🛑 **Cancelled** by {}.", quiet(by))
            }
            Conclusion::Skipped => "⏭️ **Skipped.**".to_owned(),
            Conclusion::Failure if run.publication().is_some() => "❌ **Failed.**".to_owned(),
            Conclusion::Failure => "❌ **Failed.** Nothing was pushed.".to_owned(),
        },
    }
}

fn published(publication: &Publication) -> String {
    let (files, insertions, deletions) = publication.diffstat;
    let what = format!(
        "{} in {}, +{insertions} −{deletions}",
        plural(publication.commits, "commit"),
        plural(files, "file")
    );
    match &publication.pull {
        Some(pull) if pull.number > 0 => {
            let kind = if pull.draft { "draft pull request" } else { "pull request" };
            format!("**{kind} #{}** on `{}`: {what}.", pull.number, publication.branch)
        }
        _ => format!("Branch `{}`: {what}.", publication.branch),
    }
}

fn footer(run: &Run, public_url: Option<&str>) -> String {
    let mut parts = vec![format!("workflow `{}`", run.workflow.name.replace('`', "'"))];
    if let (Some(from), Some(to)) = (run.started_at, run.finished_at) {
        parts.push(duration(to.duration_since(from)));
    }
    if run.is_over() {
        parts.extend(cost(&run.usage()));
    }
    let name = match run_url(run, public_url) {
        Some(url) => format!("[{}]({url})", run.id),
        None => run.id.to_string(),
    };
    parts.push(name);
    parts.join(" · ")
}

/// `$0.42 · 12,000 tokens`; tokens without a price are `unpriced`; nothing spent is nothing said.
pub fn cost(usage: &Usage) -> Vec<String> {
    let tokens =
        usage.input_tokens.saturating_add(usage.cached_input_tokens).saturating_add(usage.output_tokens);
    let mut parts = Vec::new();
    match usage.cost_usd {
        Some(cost) => parts.push(money(Some(cost))),
        None if tokens > 0 => parts.push("unpriced".to_owned()),
        None => {}
    }
    if tokens > 0 {
        parts.push(format!("{} tokens", thousands(tokens)));
    }
    parts
}

/// A pull request's title from text that came from outside: one line, at most 200 characters.
pub fn pull_title(text: &str) -> String {
    let title = quiet_line(text, 200);
    if title.is_empty() { "Changes by Cloud Code".to_owned() } else { title }
}

/// A pull request's text.
pub fn pull_body(run: &Run, attempt: &Attempt, change: &Change, public_url: Option<&str>) -> String {
    let mut out = format!("{PULL_BEGIN}\n");
    if run.subject.number > 0 {
        let _ = writeln!(out, "Fixes #{}\n", run.subject.number);
    }
    let report = attempt.report.as_ref();
    let partial = attempt.conclusion.filter(|conclusion| *conclusion != Conclusion::Success);
    if let Some(conclusion) = partial {
        let why = attempt.reason.as_deref().unwrap_or("the attempt ended early");
        let _ = writeln!(
            out,
            "> [!WARNING]\n> This is partial work, saved when the run ended with `{}`: {}\n",
            conclusion.as_str(),
            quiet(why).replace('\n', " ")
        );
    }
    // Below our own words: it can't hide them.
    let text = report.and_then(|report| report.outputs.get("pr-body").or(report.summary.as_ref()));
    if let Some(text) = text {
        let _ = writeln!(out, "{}\n", quiet_block(&text.chars().take(30_000).collect::<String>()));
    }
    if change.commits.len() > 1 {
        let _ = writeln!(out, "{} commits:\n", change.commits.len());
        for commit in change.commits.iter().take(50) {
            let _ = writeln!(out, "- {}", quiet_line(commit, 200));
        }
        out.push('\n');
    }
    let _ = writeln!(out, "<sub>{}</sub>\n{PULL_END}", footer(run, public_url));
    cut(out)
}

/// A check run's one line.
pub fn check_title(run: &Run, attempt: &Attempt) -> String {
    let conclusion = attempt.conclusion.map_or("unknown", Conclusion::as_str);
    let spent = cost(&run.usage());
    let title = if spent.is_empty() {
        conclusion.to_owned()
    } else {
        format!("{conclusion} · {}", spent.join(" · "))
    };
    title.chars().take(200).collect()
}

/// ` for #42`; nothing where the run is about no issue.
fn about(run: &Run) -> String {
    if run.subject.number > 0 { format!(" for #{}", run.subject.number) } else { String::new() }
}

/// A check run's text.
pub fn check_summary(run: &Run, attempt: &Attempt) -> String {
    let mut out = format!("Run `{}` of workflow `{}`{}.\n", run.id, run.workflow.name, about(run));
    if let Some(report) = &attempt.report {
        for step in &report.steps {
            let conclusion = step.conclusion.as_deref().unwrap_or(&step.status);
            let _ = writeln!(out, "- {}: {conclusion}", quiet_line(&step.name, 100));
        }
        out.push_str(&annotations::list(&report.steps, 50));
        if let Some(summary) = &report.summary {
            let _ = writeln!(out, "\n{}", quiet_block(summary));
        }
    }
    cut(out)
}

/// Makes text from outside harmless in Markdown that we sign: mentions, references to issues and the words that close them
/// ring nobody's bell, no image is fetched, and it holds no HTML, so that it can't forge a marker of ours or hide what
/// follows it. An invisible character does so, which changes nothing to the eye, in code neither.
fn quiet(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for (at, c) in text.char_indices() {
        out.push(c);
        let (before, after) = (&text[..at], &text[at + c.len_utf8()..]);
        let next = after.chars().next();
        let loud = match c {
            '@' => true,
            '#' => next.is_some_and(|next| next.is_ascii_digit()),
            '-' => next.is_some_and(|next| next.is_ascii_digit()) && ends_with(before, "gh"),
            '/' => {
                let folder =
                    ["/issues", "/pull", "/discussions"].iter().any(|folder| ends_with(before, folder));
                folder && next.is_some_and(|next| next.is_ascii_digit())
            }
            '!' => next == Some('['),
            '<' => next.is_some_and(|next| next.is_ascii_alphabetic() || "/!?".contains(next)),
            '&' => is_entity(after),
            _ => false,
        };
        if loud {
            out.push('\u{2060}');
        }
    }
    out
}

fn ends_with(text: &str, end: &str) -> bool {
    let at = text.len().wrapping_sub(end.len());
    text.get(at..).is_some_and(|found| found.eq_ignore_ascii_case(end))
}

/// Whether `&` and this begin an HTML entity: `&commat;` is a mention's `@` once it is rendered.
fn is_entity(after: &str) -> bool {
    let name =
        after.bytes().take(40).take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'#').count();
    name > 0 && after.as_bytes().get(name) == Some(&b';')
}

/// The same of text with lines, closed: a code block that it leaves open would swallow what we write below it.
fn quiet_block(text: &str) -> String {
    let mut open: Option<(char, usize)> = None;
    for line in text.lines() {
        let line = line.trim_start();
        let Some(mark) = line.chars().next().filter(|c| matches!(c, '`' | '~')) else { continue };
        let length = line.chars().take_while(|c| *c == mark).count();
        let rest = line[length..].trim();
        match open {
            None if length >= 3 && !(mark == '`' && rest.contains('`')) => open = Some((mark, length)),
            Some((opened, least)) if opened == mark && length >= least && rest.is_empty() => open = None,
            _ => {}
        }
    }
    let mut out = quiet(text);
    if let Some((mark, length)) = open {
        out.push('\n');
        out.extend(std::iter::repeat_n(mark, length));
    }
    out
}

/// The same of text that is to stay on one line of at most `max` characters.
fn quiet_line(text: &str, max: usize) -> String {
    let line = cloud_code_model::untrusted::visible(text, max.saturating_mul(4)).replace(['\n', '\t'], " ");
    quiet(&line.trim().chars().take(max).collect::<String>())
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}\n\n[cut: the text was too long]", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_rings_nobodys_bell() {
        for (given, expected) in [
            ("ask @ann", "ask @|ann"),
            ("Fixes #12, acme/shop#3", "Fixes #|12, acme/shop#|3"),
            ("closes GH-4 and gh-5", "closes GH-|4 and gh-|5"),
            ("closes https://github.com/a/b/issues/6", "closes https://github.com/a/b/issues/|6"),
            ("resolves https://github.com/a/b/pull/7", "resolves https://github.com/a/b/pull/|7"),
            ("![x](https://h/?secret)", "!|[x](https://h/?secret)"),
            (
                "<img src=x> </details> <!-- cloud-code:end -->",
                "<|img src=x> <|/details> <|!-- cloud-code:end -->",
            ),
            ("&commat;ann &#64;ann &#x40;ann", "&|commat;ann &|#|64;ann &|#x40;ann"),
            (
                "a < b && c, R&D; # heading, x - 1, https://h/?a=1&b=2",
                "a < b && c, R&|D; # heading, x - 1, https://h/?a=1&b=2",
            ),
        ] {
            assert_eq!(quiet(given).replace('\u{2060}', "|"), expected, "{given}");
        }
    }

    #[test]
    fn what_a_text_opens_it_closes() {
        for (given, end) in [
            ("plain", "plain"),
            ("```sh\nls\n```", "```"),
            ("```sh\nls", "\n```"),
            ("~~~~\n~~~\n```", "\n~~~~"),
            ("````\n```", "\n````"),
            ("```a`b", "```a`b"),
        ] {
            assert!(quiet_block(given).ends_with(end), "{given:?}: {:?}", quiet_block(given));
        }
    }

    #[test]
    fn a_line_stays_one() {
        assert_eq!(quiet_line("fix\n\n# \u{202e}Done", 100), "fix  # Done");
        assert_eq!(pull_title("\u{200b}"), "Changes by Cloud Code");
        assert_eq!(quiet_line(&"x".repeat(300), 100).len(), 100);
    }
}
