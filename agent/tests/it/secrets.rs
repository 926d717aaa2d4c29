//! Who gets a secret, and where it never turns up.

use cloud_code_model::task::Conclusion;

use crate::harness::Lab;

const SECRET: &str = "swordfish-4711";

fn lab() -> Lab {
    Lab::new()
        .env("CLOUD_CODE_SECRETS", "TOKEN,ANTHROPIC_API_KEY")
        .env("TOKEN", SECRET)
        .env("ANTHROPIC_API_KEY", "key-0815-x")
}

#[test]
fn a_secret_is_masked_wherever_it_is_said() {
    let lab = lab();
    let left = lab.run(
        r##"
- id: leak
  env: { MINE: "${{ secrets.TOKEN }}" }
  run: |
    echo "plain $MINE"
    printf 'split sword'; printf 'fish-4711 end\n'
    printf '%s' "$MINE" | base64
    echo "$MINE" >&2
    echo "found=$MINE" >> "$GITHUB_OUTPUT"
    echo "# $MINE" >> "$GITHUB_STEP_SUMMARY"
    echo "::add-mask::sesame"
    echo "open sesame"
    echo "key is sesame" >> "$GITHUB_STEP_SUMMARY"
- uses: agent
  with:
    cli: script
    prompt: p
    secrets: TOKEN
    command: |
      echo "{\"type\":\"message\",\"text\":\"the token is $TOKEN\"}"
      echo "{\"type\":\"session\",\"id\":\"$TOKEN\"}"
      echo "$TOKEN" >&2
      echo "bye $TOKEN"
      exit 1
"##,
        "",
    );
    left.expect(Conclusion::Failure);
    assert!(left.log.contains("plain ***\n") && left.log.contains("split *** end\n"), "{}", left.log);
    assert!(left.log.contains("open ***\n"), "{}", left.log);
    assert!(lab.transcript().contains("the token is ***"));
    assert_eq!(left.step(0).outputs["found"], "***");
    let told = &left.step(0).annotations[0].message;
    assert!(told.contains("the output `found` holds a secret"), "{told}");
    assert_eq!(left.step(0).summary.as_deref(), Some("# ***\nkey is ***"));
    assert_eq!(left.step(1).summary.as_deref(), Some("bye ***"));
    let everything = [
        left.log.clone(),
        lab.transcript(),
        left.report.to_yaml().unwrap(),
        String::from_utf8_lossy(&left.output.stdout).into_owned(),
        String::from_utf8_lossy(&left.output.stderr).into_owned(),
    ]
    .concat();
    for needle in [SECRET, "c3dvcmRmaXNoLTQ3MTE", "sesame"] {
        assert!(!everything.contains(needle), "{needle} in {everything}");
    }
}

#[test]
fn a_secret_goes_only_to_the_step_that_names_it() {
    let lab = lab();
    lab.program("claude", "#!/bin/sh\nenv > claude.env\nexit 1\n");
    let left = lab.run(
        r##"
- run: env > run.env
- { uses: agent, with: { cli: script, prompt: p, command: "env > script.env" } }
- { uses: agent, with: { cli: script, prompt: p, command: "env > named.env", secrets: [TOKEN] } }
- { uses: agent, env: { TOKEN: mine }, with: { cli: script, prompt: p, command: "env > own.env", secrets: [TOKEN] } }
- { uses: agent, with: { cli: claude-code, prompt: p } }
"##,
        "",
    );
    left.expect(Conclusion::Failure);
    let check = |file: &str, token: Option<&str>, key: bool| {
        let text = std::fs::read_to_string(lab.root().join(file)).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix("TOKEN="));
        assert_eq!(value, token, "{file}");
        assert_eq!(text.contains("key-0815-x"), key, "{file}");
        assert!(!text.contains("CLOUD_CODE_SECRETS"), "{file}");
    };
    check("run.env", None, false);
    check("script.env", None, false);
    check("named.env", Some(SECRET), false);
    check("own.env", Some("mine"), false);
    check("claude.env", None, true);
}
