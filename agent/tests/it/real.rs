//! The real programs in their images against the scripted LLM, which stands outside the container. `tests/run` builds the images
//! (scripts/build-agents.sh) and sets `CLOUD_CODE_TEST_DOCKER=1`; the programs' versions are pinned in docker/agents/versions.env.
//! `CLOUD_CODE_TEST_IMAGES` is another beginning of the images' names than `cloud-code-agent-`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use cloud_code_forge::llm::{LlmServer, Script, Turn};
use cloud_code_model::task::{Conclusion, PricedBy};

use crate::harness::{Lab, Left};

/// A real program, and how it is led to the scripted LLM.
struct Real {
    cli: &'static str,
    model: &'static str,
    /// Variables of base URL and key, and what follows the server's root in the base URL.
    base: (&'static str, &'static str),
    key: &'static str,
    /// Further inputs of the step.
    with: &'static str,
    /// The turn that changes `fixed.txt`.
    change: fn() -> Turn,
    priced_by: PricedBy,
}

fn by_command() -> Turn {
    Turn::bash("echo fixed > fixed.txt")
}

fn by_text() -> Turn {
    Turn::write("fixed.txt", "fixed\n")
}

const CLAUDE_CODE: Real = Real {
    cli: "claude-code",
    model: "claude-sonnet-4-5",
    base: ("ANTHROPIC_BASE_URL", ""),
    key: "ANTHROPIC_API_KEY",
    with: "",
    change: by_command,
    priced_by: PricedBy::Cli,
};

const CODEX: Real = Real {
    cli: "codex",
    model: "gpt-5",
    base: ("OPENAI_BASE_URL", "/v1"),
    key: "OPENAI_API_KEY",
    with: "",
    change: by_command,
    priced_by: PricedBy::Table,
};

const GEMINI: Real = Real {
    cli: "gemini",
    model: "gemini-2.5-pro",
    base: ("GOOGLE_GEMINI_BASE_URL", ""),
    key: "GEMINI_API_KEY",
    with: "",
    change: by_command,
    priced_by: PricedBy::Table,
};

const OPENCODE: Real = Real {
    cli: "opencode",
    model: "anthropic/claude-sonnet-4-5",
    base: ("ANTHROPIC_BASE_URL", ""),
    key: "ANTHROPIC_API_KEY",
    with: "",
    change: by_command,
    priced_by: PricedBy::Cli,
};

const AIDER: Real = Real {
    cli: "aider",
    model: "openai/gpt-4o",
    base: ("OPENAI_BASE_URL", "/v1"),
    key: "OPENAI_API_KEY",
    with: ", args: [--edit-format, whole]",
    change: by_text,
    priced_by: PricedBy::Cli,
};

impl Real {
    /// The image; None, said aloud, where there is no Docker to test with. CI may not skip.
    fn image(&self) -> Option<String> {
        if std::env::var("CLOUD_CODE_TEST_DOCKER").as_deref() != Ok("1") {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "CI has to run the real programs: set CLOUD_CODE_TEST_DOCKER=1"
            );
            let _ = writeln!(std::io::stderr(), "skipped: needs Docker; set CLOUD_CODE_TEST_DOCKER=1");
            return None;
        }
        let prefix = std::env::var("CLOUD_CODE_TEST_IMAGES").unwrap_or("cloud-code-agent-".to_owned());
        Some(format!("{prefix}{}:latest", self.cli))
    }

    fn step(&self, id: &str, more: &str) -> String {
        let Real { cli, model, with, .. } = self;
        format!(
            "- {{ id: {id}, uses: agent, with: {{ cli: {cli}, model: {model}, prompt: 'Mend the thing'{with}{more} }} }}\n"
        )
    }

    fn run(&self, image: &str, turns: Vec<Turn>, steps: &str, more: &str) -> (Lab, Left, LlmServer) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // Containers do not reach loopback.
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let server = runtime.block_on(LlmServer::bind(any, vec![Script { when: None, turns }])).unwrap();
        let url = format!("http://host.docker.internal:{}{}", server.address().port(), self.base.1);
        let lab = Lab::new()
            .env("CLOUD_CODE_SECRETS", self.key)
            .env(self.key, "sk-scripted-0123456789")
            .env(self.base.0, &url);
        let left = lab.run_in(image, steps, more);
        runtime.shutdown_timeout(Duration::from_secs(1));
        if let Ok(folder) = std::env::var("CLOUD_CODE_KEEP") {
            self.keep(&lab, &left, &folder);
        }
        (lab, left, server)
    }

    /// Copies what a run left, to record transcripts from.
    fn keep(&self, lab: &Lab, left: &Left, folder: &str) {
        let target =
            std::path::Path::new(folder).join(format!("{}-{}", self.cli, left.report.at.as_millisecond()));
        let copied = std::process::Command::new("cp").arg("-a").arg(lab.beside("")).arg(target).status();
        assert!(copied.unwrap().success());
    }
}

