//! `bench`: each part's own bench, in the release profile.

use std::process::ExitCode;

use crate::failure::Outcome;
use crate::{command, house, say};

/// Runs the programs that measure `name`, one after the other.
pub(crate) fn run(name: &str, options: &[&str]) -> Outcome<ExitCode> {
    let Some(programs) = programs(name) else {
        say(format_args!("Usage: cargo xtask bench agent|manifest|tftp [ARGUMENTS]"));
        return Ok(ExitCode::FAILURE);
    };
    for program in programs {
        let mut cargo = house::cargo(&["run", "--release", "--locked", "--quiet"]);
        cargo.args(*program).arg("--").args(options);
        command::succeed(&mut cargo)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How cargo names the programs of a bench.
fn programs(name: &str) -> Option<&'static [&'static [&'static str]]> {
    Some(match name {
        "agent" => &[
            &["-p", "bbot-btrfs", "--example", "bench"],
            &["-p", "bbot-tests", "--bin", "bbot-bench"],
        ],
        "manifest" => &[&["-p", "bbot-manifest", "--example", "bench"]],
        "tftp" => &[&["-p", "bbot-tftp", "--example", "bench"]],
        _ => return None,
    })
}
