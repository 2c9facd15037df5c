//! `bbot-agent`: the daemon of one instance.

use std::process::ExitCode;

fn main() -> ExitCode {
    bbot_agent::run()
}
