//! The page `/`: the latest runs.

use super::html::Html;
use crate::ports::{Page, RunSummary};
use crate::words::{Tone, age, cut, one_line, outcome};
use jiff::Timestamp;

/// Everything up to the page's own content.
pub(super) fn head(page: &mut Html, title: &str, renews: bool) {
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")
        .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    if renews {
        page.raw("<meta http-equiv=\"refresh\" content=\"10\">");
    }
    page.raw("<title>")
        .text(title)
        .raw("</title><link rel=\"stylesheet\" href=\"/assets/style.css\"></head>\n")
        .raw("<body><header><a href=\"/\">Cloud Code</a></header>\n");
}

/// A coloured mark and word.
pub(super) fn badge(page: &mut Html, status: &str, conclusion: Option<&str>) {
    let tone = Tone::of(status, conclusion);
    page.raw("<span class=\"tone ").raw(tone.as_str()).raw("\">").raw(tone.mark()).raw(" ");
    page.text(outcome(status, conclusion)).raw("</span>");
}

/// A time as an age, the exact one on hovering.
pub(super) fn time(page: &mut Html, at: Timestamp, now: Timestamp) {
    page.raw("<time title=\"").text(at).raw("\">").text(age(at, now)).raw("</time>");
}

pub(super) fn render(list: &Page<RunSummary>, now: Timestamp) -> String {
    let mut page = Html::default();
    head(&mut page, "Runs · Cloud Code", false);
    page.raw("<main><h1>Runs</h1>\n");
    if list.items.is_empty() {
        page.raw("<p>No run here. Put the label <code>cloud-code</code> on an issue, ")
            .raw("or comment <code>/cloud-code run</code> on it.</p>\n");
    } else {
        page.raw("<table><thead><tr><th>Status</th><th>Issue</th><th>Workflow</th><th>Started</th><th>Run</th></tr></thead><tbody>\n");
        for run in &list.items {
            row(&mut page, run, now);
        }
        page.raw("</tbody></table>\n");
    }
    if let Some(cursor) = &list.next {
        let cursor: String = form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
        page.raw("<p>").link(&format!("/?cursor={cursor}"), "Older runs").raw("</p>\n");
    }
    page.raw("</main></body></html>\n");
    page.finish()
}

fn row(page: &mut Html, run: &RunSummary, now: Timestamp) {
    page.raw("<tr><td>");
    badge(page, run.status.as_str(), run.conclusion.map(|conclusion| conclusion.as_str()));
    page.raw("</td><td>").text(cut(&one_line(&run.title), 80)).raw(" <small>").text(&run.repository).raw("#");
    page.text(run.subject).raw("</small></td><td>").text(cut(&one_line(&run.workflow), 40)).raw("</td><td>");
    time(page, run.created_at, now);
    page.raw("</td><td>").link(&format!("/runs/{}", run.id), &run.id).raw("</td></tr>\n");
}
