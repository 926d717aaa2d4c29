//! The program that runs inside the job's container; as `cloud-code-agent proxy`, the container's way out.

fn main() -> std::process::ExitCode {
    match std::env::args_os().nth(1) {
        Some(mode) if mode == "proxy" => cloud_code_agent::proxy::main(),
        _ => cloud_code_agent::main(),
    }
}
