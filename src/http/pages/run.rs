//! The page `/runs/{id}`: where the comment on an issue and the check on a commit lead.

use super::html::Html;
use super::index::{badge, head, time};
use crate::http::api::view::{ApiAttempt, ApiJob, ApiPublication, ApiRun, ApiUsage};
use crate::words::{Tone, became_of, blocked, duration, money, one_line, plural, tokens};
use jiff::Timestamp;

pub(super) fn render(run: &ApiRun, now: Timestamp) -> String {
    let mut page = Html::default();
    let title = one_line(&run.subject.title);
    head(&mut page, &format!("{title} · Cloud Code"), !run.is_over());
    page.raw("<main><h1>").text(&title).raw("</h1>\n<p>");
    badge(&mut page, &run.status, run.conclusion.as_deref());
    page.raw(" ")
        .link(&run.subject.url, format_args!("{}#{}", run.repository, run.subject.number))
        .raw("</p>\n");
    if let Some(reason) = &run.reason {
        page.raw("<p class=\"reason\">").text(reason).raw("</p>\n");
    }
    if let Some(wish) = &run.cancel {
        page.raw("<p>Cancelled by ").text(&wish.by).raw(", ");
        time(&mut page, wish.at, now);
        page.raw(".</p>\n");
    }
    if let Some(publication) = &run.publication {
        published(&mut page, publication);
    }
    facts(&mut page, run, now);
    for addition in &run.additions {
        page.raw("<p>💬 ").text(&addition.by).raw(" added, ");
        time(&mut page, addition.at, now);
        page.raw(": ").text(&addition.words).raw(" <small>");
        page.text(became_of(&addition.state)).raw("</small></p>\n");
    }
    for job in &run.jobs {
        self::job(&mut page, run, job, now);
    }
    pending(&mut page, run, now);
    page.raw("<h2>History</h2>\n<ol class=\"history\">\n");
    for entry in &run.history {
        page.raw("<li>");
        time(&mut page, entry.at, now);
        page.raw(" ").text(&entry.what).raw("</li>\n");
    }
    page.raw("</ol></main></body></html>\n");
    page.finish()
}

fn published(page: &mut Html, publication: &ApiPublication) {
    page.raw("<p class=\"published\">");
    match &publication.pull_request {
        Some(pull) => {
            let kind = if pull.draft { "Draft pull request" } else { "Pull request" };
            page.link(&pull.url, format_args!("{kind} #{}", pull.number));
        }
        None => {
            page.raw("Branch <code>").text(&publication.branch).raw("</code>");
        }
    }
    page.raw(": ").text(plural(publication.files, "file")).raw(", <ins>+").text(publication.insertions);
    page.raw("</ins> <del>−")
        .text(publication.deletions)
        .raw("</del>, ")
        .text(plural(publication.commits, "commit"));
    page.raw(", at <code>").text(publication.sha.get(..12).unwrap_or(&publication.sha)).raw("</code></p>\n");
}

fn tries(count: u32) -> String {
    if count == 1 { "1 try".to_owned() } else { format!("{count} tries") }
}

fn facts(page: &mut Html, run: &ApiRun, now: Timestamp) {
    page.raw("<dl>\n<dt>Run</dt><dd><code>").text(&run.id).raw("</code></dd>\n<dt>Workflow</dt><dd>");
    page.text(&run.workflow.name)
        .raw(" <small>")
        .text(&run.workflow.path)
        .raw("</small></dd>\n<dt>Started by</dt><dd>");
    page.text(&run.trigger.actor).raw(" <small>").text(&run.trigger.event).raw(" ").text(&run.trigger.action);
    page.raw(", ");
    time(page, run.created_at, now);
    page.raw("</small></dd>\n<dt>Branch</dt><dd><code>").text(&run.branch).raw("</code></dd>\n");
    let end = run.finished_at.unwrap_or(now);
    page.raw("<dt>Took</dt><dd>").text(duration(end.duration_since(run.created_at)));
    page.raw(if run.is_over() { "</dd>\n" } else { " so far</dd>\n" });
    if run.usage.is_known() {
        page.raw("<dt>Cost</dt><dd>");
        cost(page, &run.usage);
        page.raw("</dd>\n");
    }
    page.raw("</dl>\n");
}

fn cost(page: &mut Html, usage: &ApiUsage) {
    page.text(money(usage.cost_usd)).raw(" <small>").text(tokens(usage.input_tokens)).raw(" tokens in, ");
    page.text(tokens(usage.cached_input_tokens))
        .raw(" cached, ")
        .text(tokens(usage.output_tokens))
        .raw(" out</small>");
}