fn served(server: &LlmServer) -> Vec<(Option<usize>, u16)> {
    let main = server.requests().into_iter().filter(|request| request.main);
    main.map(|request| (request.turn, request.status)).collect()
}

fn a_change_then_a_second_turn_in_the_same_session(real: &Real) {
    let Some(image) = real.image() else { return };
    let steps = real.step("fix", "") + &real.step("more", ", session: '${{ steps.fix.outputs.session }}'");
    let turns = vec![(real.change)(), Turn::text("I mended it."), Turn::text("And once more.")];
    let (lab, left, server) = real.run(&image, turns, &steps, "");
    left.expect(Conclusion::Success);
    let changes = left.report.tasks[0].changes.as_ref().unwrap();
    assert_eq!(changes.files, 1, "{:?}", lab.files(&changes.head));
    assert!(lab.files(&changes.head).contains(&"fixed.txt".to_owned()));
    let (first, second) = (left.step(0), left.step(1));
    assert!(first.session.is_some());
    assert_eq!(first.session, second.session);
    // aider edits by its answer: one turn does it, and the second step hears the second.
    let expected = if real.cli == "aider" { [1, 1] } else { [2, 1] };
    for (step, turns) in [first, second].into_iter().zip(expected) {
        let usage = step.usage.unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens), (1000 * turns, 100 * turns), "{step:?}");
        assert_eq!(step.turns, Some(u32::try_from(turns).unwrap()));
        assert!(usage.cost_usd.is_some_and(|cost| cost > 0.0), "{usage:?}");
        assert_eq!(usage.priced_by, real.priced_by);
    }
    assert!(served(&server).iter().all(|(_, status)| *status == 200));
    let keys: Vec<_> =
        server.requests().into_iter().filter(|request| request.main).map(|request| request.key).collect();
    assert!(keys.iter().all(|key| key.as_deref() == Some("sk-scripted-0123456789")), "{keys:?}");
    assert!(!left.log.contains("sk-scripted"));
}

fn faults_pass(real: &Real) {
    let Some(image) = real.image() else { return };
    let limited = Turn::RateLimited { retry_after: 1 };
    let turns = vec![Turn::Overloaded, limited, Turn::DropStream, (real.change)(), Turn::text("Mended.")];
    let (_, left, server) = real.run(&image, turns, &real.step("fix", ""), "");
    left.expect(Conclusion::Success);
    let served = served(&server);
    assert!(served.contains(&(Some(1), 429)) && served.contains(&(Some(2), 200)), "{served:?}");
}

fn a_bad_key_is_told_and_not_tried_again(real: &Real) {
    let Some(image) = real.image() else { return };
    let (_, left, server) = real.run(&image, vec![Turn::Unauthorized; 20], &real.step("fix", ""), "");
    left.expect(Conclusion::Failure);
    let told = ["API key", "refuses the credentials"].iter().any(|words| left.message().contains(words));
    assert!(told, "{}", left.message());
    assert!(served(&server).len() <= 6, "the CLI's own tries, once: {:?}", served(&server));
}

fn a_server_that_never_answers(real: &Real) {
    let Some(image) = real.image() else { return };
    let turns = vec![(real.change)(), Turn::Hang { seconds: 3600 }];
    let turns = if real.cli == "aider" { turns[1..].to_vec() } else { turns };
    let (_, left, _) = real.run(&image, turns, &real.step("fix", ""), "limits: { silence-minutes: 0.3 }");
    left.expect(Conclusion::TimedOut);
    assert!(left.message().contains("it said nothing for"), "{}", left.message());
    assert_eq!(left.report.salvaged, real.cli != "aider");
}

macro_rules! real {
    ($($name:ident: $real:ident),*) => { $(
        mod $name {
            #[test]
            fn change_and_resume() { super::a_change_then_a_second_turn_in_the_same_session(&super::$real); }
            #[test]
            fn faults() { super::faults_pass(&super::$real); }
            #[test]
            fn bad_key() { super::a_bad_key_is_told_and_not_tried_again(&super::$real); }
            #[test]
            fn hang() { super::a_server_that_never_answers(&super::$real); }
        }
    )* };
}

real!(claude_code: CLAUDE_CODE, codex: CODEX, gemini: GEMINI, opencode: OPENCODE, aider: AIDER);
