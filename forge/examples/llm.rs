//! Serves a script of LLM turns, for trying a coding CLI by hand:
//! `cargo run -p cloud-code-forge --example llm -- SCRIPT.json [127.0.0.1:8700]`. The file is a list of turns, or a list
//! of `{when, turns}`.
#![expect(clippy::print_stderr, reason = "a program for the terminal")]

use cloud_code_forge::llm::{LlmServer, Script, Turn};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("which script? give the path of a JSON file")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8700".into()).parse()?;
    let text = std::fs::read_to_string(&file)?;
    let scripts = match serde_json::from_str::<Vec<Script>>(&text) {
        Ok(scripts) => scripts,
        Err(_) => vec![Script { when: None, turns: serde_json::from_str::<Vec<Turn>>(&text)? }],
    };
    let server = LlmServer::bind(address, scripts).await?;
    eprintln!("ANTHROPIC_BASE_URL={}", server.url());
    let mut told = 0;
    loop {
        let grown = |requests: &[cloud_code_forge::llm::LlmRequest]| {
            (requests.len() > told).then(|| requests.to_vec())
        };
        let Ok(requests) = server.wait_for(grown, std::time::Duration::from_secs(3_600)).await else {
            continue;
        };
        for request in &requests[told..] {
            eprintln!(
                "{} {} {} main={} turn={:?} -> {}",
                request.method, request.path, request.model, request.main, request.turn, request.status
            );
        }
        told = requests.len();
    }
}
