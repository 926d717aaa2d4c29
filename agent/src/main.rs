//! The program that runs inside the job's container.

fn main() -> std::process::ExitCode {
    cloud_code_agent::main()
}
