//! `bench`: the benches of the crates, in the release profile.

use std::process::ExitCode;

use anyhow::Result;

use crate::{command, message, setup, workspace};

/// Runs the programs that measure `name`, one after the other.
pub(crate) fn run(name: &str, options: &[&str]) -> Result<ExitCode> {
    let Some(programs) = programs(name) else {
        message::print(format_args!("Usage: cargo xtask bench agent|manifest|tftp [ARGUMENTS]"));
        return Ok(ExitCode::FAILURE);
    };
    setup::ensure()?;
    if name == "tftp" {
        install_peer()?;
    }
    for program in programs {
        if !program.starts.is_empty() {
            let mut build = workspace::cargo(&["build", "--release", "--locked", "--quiet"]);
            command::succeed(build.args(program.starts))?;
        }
        let mut cargo = workspace::cargo(&["run", "--release", "--locked", "--quiet"]);
        cargo.args(program.target).arg("--").args(suffixed(options, program.suffix));
        command::succeed(&mut cargo)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Installs the Rust server that bbot-tftp is compared with into the target folder.
fn install_peer() -> Result<()> {
    let peers = workspace::target()?.join("peers");
    if peers.join("bin/tftpd").is_file() {
        return Ok(());
    }
    let mut install = workspace::cargo(&["install", "--quiet", "--locked", "tftpd", "--root"]);
    command::succeed(install.arg(&peers).arg("--target-dir").arg(peers.join("build")))
}

/// A program that measures.
struct Program {
    /// How cargo names it.
    target: &'static [&'static str],
    /// What is added to the name of its `--json` file, so that each has its own.
    suffix: &'static str,
    /// How cargo names the programs that it starts, which must be built before.
    starts: &'static [&'static str],
}

/// The programs of a bench.
fn programs(name: &str) -> Option<&'static [Program]> {
    const fn example(target: &'static [&'static str], suffix: &'static str) -> Program {
        Program { target, suffix, starts: &[] }
    }
    const BTRFS: Program = example(&["-p", "bbot-btrfs", "--example", "bench"], ".btrfs");
    const AGENT: Program = Program {
        target: &["-p", "bbot-tests", "--bin", "bbot-bench"],
        suffix: "",
        starts: &["-p", "bbot-agent", "-p", "bbot-tests"],
    };
    const MANIFEST: Program = example(&["-p", "bbot-manifest", "--example", "bench"], "");
    const TFTP: Program = Program {
        target: &["-p", "bbot-tftp", "--example", "bench"],
        suffix: "",
        starts: &["-p", "bbot-tftp", "--examples"],
    };
    Some(match name {
        "agent" => const { &[BTRFS, AGENT] },
        "manifest" => const { &[MANIFEST] },
        "tftp" => const { &[TFTP] },
        _ => return None,
    })
}

/// The options, `suffix` added to the value of `--json`.
fn suffixed(options: &[&str], suffix: &str) -> Vec<String> {
    let is_file = |index: usize| index > 0 && options[index - 1] == "--json";
    let option = |(index, option): (usize, &&str)| {
        if is_file(index) { format!("{option}{suffix}") } else { (*option).to_owned() }
    };
    options.iter().enumerate().map(option).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_writes_its_own_file() {
        let options = ["--rounds", "3", "--json", "out"];
        assert_eq!(suffixed(&options, ".btrfs"), ["--rounds", "3", "--json", "out.btrfs"]);
        assert_eq!(suffixed(&options, ""), options);
    }
}
