//! No text makes the reader panic or wait.

use std::time::{Duration, Instant};

use cloud_code_model::workflow::{lint, read};
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_text_is_told_about(text in "\\PC*") {
        lint("w.yml", &text);
    }

    #[test]
    fn any_bytes_are_told_about(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        lint("w.yml", &text);
        let _ = read("w.yml", &text);
    }

    /// Pieces of workflows in any order come deeper than plain noise.
    #[test]
    fn pieces_of_workflows_are_told_about(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        let text = pieces.concat();
        let findings = lint("w.yml", &text);
        let lines = text.split('\n').count();
        for finding in &findings {
            prop_assert!(finding.line >= 1 && finding.line <= lines && finding.column >= 1, "{}", finding);
        }
        // What runs has no errors; errors are never passed over.
        if read("w.yml", &text).is_ok() {
            prop_assert!(crate::errors(&findings).is_empty());
        }
    }
}

const PIECES: &[&str] = &[
    "on: push\n",
    "on:\n",
    "  push:\n",
    "    branches: ['**', '!x']\n",
    "  schedule: [{cron: '*/5 * * * *'}]\n",
    "jobs:\n",
    "  a:\n",
    "  b: &b\n",
    "    needs: [a, b]\n",
    "    runs-on: x\n",
    "    steps:\n",
    "      - run: |\n          echo ${{ github.event.issue.title }}\n",
    "      - uses: agent\n",
    "        with: {prompt: \"${{ 'é' }}\"}\n",
    "      - &s {run: x}\n",
    "      - *s\n",
    "    strategy:\n",
    "      matrix: {a: [1, 2], exclude: [{a: 3}]}\n",
    "    if: ${{ always() }} x\n",
    "*b",
    "&x ",
    "- ",
    "'",
    "\"",
    "|\n",
    ">-\n",
    "\t",
    "  ",
    "${{ ",
    " }}",
    "? ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    "#",
    "\u{a0}",
    "\r\n",
    "é",
    "---\n",
    "!!float ",
    "<<: *b\n",
];

fn took(text: &str) -> Duration {
    let begun = Instant::now();
    lint("w.yml", text);
    begun.elapsed()
}

#[test]
fn bombs_are_refused_quickly() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let before = level - 1;
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 9].join(", ")));
    }
    for text in [
        bomb,
        "[".repeat(100_000),
        "{a: ".repeat(50_000),
        "- ".repeat(50_000),
        "a: &a [*a]".to_owned(),
        "? ".repeat(20_000),
    ] {
        let time = took(&text);
        assert!(time < Duration::from_secs(5), "{time:?} for {:.20}", text);
        assert!(!lint("w.yml", &text).is_empty());
    }
}

#[test]
fn time_grows_with_length() {
    let text = |jobs: usize| {
        let mut text = String::from("on: push\njobs:\n");
        for job in 0..jobs {
            let needs = if job > 0 { format!("    needs: j{}\n", job - 1) } else { String::new() };
            text.push_str(&format!(
                "  j{job}:\n    runs-on: ubuntu-latest\n{needs}    steps:\n      - run: echo ${{{{ github.sha }}}} ${{{{ steps.x.outputs.y }}}}\n        env: {{A: '${{{{ runner.os }}}}'}}\n"
            ));
        }
        text
    };
    let (small, large) = (text(100), text(1600));
    took(&small);
    let (small, large) = (took(&small), took(&large));
    println!("lint of 100 jobs: {small:?}; of 1600 jobs: {large:?}");
    // 16 times the text; three times that is room for a busy machine, far from the 256 of a square.
    assert!(large < small * 16 * 4 + Duration::from_millis(200), "{small:?} and then {large:?}");
}
