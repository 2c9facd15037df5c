//! How long an enumeration takes, by the number of machines, and with half of them locked.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::figure::Figure;
use super::statistics::{median, millis};
use crate::harness::agent::Agent;
use crate::harness::farm::{Farm, MachineSpec};
use crate::harness::hypervisor::SUCCESSFUL;
use crate::harness::limits::LIMIT;
use crate::harness::testbed::{MACHINE, TOOLCHAIN, Testbed};

/// The numbers of machines on the volume, one measurement after the other.
const STEPS: [u32; 4] = [250, 500, 1000, 2000];
/// The number of machines for the measurements with locks, and of the original agent's method.
const USUAL: u32 = 1000;
/// The number of enumerations, each by its own agent.
const ROUNDS: usize = 10;

pub(super) fn measure() -> Result<Vec<Figure>> {
    let testbed = Testbed::new(SUCCESSFUL, &[])?;
    // The testbed's own machine is not one of them.
    testbed.farm.remove_machine(MACHINE)?;
    let mut figures = Vec::new();
    let mut each = Vec::new();
    let mut count = 0;
    for step in STEPS {
        add_machines(&testbed.farm, count + 1, step)?;
        count = step;
        let time = enumerate(&testbed, count)?;
        each.push(time / f64::from(count));
        let name = format!("enumerate-{count}");
        let figure = Figure::millis(name, format!("enumerate {count} machines"), time);
        figures.push(if count == USUAL { figure.at_most(100.0) } else { figure });
        if count == USUAL {
            figures.extend(measure_more(&testbed, time)?);
        }
    }
    let ratio = each[STEPS.len() - 1] / each[0];
    let [least, .., most] = STEPS;
    let what = format!("a machine of {most}, compared with one of {least}");
    figures.push(Figure { unit: "x", ..Figure::new("enumerate-linearity", what, ratio) });
    Ok(figures)
}

/// With half of the machines locked; and by the original agent's method.
fn measure_more(testbed: &Testbed, plain: f64) -> Result<Vec<Figure>> {
    let locks = lock_half(testbed)?;
    let locked = locks.len();
    let time = enumerate(testbed, USUAL)?;
    drop(locks);
    let seed = snapshot_each(&testbed.farm)?;
    let what = format!("enumerate {USUAL}, {locked} locked by others");
    let ratio = Figure::new("original-ratio", "original agent's method: factor", seed / plain);
    Ok(vec![
        Figure::millis(format!("enumerate-{USUAL}-locked-{locked}"), what, time).at_most(100.0),
        Figure::millis("snapshot-each", "original agent's method: snapshot and delete each", seed),
        Figure { unit: "x", ..ratio },
    ])
}

fn name(number: u32) -> String {
    format!("linux_{number:04}-gcc")
}

/// Adds bootstrapped machines. One shell makes all subvolumes: one process for each would take
/// minutes.
fn add_machines(farm: &Farm, first: u32, last: u32) -> Result<()> {
    let script = "for number in $(seq -f %04.0f \"$2\" \"$3\"); do \
        name=linux_$number-gcc; mkdir $name; cd $name; \
        btrfs -q subvolume create $name-1.1 && ln -s $name-1.1 $name-1 && \
        btrfs -q subvolume create $name-$4 || exit 1; cd ..; done";
    run(farm, script, &[&first.to_string(), &last.to_string(), TOOLCHAIN])?;
    let numbers = first..=last;
    farm.namespaces().run(|| {
        numbers.into_iter().try_for_each(|number| {
            let machine = MachineSpec::small(&name(number), "");
            let folder = farm.machine_folder(&machine.name);
            let manifest = folder.join(format!("{}-1.1/manifest", machine.name));
            std::fs::write(manifest, &machine.manifest)?;
            let bootstrapped = folder.join(format!("{}-{TOOLCHAIN}/manifest", machine.name));
            std::fs::write(bootstrapped, machine.bootstrapped_manifest())
        })
    })??;
    Ok(())
}

/// The median of several enumerations of `count` machines, in milliseconds.
fn enumerate(testbed: &Testbed, count: u32) -> Result<f64> {
    let spec = testbed.idle_agent(&["--dump-machines"]);
    let mut durations = Vec::new();
    for _ in 0..ROUNDS {
        let mut agent = Agent::start(&testbed.farm, &spec)?;
        let status = agent.wait(LIMIT)?;
        ensure!(status.success(), "the agent ended with {status}: {:?}", agent.lines());
        let phase = agent.phases().into_iter().find(|phase| phase.name == "enumerate");
        let phase = phase.context("there is no phase enumerate")?;
        ensure!(phase.key("machines") == count.to_string(), "not all machines: {phase:?}");
        durations.push(phase.millis);
    }
    Ok(median(durations))
}

/// Locks every second machine, as other instances do that build on them.
fn lock_half(testbed: &Testbed) -> Result<Vec<File>> {
    testbed.farm.namespaces().run(|| {
        (1..=USUAL)
            .step_by(2)
            .map(|number| {
                let machine = name(number);
                let path = testbed.lock_file(&machine);
                let file = File::create(path)?;
                file.lock()?;
                file.write_all_at(format!("{} 100", std::process::id()).as_bytes(), 0)?;
                Ok(file)
            })
            .collect()
    })?
}

/// Does with each machine what the original agent does in each round.
fn snapshot_each(farm: &Farm) -> Result<f64> {
    let script = "for source in */*-1.1; do \
        btrfs -q subvolume snapshot \"$source\" \"$source-x\" && \
        btrfs -q subvolume delete \"$source-x\" || exit 1; done";
    let start = Instant::now();
    run(farm, script, &[])?;
    Ok(millis(start.elapsed()))
}

/// Runs a script in the volume; the arguments begin with `$2`.
fn run(farm: &Farm, script: &str, arguments: &[&str]) -> Result<()> {
    let mut shell = farm.namespaces().command("sh");
    shell.args(["-ec", &format!("cd \"$1\"; {script}"), "sh"]).arg(farm.volume());
    let output = farm.namespaces().output(shell.args(arguments))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