fn job(page: &mut Html, run: &ApiRun, job: &ApiJob, now: Timestamp) {
    page.raw("<h2>").text(&job.name).raw("</h2>\n");
    if job.attempts.is_empty() {
        page.raw("<p>");
        badge(page, waits(job), job.conclusion.as_deref());
        page.raw("</p>\n");
    }
    if let Some(environment) = &job.environment {
        page.raw("<p>Environment <code>").text(&environment.name).raw("</code>");
        match &environment.approved_by {
            Some(who) => {
                page.raw(", approved by ").text(who);
            }
            None if !environment.reviewers.is_empty() => {
                page.raw(", to be approved by ").text(environment.reviewers.join(" or "));
            }
            None => {}
        }
        page.raw("</p>\n");
    }
    if let Some(reason) =
        job.reason.as_ref().filter(|reason| job.attempts.is_empty() && Some(*reason) != run.reason.as_ref())
    {
        page.raw("<p class=\"reason\">").text(reason).raw("</p>\n");
    }
    for attempt in job.attempts.iter().rev() {
        page.raw("<section><h3>");
        badge(page, &attempt.state, attempt.conclusion.as_deref());
        if job.attempts.len() > 1 {
            page.raw(" attempt ").text(attempt.number);
        }
        page.raw(" <small>").text(times(attempt, now)).raw("</small></h3>\n");
        if let Some(reason) = attempt.reason.as_ref().filter(|reason| Some(*reason) != run.reason.as_ref()) {
            page.raw("<p class=\"reason\">").text(reason).raw("</p>\n");
        }
        steps(page, attempt);
        if let Some(publication) = attempt.publication.as_ref().filter(|_| run.jobs.len() > 1) {
            published(page, publication);
        }
        if attempt.salvaged {
            page.raw("<p>The change is what was there when the attempt was cut short.</p>\n");
        }
        if let Some(line) = blocked(&attempt.blocked_hosts) {
            page.raw("<p>").text(line).raw("</p>\n");
        }
        if let Some(summary) = &attempt.summary {
            page.raw("<details><summary>What the agent said</summary><pre>")
                .text(summary)
                .raw("</pre></details>\n");
        }
        let key: String = form_urlencoded::byte_serialize(job.key.as_bytes()).collect();
        let address = format!("/runs/{}/logs?job={key}&attempt={}", run.id, attempt.number);
        page.raw("<p>").link(&address, "Log").raw("</p></section>\n");
    }
}

/// What a job without an attempt waits for, in words.
fn waits(job: &ApiJob) -> &'static str {
    match job.state.as_str() {
        "blocked" => "waiting for other jobs",
        "ready" => "waiting for its turn",
        "environment" => "waiting at its environment",
        "concurrency" => "waiting for its concurrency group",
        "calling" => "in_progress",
        _ => "queued",
    }
}

fn times(attempt: &ApiAttempt, now: Timestamp) -> String {
    match (attempt.launched_at, attempt.finished_at) {
        (Some(from), Some(to)) => duration(to.duration_since(from)),
        (Some(from), None) => format!("for {}", duration(now.duration_since(from))),
        (None, Some(_)) => "never launched".to_owned(),
        (None, None) => format!("waiting for {}", duration(now.duration_since(attempt.created_at))),
    }
}

fn steps(page: &mut Html, attempt: &ApiAttempt) {
    if attempt.steps.is_empty() {
        return;
    }
    page.raw("<ul class=\"steps\">\n");
    for step in &attempt.steps {
        let tone = Tone::of_step(&attempt.state, &step.status, step.conclusion.as_deref());
        page.raw("<li><span class=\"tone ").raw(tone.as_str()).raw("\">").raw(tone.mark()).raw("</span> ");
        page.text(one_line(&step.name));
        if !step.annotations.is_empty() {
            page.raw("\n<ul>\n");
            for annotation in &step.annotations {
                page.raw("<li>").text(annotation.line()).raw("</li>\n");
            }
            page.raw("</ul>");
        }
        page.raw("</li>\n");
    }
    page.raw("</ul>\n");
}

fn pending(page: &mut Html, run: &ApiRun, now: Timestamp) {
    let failing: Vec<_> = run.pending.iter().filter(|pending| pending.error.is_some()).collect();
    if failing.is_empty() {
        return;
    }
    page.raw("<h2>Being tried again</h2>\n<ul>\n");
    for pending in failing {
        page.raw("<li><code>").text(&pending.effect).raw("</code>, after ").text(tries(pending.tries));
        page.raw(", next ");
        time(page, pending.due_at, now);
        page.raw(": ").text(pending.error.as_deref().unwrap_or_default()).raw("</li>\n");
    }
    page.raw("</ul>\n");
}
