//! The real programs in their images against the scripted LLM, which stands outside the container. `tests/run` builds the images
//! (scripts/build-agents.sh) and sets `CLOUD_CODE_TEST_DOCKER=1`; the programs' versions are pinned in docker/agents/versions.env.
//! `CLOUD_CODE_TEST_IMAGES` is another beginning of the images' names than `cloud-code-agent-`.

use std::io::Read as _;
use std::net::SocketAddr;
use std::time::Duration;

use cloud_code_forge::llm::{LlmServer, Script, Turn};
use cloud_code_model::task::{Conclusion, EARLIER_SESSION_FILE, PricedBy, SESSION_FILE};

use crate::harness::{Lab, Left, image};

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
        image(self.cli)
    }

    fn step(&self, id: &str, more: &str) -> String {
        let Real { cli, model, with, .. } = self;
        format!(
            "- {{ id: {id}, uses: agent, with: {{ cli: {cli}, model: {model}, prompt: 'Mend the thing'{with}{more} }} }}\n"
        )
    }

    fn run(&self, image: &str, turns: Vec<Turn>, steps: &str, more: &str) -> (Lab, Left, LlmServer) {
        self.run_after(image, turns, steps, more, None)
    }

    /// The same with the archive of an earlier run's conversations.
    fn run_after(
        &self,
        image: &str,
        turns: Vec<Turn>,
        steps: &str,
        more: &str,
        earlier: Option<&[u8]>,
    ) -> (Lab, Left, LlmServer) {
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
        if let Some(earlier) = earlier {
            std::fs::write(lab.root().join(".cloud-code").join(EARLIER_SESSION_FILE), earlier).unwrap();
        }
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

/// The files in an archive of conversations.
fn unpacked(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(archive)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.push((String::from_utf8(entry.path_bytes().into_owned()).unwrap(), bytes));
    }
    files
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let level = flate2::Compression::fast();
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), level));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

/// Another container, in which nothing of the first is left but its archive: the model hears what was said before. One that was spoilt on
/// its way is begun anew, and that is said.
fn the_next_run_goes_on_with_the_conversation(real: &Real) {
    let Some(image) = real.image() else { return };
    let turns = || vec![(real.change)(), Turn::text("I mended it."), Turn::text("And once more.")];
    let (lab, left, _) = real.run(&image, turns(), &real.step("fix", ""), "");
    left.expect(Conclusion::Success);
    let session = left.step(0).session.clone().unwrap();
    let archive = std::fs::read(lab.root().join(".cloud-code").join(SESSION_FILE))
        .unwrap_or_else(|error| panic!("no archive ({error}):\n{}", left.log));
    assert!(archive.len() < 1 << 20, "{} bytes", archive.len());
    let files = unpacked(&archive);
    let said = files.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains("Mend the thing"));
    assert!(said && files.iter().all(|(name, _)| name.starts_with(real.cli)), "{files:?}");
    assert!(!files.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains("sk-scripted")));

    let earlier = format!(
        "earlier: {{ run: r-0, conversations: [{{ step: fix, cli: {}, session: {session} }}] }}",
        real.cli
    );
    let (_, left, server) = real.run_after(&image, turns(), &real.step("fix", ""), &earlier, Some(&archive));
    // aider has spoken once so far, the others twice; it answers with the file, in whatever turn.
    let step = left.step(0);
    assert_eq!((step.resumed, step.not_resumed.as_deref()), (true, None), "{}", left.log);
    assert_eq!(step.session.as_deref(), Some(session.as_str()));
    let before = if real.cli == "aider" { 1 } else { 2 };
    assert_eq!(served(&server).first(), Some(&(Some(before), 200)), "{:?}\n{}", served(&server), left.log);
    assert_eq!(step.usage.unwrap().input_tokens, 1000, "only what this run used: {step:?}");

    // What a container left may be anything. To aider any text is a history.
    if real.cli == "aider" {
        return;
    }
    let spoilt: Vec<_> = files.into_iter().map(|(name, _)| (name, b"\xff{\"half\": ".to_vec())).collect();
    let (_, left, server) =
        real.run_after(&image, turns(), &real.step("fix", ""), &earlier, Some(&packed(&spoilt)));
    let step = left.step(0);
    left.expect(Conclusion::Success);
    assert_eq!(served(&server).first(), Some(&(Some(0), 200)), "{}", left.log);
    assert!(!step.resumed && step.not_resumed.is_some(), "{step:?}\n{}", left.log);
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
            fn next_run() { super::the_next_run_goes_on_with_the_conversation(&super::$real); }
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
