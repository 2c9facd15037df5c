//! A simulated hypervisor, for the agent's `--hypervisor`.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    bbot_tests::harness::hypervisor::run(&arguments).unwrap_or_else(|error| {
        // Nothing is left to do if even the message cannot be written.
        drop(writeln!(std::io::stderr(), "bbot-pretend: {error:#}"));
        ExitCode::FAILURE
    })
}
