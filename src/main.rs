//! The command line of Cloud Code.

use std::process::ExitCode;

fn main() -> ExitCode {
    cloud_code::entry::cli::main()
}
