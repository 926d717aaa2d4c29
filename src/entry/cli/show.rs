//! A run, as the terminal shows it.

use super::table::Palette;
use crate::http::api::view::{ApiAttempt, ApiRun};
use crate::words::{Tone, age, became_of, duration, money, one_line, outcome, plural, tokens};
use jiff::Timestamp;

/// Lines, without their ends.
pub(super) fn lines(run: &ApiRun, now: Timestamp, palette: Palette) -> Vec<String> {
    let mut lines = Vec::new();
    let tone = Tone::of(&run.status, run.conclusion.as_deref());
    let said = outcome(&run.status, run.conclusion.as_deref());
    lines.push(format!(
        "{}  {}  {}#{}",
        palette.tone(tone, &format!("{} {said}", tone.mark())),
        palette.bold(&one_line(&run.subject.title)),
        run.repository,
        run.subject.number
    ));
    if let Some(reason) = &run.reason {
        lines.extend(reason.lines().map(|line| format!("  {}", one_line(line))));
    }
    lines.push(String::new());
    let mut fact =
        |name: &str, value: String| lines.push(format!("  {}{value}", palette.faint(&format!("{name:<10}"))));
    fact("run", run.id.clone());
    if !run.subject.url.is_empty() {
        fact("issue", one_line(&run.subject.url));
    }
    fact("workflow", format!("{} ({})", one_line(&run.workflow.name), one_line(&run.workflow.path)));
    let cause = format!("{} {}", one_line(&run.trigger.event), one_line(&run.trigger.action));
    fact("started", format!("{} by {} ({cause})", age(run.created_at, now), one_line(&run.trigger.actor)));
    let took = duration(run.finished_at.unwrap_or(now).duration_since(run.created_at));
    fact("took", if run.is_over() { took } else { took + " so far" });
    let usage = &run.usage;
    if usage.is_known() {
        let (read, cached, written) =
            (tokens(usage.input_tokens), tokens(usage.cached_input_tokens), tokens(usage.output_tokens));
        fact("cost", format!("{} ({read} tokens in, {cached} cached, {written} out)", money(usage.cost_usd)));
    }
    if let Some(wish) = &run.cancel {
        fact("cancelled", format!("{} by {}", age(wish.at, now), one_line(&wish.by)));
    }
    for addition in &run.additions {
        let (by, words) = (one_line(&addition.by), one_line(&addition.words));
        fact("added", format!("{} by {by}: {words} ({})", age(addition.at, now), became_of(&addition.state)));
    }
    if let Some(publication) = &run.publication {
        let size = format!(
            "{}, +{} −{}, {}",
            plural(publication.files, "file"),
            publication.insertions,
            publication.deletions,
            plural(publication.commits, "commit")
        );
        let commit = publication.sha.get(..12).unwrap_or(&publication.sha);
        fact("branch", format!("{} at {commit} ({size})", one_line(&publication.branch)));
        if let Some(pull) = &publication.pull_request {
            fact("pull", one_line(&pull.url) + if pull.draft { " (draft)" } else { "" });
        }
    }
    for job in &run.jobs {
        lines.push(String::new());
        if job.attempts.is_empty() {
            let state = if job.state.is_empty() { "queued" } else { &job.state };
            let tone = Tone::of(state, job.conclusion.as_deref());
            let said = outcome(state, job.conclusion.as_deref());
            let mark = palette.tone(tone, &format!("{} {said}", tone.mark()));
            lines.push(format!("{}  {mark}", palette.bold(&one_line(&job.name))));
            if let Some(reason) = job.reason.as_ref().filter(|reason| Some(*reason) != run.reason.as_ref()) {
                lines.extend(reason.lines().map(|line| format!("  {}", one_line(line))));
            }
        }
        for attempt in &job.attempts {
            let many = job.attempts.len() > 1;
            let name =
                if many { format!("{}, attempt {}", job.name, attempt.number) } else { job.name.clone() };
            self::attempt(&mut lines, &one_line(&name), attempt, run, now, palette);
        }
    }
    let failing = run.pending.iter().filter_map(|pending| Some((pending, pending.error.as_ref()?)));
    for (index, (pending, error)) in failing.enumerate() {
        if index == 0 {
            lines.extend([String::new(), palette.bold("Being tried again")]);
        }
        let when = age(pending.due_at, now);
        let count = if pending.tries == 1 { "1 try".to_owned() } else { format!("{} tries", pending.tries) };
        lines.push(format!("  {} after {count}, next {when}: {}", pending.effect, one_line(error)));
    }
    lines.extend([String::new(), palette.bold("History")]);
    for entry in &run.history {
        lines.push(format!(
            "  {}  {}",
            palette.faint(&format!("{:<12}", age(entry.at, now))),
            one_line(&entry.what)
        ));
    }
    lines
}

fn attempt(
    lines: &mut Vec<String>,
    name: &str,
    attempt: &ApiAttempt,
    run: &ApiRun,
    now: Timestamp,
    palette: Palette,
) {
    let tone = Tone::of(&attempt.state, attempt.conclusion.as_deref());
    let said = outcome(&attempt.state, attempt.conclusion.as_deref());
    let took = match (attempt.launched_at, attempt.finished_at) {
        (Some(from), to) => format!("  {}", duration(to.unwrap_or(now).duration_since(from))),
        (None, _) => String::new(),
    };
    let mark = palette.tone(tone, &format!("{} {said}", tone.mark()));
    lines.push(format!("{}  {mark}{}", palette.bold(name), palette.faint(&took)));
    if let Some(reason) = attempt.reason.as_ref().filter(|reason| Some(*reason) != run.reason.as_ref()) {
        lines.extend(reason.lines().map(|line| format!("  {}", one_line(line))));
    }
    for step in &attempt.steps {
        let tone = Tone::of_step(&attempt.state, &step.status, step.conclusion.as_deref());
        lines.push(format!("  {} {}", palette.tone(tone, tone.mark()), one_line(&step.name)));
        lines.extend(step.annotations.iter().map(|annotation| format!("    {}", annotation.line())));
    }
    if attempt.salvaged {
        lines.push("  the change is what was there when the attempt was cut short".to_owned());
    }
}
