//! The smoke tests, each after the ones that it needs.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use bbot_manifest::ResultStatus;
use rustix::process::Signal;

use super::environment::{Environment, LIMIT};
use crate::demo::real_machine::MACHINE;
use crate::harness::agent::Agent;
use crate::harness::controller::{Controller, Verdict};
use crate::harness::farm::MachineSpec;
use crate::harness::operator::Operator;
use crate::harness::testbed::TOOLCHAIN;
use crate::harness::watch::wait_for_status;

/// The machine of the second instance.
const OTHER: &str = "linux_debian_12-tcc_0.9-other";

type Case = fn(&mut Environment) -> Result<()>;

pub(super) const ALL: [(&str, Case); 7] = [
    ("boot", boot),
    ("bootstrap", bootstrap),
    ("build", build),
    ("hold", hold),
    ("interrupt", interrupt),
    ("power-down", power_down),
    ("two-instances", two_instances),
];

/// The guest boots and makes its first request.
fn boot(environment: &mut Environment) -> Result<()> {
    let controller = environment.controller(&[])?;
    let agent = environment.agent(1, &[], &controller)?;
    agent.wait_for_phase(LIMIT, "first-request", 1)?;
    environment.first = Some(agent);
    Ok(())
}

/// It installs the toolchain, and powers down when the power button is pressed.
fn bootstrap(environment: &mut Environment) -> Result<()> {
    let mut agent = environment.first.take().context("no guest has booted")?;
    agent.wait_for_phase(LIMIT, "publish", 1)?;
    agent.end()
}

/// A task reaches it, and its result comes back.
fn build(environment: &mut Environment) -> Result<()> {
    let controller = environment.controller(&[("rehearse-quick", MACHINE)])?;
    let mut agent = environment.agent(1, &[], &controller)?;
    expect_result(&controller, 1, ResultStatus::Success)?;
    agent.end()
}

/// It is held after an abnormal result, while the result is posted; an operator ends the hold.
fn hold(environment: &mut Environment) -> Result<()> {
    let controller = environment.controller(&[("rehearse-abnormal", MACHINE)])?;
    let mut agent = environment.agent(1, &[], &controller)?;
    expect_result(&controller, 1, ResultStatus::Abnormal)?;
    let folder = environment.farm.run().join(format!("bbot-agent/{TOOLCHAIN}-1"));
    wait_for_status(&folder, "holding", LIMIT)?;
    let status = std::fs::read(folder.join("status.json"))?;
    let status: serde_json::Value = serde_json::from_slice(&status)?;
    let monitor = status["holds"][0]["monitor"].as_str().context("no monitor is named")?;
    let mut operator = Operator::connect(&environment.farm, Path::new(monitor))?;
    let status = operator.run("info status")?;
    ensure!(status.contains("paused"), "the guest runs: {status}");
    operator.send("quit")?;
    wait_for_status(&folder, "idle", LIMIT)?;
    agent.end()
}

/// A signal of another instance ends it at once, and the task is interrupted.
fn interrupt(environment: &mut Environment) -> Result<()> {
    let controller = environment.controller(&[("rehearse-silent", MACHINE)])?;
    let mut agent = environment.agent(1, &[], &controller)?;
    agent.wait_for_phase(LIMIT, "first-request", 1)?;
    agent.process().signal(Signal::USR1)?;
    let (verdict, _) = controller.wait_for_verdict(1, LIMIT)?;
    ensure!(verdict == Verdict::PutBack, "the result is {verdict:?}");
    agent.end()
}

/// One that ignores the power button is killed, and is not bootstrapped.
fn power_down(environment: &mut Environment) -> Result<()> {
    let flag = environment.farm.tftp().join("toolchains").join(TOOLCHAIN).join("ignore-power");
    std::fs::write(&flag, "The machine ignores its power button.\n")?;
    let controller = environment.controller(&[])?;
    let options =
        ["--shutdown-timeout", "3", "--hold-timeout", "none", "--toolchain-id", "another"];
    let mut agent = environment.agent(1, &options, &controller)?;
    let is_timeout = |line: &String| line.contains("bootstrap shutdown timeout");
    agent.wait_for(LIMIT, |lines| lines.iter().any(is_timeout).then_some(()))?;
    agent.wait_for_phase(LIMIT, "network-down", 1)?;
    ensure!(agent.count_phases("publish") == 0, "it was bootstrapped");
    std::fs::remove_file(flag)?;
    agent.end()
}

/// Two guests at the same time on one bridge, each with its own task.
fn two_instances(environment: &mut Environment) -> Result<()> {
    add_other(environment)?;
    let controller =
        environment.controller(&[("rehearse-quick", MACHINE), ("rehearse-slow", OTHER)])?;
    let mut agents =
        [environment.agent(1, &[], &controller)?, environment.agent(2, &[], &controller)?];
    for agent in &agents {
        agent.wait_for_phase(LIMIT, "build", 1)?;
    }
    for count in [1, 2] {
        expect_result(&controller, count, ResultStatus::Success)?;
    }
    agents.iter_mut().try_for_each(Agent::end)
}

/// A second machine, bootstrapped as the first one is.
fn add_other(environment: &Environment) -> Result<()> {
    let farm = &environment.farm;
    farm.add_machine(&MachineSpec::small(OTHER, "never booted"))?;
    let path = |machine: &str| farm.machine_folder(machine).join(format!("{machine}-{TOOLCHAIN}"));
    let mut btrfs = farm.namespaces().command("btrfs");
    btrfs.args(["subvolume", "snapshot"]).arg(path(MACHINE)).arg(path(OTHER));
    let output = farm.namespaces().output(&mut btrfs)?;
    ensure!(output.status.success(), "btrfs: {}", String::from_utf8_lossy(&output.stderr));
    let manifest = path(OTHER).join("manifest");
    farm.namespaces().run(|| {
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

/// Waits for the `count`th result, which must have this status.
fn expect_result(controller: &Controller, count: usize, status: ResultStatus) -> Result<()> {
    let (verdict, _) = controller.wait_for_verdict(count, LIMIT)?;
    ensure!(verdict == Verdict::Stored(status), "the result is {verdict:?}");
    Ok(())
}
