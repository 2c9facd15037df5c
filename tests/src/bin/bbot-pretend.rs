//! A simulated hypervisor, for the agent's `--hypervisor`.

use std::process::ExitCode;

use bbot_tests::harness::hypervisor;
use bbot_tests::harness::programs::exit_code;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    exit_code("bbot-pretend", hypervisor::run(&arguments))
}
