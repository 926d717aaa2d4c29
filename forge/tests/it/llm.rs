use std::time::Duration;

use cloud_code_forge::llm::{LlmServer, Turn, Usage};
use serde_json::{Value, json};

type Answer = (u16, Vec<(String, String)>, String);

fn ask(server: &LlmServer, body: &Value) -> Result<Answer, ureq::Error> {
    let agent =
        ureq::Agent::config_builder().http_status_as_error(false).max_idle_connections(0).build().new_agent();
    let request = ureq::http::Request::post(format!("{}/v1/messages?beta=true", server.url()))
        .header("x-api-key", "sk-test")
        .body(body.to_string())
        .unwrap();
    tokio::task::block_in_place(|| {
        let mut response = agent.run(request)?;
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let text = response.body_mut().read_to_string()?;
        Ok((response.status().as_u16(), headers, text))
    })
}

fn conversation(prompt: &str, spoken: usize, stream: bool) -> Value {
    let mut messages = vec![json!({ "role": "user", "content": [{ "type": "text", "text": prompt }] })];
    for _ in 0..spoken {
        messages.push(json!({ "role": "assistant", "content": "…" }));
        messages.push(json!({ "role": "user", "content": "…" }));
    }
    json!({ "model": "m", "stream": stream, "tools": [{ "name": "Bash" }], "messages": messages })
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_faults_and_costs() {
    let cost = Usage { input_tokens: 7, output_tokens: 3, ..Usage::default() };
    let server = LlmServer::start(vec![
        Turn::RateLimited { retry_after: 2 },
        Turn::bash("ls").costing(cost),
        Turn::DropStream,
        Turn::Overloaded,
        Turn::text("All done, with a text that takes more than one piece to say."),
    ]);
    let server = server.await.unwrap();
    let (status, headers, _) = ask(&server, &conversation("p", 0, true)).unwrap();
    assert_eq!(status, 429);
    assert!(headers.contains(&("retry-after".into(), "2".into())));
    let (_, _, text) = ask(&server, &conversation("p", 0, false)).unwrap();
    let message: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&message["content"][0]["name"], &message["stop_reason"]),
        (&json!("Bash"), &json!("tool_use"))
    );
    assert_eq!(
        (&message["usage"]["input_tokens"], &message["usage"]["output_tokens"]),
        (&json!(7), &json!(3))
    );
    assert!(ask(&server, &conversation("p", 1, true)).is_err(), "the stream is to break off");
    assert_eq!(ask(&server, &conversation("p", 1, true)).unwrap().0, 529);
    let (_, _, text) = ask(&server, &conversation("p", 1, true)).unwrap();
    let said: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str::<Value>(data).unwrap())
        .filter_map(|event| event["delta"]["text"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(said, "All done, with a text that takes more than one piece to say.");
    // Another conversation starts from the beginning.
    assert_eq!(ask(&server, &conversation("q", 0, true)).unwrap().0, 429);
    let side = json!({ "model": "haiku", "messages": [{ "role": "user", "content": "a title, please" }] });
    assert_eq!(ask(&server, &side).unwrap().0, 200);
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.key.as_deref() == Some("sk-test")));
    let turns: Vec<_> = requests.iter().map(|request| (request.main, request.turn, request.status)).collect();
    let main = |turn, status| (true, Some(turn), status);
    assert_eq!(
        turns,
        [
            main(0, 429),
            main(1, 200),
            main(2, 200),
            main(3, 529),
            main(4, 200),
            main(0, 429),
            (false, None, 200)
        ]
    );
}

/// The real program, where CLOUD_CODE_CLAUDE names it: `npm install @anthropic-ai/claude-code`.
#[tokio::test(flavor = "multi_thread")]
async fn the_real_claude_does_what_the_script_says() {
    let Some(claude) = std::env::var_os("CLOUD_CODE_CLAUDE") else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "CLOUD_CODE_CLAUDE must name the claude program in CI"
        );
        crate::skipped("CLOUD_CODE_CLAUDE does not name a claude program");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fixed.txt");
    let server = LlmServer::start(vec![
        Turn::Overloaded,
        Turn::write(&file.display().to_string(), "mended\n"),
        Turn::text("I mended it."),
    ]);
    let server = server.await.unwrap();
    let mut command = std::process::Command::new(claude);
    command
        .args(["-p", "--output-format", "stream-json", "--verbose", "--permission-mode", "bypassPermissions"])
        .args(["--model", "sonnet", "--max-turns", "5", "Mend the thing"])
        .current_dir(dir.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", dir.path())
        .env("ANTHROPIC_BASE_URL", server.url())
        .env("ANTHROPIC_API_KEY", "sk-test")
        .env("IS_SANDBOX", "1")
        .env("DISABLE_TELEMETRY", "1")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .stdin(std::process::Stdio::null());
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = tokio::time::timeout(Duration::from_secs(120), run).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let result = lines.rfind(|line| line["type"] == "result");
    let result = result.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!((&result["subtype"], &result["is_error"]), (&json!("success"), &json!(false)), "{result}");
    assert_eq!(result["result"], "I mended it.");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "mended\n");
    let main: Vec<_> = server.requests().into_iter().filter(|request| request.main).collect();
    assert!(main.iter().all(|request| request.prompt.contains("Mend the thing")), "{:?}", main[0].prompt);
    assert_eq!(main.iter().map(|request| request.turn).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
}
