//! The other coding CLIs, each the real program in its real image, from a signed webhook to a pull request; only the model is
//! played. Needs their images (scripts/build-agents.sh) and `CLOUD_CODE_TEST_DOCKER=1`.

use super::claude::{key_is_nowhere, world_with};
use super::containers::wanted;
use super::world::{PATIENCE, REPOSITORY};
use cloud_code_forge::llm::Turn;

const KEY: &str = "sk-test-0123456789-abcdefghij-KLMNOP";

/// A label becomes a pull request, with what it cost, and the key is nowhere.
async fn makes_a_pull_request(with: &str, key: &str, base: (&str, &str), turns: Vec<Turn>) {
    if !wanted() {
        return;
    }
    let workflow = format!(
        "name: implement\non:\n  issues: {{ types: [labeled] }}\njobs:\n  implement:\n    timeout-minutes: 5\n    steps:\n      \
         - uses: agent\n        with: {{ {with} }}\n      - run: test \"$(sh greet.sh Ada)\" = 'hello, Ada'\n"
    );
    let (mut world, llm) = world_with(&workflow, (key, KEY), base, turns).await;
    let number = world.labelled_issue();
    world.labelled(number, "cloud-code:done").await;
    let run = world.exactly_one_pull(number).await;

    let pull = &world.forge.pulls(REPOSITORY).unwrap()[0];
    let diff = world.forge.pull_diff(REPOSITORY, pull.number).unwrap();
    assert!(diff.contains("+echo \"hello, ${1:-world}\""), "{diff}");
    let requests = llm.requests();
    let main: Vec<_> = requests.iter().filter(|request| request.main).collect();
    assert!(main.iter().all(|request| request.key.as_deref() == Some(KEY)));
    assert!(main[0].prompt.contains("The greeting lacks a name."), "{}", main[0].prompt);

    let turns = main.len() as u64;
    let usage = run.usage();
    assert_eq!((usage.input_tokens, usage.output_tokens), (1000 * turns, 100 * turns));
    assert!(usage.cost_usd.is_some_and(|cost| cost > 0.0), "{usage:?}");
    let comment = &world.forge.comments(REPOSITORY, number).unwrap()[0].body;
    assert!(comment.contains('$') && comment.contains(" tokens"), "{comment}");
    // It asks for nothing that it does not need: nobody is to wonder about hosts that were refused. opencode fetches its own plugin package
    // in the background, from a registry that is allowed where NETWORK_ALLOW is not set.
    let blocked = comment.lines().find(|line| line.starts_with("Blocked network access"));
    let known = with.contains("opencode").then_some("Blocked network access: registry.npmjs.org;");
    assert!(blocked.is_none_or(|line| known.is_some_and(|known| line.starts_with(known))), "{comment}");
    world.terminate(PATIENCE).await;
    key_is_nowhere(&world, number, KEY);
}

fn by_command() -> Vec<Turn> {
    let change = Turn::bash("printf '%s\\n' '#!/bin/sh' 'echo \"hello, ${1:-world}\"' > greet.sh");
    vec![change, Turn::text("The greeting takes a name now.")]
}

#[tokio::test(flavor = "multi_thread")]
async fn codex() {
    let with = "cli: codex, model: gpt-5";
    makes_a_pull_request(with, "OPENAI_API_KEY", ("OPENAI_BASE_URL", "/v1"), by_command()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gemini() {
    let with = "cli: gemini, model: gemini-2.5-pro";
    makes_a_pull_request(with, "GEMINI_API_KEY", ("GOOGLE_GEMINI_BASE_URL", ""), by_command()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opencode() {
    let with = "cli: opencode, model: anthropic/claude-sonnet-4-5";
    makes_a_pull_request(with, "ANTHROPIC_API_KEY", ("ANTHROPIC_BASE_URL", ""), by_command()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aider() {
    let with = "cli: aider, model: openai/gpt-4o, args: --edit-format whole";
    let change = Turn::write("greet.sh", "#!/bin/sh\necho \"hello, ${1:-world}\"\n");
    // An answer that names a file of which it had not seen the text is asked for again, with the text.
    let turns = vec![change.clone(), change];
    makes_a_pull_request(with, "OPENAI_API_KEY", ("OPENAI_BASE_URL", "/v1"), turns).await;
}
