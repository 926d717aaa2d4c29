//! The server with its secrets in Vault.

use crate::harness::small_vault::{Fault, SmallVault};
use crate::harness::vault::RealVault;
use crate::harness::{Options, SHOP, Workflow, World, program};
use cloud_code_forge::{Forge, ForgeConfig};
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

const KEY: &str = "the-key-that-lies-in-vault-4711";

/// A command of the program, with Vault in its environment.
fn command(home: &Path, env: &[(&str, &str)], arguments: &[&str], input: &str) -> Output {
    let mut command = program(home);
    command.args(arguments).env("DATA_DIR", home.join("data")).envs(env.iter().copied());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Who takes no input closes it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_vault_reaches_the_step_that_names_it() {
    let Some(vault) = RealVault::start() else { return };
    let (role_id, secret_id) = vault.approle();
    let place = [
        ("SECRETS_URL", "vault:secret/cloud-code?kv=1"),
        ("VAULT_URL", vault.url.as_str()),
        ("VAULT_ROLE_ID", &role_id),
        ("VAULT_SECRET_ID", &secret_id),
    ];
    let home = tempfile::tempdir().unwrap();
    let set = command(home.path(), &place, &["secrets", "set", SHOP, "THE_KEY"], KEY);
    assert!(set.status.success(), "{}", text(&set));
    let stored = vault.get("secret/cloud-code/repo/acme/shop/THE_KEY");
    assert_eq!(stored["data"]["value"], KEY, "{stored}");
    let listed = command(home.path(), &place, &["secrets", "list", SHOP], "");
    assert_eq!(text(&listed), "THE_KEY\n");

    let step = "      - name: Agent\n        uses: agent\n        env: { THE_KEY: \"${{ secrets.THE_KEY }}\" }\n        with:\n          \
                cli: script\n          command: |\n            printf %s \"$THE_KEY\" | wc -c > length.txt\n            \
                echo \"key=$THE_KEY vault=${VAULT_SECRET_ID:-none}\"";
    let mut options = Options::default().workflow(&Workflow::new().step(step).text());
    for (name, value) in place {
        options = options.env(name, value);
    }
    let mut world = World::start(options).await;
    world.keep_secret(KEY);
    world.keep_secret(&secret_id);
    world.keep_secret(vault.root());
    let number = world.ask("Use the key", "");
    world.expect_comment(number, &["✅ **Done.**"]).await;
    world.expect_pull(number).await;
    let length = world.file(&format!("cloud-code/issue-{number}"), "length.txt").unwrap();
    assert_eq!(length.trim(), KEY.len().to_string(), "the secret reached the step");
    let run = world.expect_conclusion(number, "success").await;
    let log = world.http("GET", &format!("/api/v1/runs/{}/logs", run.id)).await.body;
    assert!(log.contains("key=*** vault=none"), "{log}");

    world.finish().await;

    let deleted = command(home.path(), &place, &["secrets", "delete", SHOP, "THE_KEY"], "");
    assert!(deleted.status.success(), "{}", text(&deleted));
    let again = command(home.path(), &place, &["secrets", "delete", SHOP, "THE_KEY"], "");
    assert!(text(&again).contains("acme/shop has no secret THE_KEY"), "{}", text(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_a_sealed_vault() {
    let vault = SmallVault::start(2, "secret").await;
    let path = "cloud-code/repo/acme/shop/THE_KEY";
    vault.state().entries.insert(path.to_owned(), vec![Some(serde_json::json!({ "value": KEY }))]);
    let step = "      - name: Agent\n        uses: agent\n        env: { THE_KEY: \"${{ secrets.THE_KEY }}\" }\n        with:\n          \
                cli: script\n          command: echo \"key=$THE_KEY\"; echo x > x.txt";
    let options =
        Options::default().workflow(&Workflow::new().step(step).text()).env("SECRETS_URL", "vault:");
    let options = options.env("VAULT_ADDR", &vault.url).env("VAULT_TOKEN", "root-token");
    let mut world = World::start(options).await;
    world.keep_secret(KEY);
    world.keep_secret("root-token");
    assert_eq!(world.http("GET", "/readyz").await.status, 200);

    let body = "{\"errors\":[\"Vault is sealed\"]}";
    vault.state().always = Some(Fault { status: 503, body, location: None });
    let ready = world.http("GET", "/readyz").await;
    assert!(ready.status == 503 && ready.body.contains("vault operator unseal"), "{}", ready.body);
    let number = world.ask("Use the key", "");
    vault.wait_for(&format!("GET secret/data/{path}")).await;
    vault.state().always = None;
    world.expect_comment(number, &["✅ **Done.**"]).await;
    world.expect_pull(number).await;
    let run = world.expect_conclusion(number, "success").await;
    let log = world.http("GET", &format!("/api/v1/runs/{}/logs", run.id)).await.body;
    assert!(log.contains("key=***"), "{log}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_looks_at_vault() {
    let Some(vault) = RealVault::start() else { return };
    let forge = Forge::start(ForgeConfig::default()).await.unwrap();
    let (url, api, key) = (forge.url(), forge.api_url(), forge.app_private_key().unwrap());
    let home = tempfile::tempdir().unwrap();
    let check = |place: &str, token: &str, wanted: &str| {
        let env = [
            ("GITHUB_WEBHOOK_SECRET", "a secret of good length"),
            ("GITHUB_APP_ID", "1"),
            ("GITHUB_APP_NAME", "app"),
            ("GITHUB_PRIVATE_KEY", key.as_str()),
            ("GITHUB_URL", &url),
            ("GITHUB_API_URL", &api),
            ("RUNNER", "process"),
            ("SECRETS_URL", place),
            ("VAULT_URL", &vault.url),
            ("VAULT_TOKEN", token),
        ];
        let said = text(&command(home.path(), &env, &["doctor"], ""));
        assert!(said.contains(wanted), "{wanted:?} is not in {said}");
        assert!(!said.contains(token), "{said}");
    };
    let found = format!("ok    secrets: Vault at {}, KV version 1 at secret, path cloud-code", vault.url);
    check("vault:?kv=1", vault.root(), &found);
    check("vault:kv?kv=1", vault.root(), "WRONG secrets: the secret store is unavailable: Vault at");
    check("vault:", vault.root(), "add ?kv=1 or ?kv=2 to SECRETS_URL");
    check("vault:?kv=1", "no-token-of-this-vault", "VAULT_TOKEN is not valid, or no more; set a new one");
}
