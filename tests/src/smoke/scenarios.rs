//! The smoke tests themselves, in an order in which each finds what it needs.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use bbot_manifest::ResultStatus;
use rustix::process::Signal;

use super::{LIMIT, MACHINE, OTHER, Stage, end, expect_result, verdict};
use crate::agent::wait_for_status;
use crate::controller::Verdict;
use crate::farm::MachineSpec;
use crate::operator::Operator;
use crate::scene::TOOLCHAIN;

type Scenario = fn(&mut Stage) -> Result<()>;

pub(super) const ALL: [(&str, Scenario); 7] = [
    ("boot", boot),
    ("bootstrap", bootstrap),
    ("build", build),
    ("hold", hold),
    ("interrupt", interrupt),
    ("power-down", power_down),
    ("two-instances", two_instances),
];

/// The guest boots and asks for something.
fn boot(stage: &mut Stage) -> Result<()> {
    let controller = stage.controller(&[])?;
    let agent = stage.agent(1, &[], &controller)?;
    agent.wait_for_phase(LIMIT, "first-request", 1)?;
    stage.first = Some(agent);
    Ok(())
}

/// It installs the toolchain, and heeds the power button.
fn bootstrap(stage: &mut Stage) -> Result<()> {
    let agent = stage.first.take().context("nothing has booted")?;
    agent.wait_for_phase(LIMIT, "publish", 1)?;
    end(agent)
}

/// A task reaches it, and its result comes back.
fn build(stage: &mut Stage) -> Result<()> {
    let controller = stage.controller(&[("rehearse-quick", MACHINE)])?;
    let agent = stage.agent(1, &[], &controller)?;
    expect_result(&controller, ResultStatus::Success)?;
    end(agent)
}

/// It is held when something was wrong, while the task is answered; an operator lets it go.
fn hold(stage: &mut Stage) -> Result<()> {
    let controller = stage.controller(&[("rehearse-abnormal", MACHINE)])?;
    let agent = stage.agent(1, &[], &controller)?;
    expect_result(&controller, ResultStatus::Abnormal)?;
    let folder = stage.farm.run().join(format!("bbot-agent/{TOOLCHAIN}-1"));
    wait_for_status(&folder, "holding", LIMIT)?;
    let status = std::fs::read(folder.join("status.json"))?;
    let status: serde_json::Value = serde_json::from_slice(&status)?;
    let monitor = status["holds"][0]["monitor"].as_str().context("no monitor is named")?;
    let mut operator = Operator::connect(&stage.farm, Path::new(monitor))?;
    let said = operator.ask("info status")?;
    ensure!(said.contains("paused"), "the guest runs: {said}");
    operator.tell("quit")?;
    wait_for_status(&folder, "idle", LIMIT)?;
    end(agent)
}

/// Another instance's wish ends it at once, and the task is put back.
fn interrupt(stage: &mut Stage) -> Result<()> {
    let controller = stage.controller(&[("rehearse-silent", MACHINE)])?;
    let agent = stage.agent(1, &[], &controller)?;
    agent.wait_for_phase(LIMIT, "first-request", 1)?;
    agent.process().signal(Signal::USR1)?;
    let verdict = verdict(&controller, 1)?;
    ensure!(verdict == Verdict::PutBack, "the result is {verdict:?}");
    end(agent)
}

/// One that does not heed the power button is forced down, and is not bootstrapped.
fn power_down(stage: &mut Stage) -> Result<()> {
    let deaf = stage.farm.tftp().join("toolchains").join(TOOLCHAIN).join("deaf");
    std::fs::write(&deaf, "The machine shall not heed its power button.\n")?;
    let controller = stage.controller(&[])?;
    let options =
        ["--shutdown-timeout", "3", "--hold-timeout", "none", "--toolchain-id", "another"];
    let agent = stage.agent(1, &options, &controller)?;
    let is_said = |line: &String| line.contains("bootstrap shutdown timeout");
    agent.wait_for(LIMIT, |lines| lines.iter().any(is_said).then_some(()))?;
    agent.wait_for_phase(LIMIT, "network-down", 1)?;
    ensure!(agent.phases().iter().all(|phase| phase.name != "publish"), "it was bootstrapped");
    std::fs::remove_file(deaf)?;
    end(agent)
}

/// Two guests at a time on one bridge, each with a task of its own.
fn two_instances(stage: &mut Stage) -> Result<()> {
    add_other(stage)?;
    let controller = stage.controller(&[("rehearse-quick", MACHINE), ("rehearse-slow", OTHER)])?;
    let agents = [stage.agent(1, &[], &controller)?, stage.agent(2, &[], &controller)?];
    for agent in &agents {
        agent.wait_for_phase(LIMIT, "build", 1)?;
    }
    for count in [1, 2] {
        let verdict = verdict(&controller, count)?;
        ensure!(verdict == Verdict::Stored(ResultStatus::Success), "the result is {verdict:?}");
    }
    agents.into_iter().try_for_each(end)
}

/// A second machine, bootstrapped as the first one is.
fn add_other(stage: &Stage) -> Result<()> {
    let farm = &stage.farm;
    farm.add_machine(&MachineSpec::small(OTHER, "never booted"))?;
    let path = |machine: &str| farm.machine_folder(machine).join(format!("{machine}-{TOOLCHAIN}"));
    let mut btrfs = farm.inside().command("btrfs");
    btrfs.args(["subvolume", "snapshot"]).arg(path(MACHINE)).arg(path(OTHER));
    let output = farm.inside().output(&mut btrfs)?;
    ensure!(output.status.success(), "btrfs: {}", String::from_utf8_lossy(&output.stderr));
    let manifest = path(OTHER).join("manifest");
    farm.inside().run(|| {
        let line = |line: &str| match line.split_once(": ") {
            Some(("id", _)) if !line.ends_with(": 1") => format!("id: {OTHER}-1.1"),
            Some(("name", _)) => format!("name: {OTHER}"),
            Some(("mac", _)) => "mac: 02:00:00:00:07:07".to_owned(),
            _ => line.to_owned(),
        };
        let text = std::fs::read_to_string(&manifest)?;
        let text: String = text.lines().map(|one| line(one) + "\n").collect();
        anyhow::Ok(std::fs::write(&manifest, text)?)
    })?
}
