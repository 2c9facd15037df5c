//! How long a look at all machines takes, by their number, and if others have half of them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{Figure, LIMIT, median, millis};
use crate::agent::Agent;
use crate::farm::{Farm, MachineSpec};
use crate::pretend::WELL;
use crate::scene::{MACHINE, Scene, TOOLCHAIN};

/// Machines on the volume, one measurement after the other.
const STEPS: [u32; 4] = [250, 500, 1000, 2000];
/// Where half of the machines are locked too, and the original's way is tried.
const USUAL: u32 = 1000;
/// Enumerations, each by an agent of its own.
const ROUNDS: usize = 10;

pub(super) fn measure() -> Result<Vec<Figure>> {
    let scene = Scene::new(WELL, &[])?;
    // The machine of the scene is not one of them.
    scene.farm.remove_machine(MACHINE)?;
    let mut figures = Vec::new();
    let mut each = Vec::new();
    let mut count = 0;
    for step in STEPS {
        add_machines(&scene.farm, count + 1, step)?;
        count = step;
        let time = enumerate(&scene, count)?;
        each.push(time / f64::from(count));
        let name = format!("enumerate-{count}");
        let figure = Figure::millis(name, format!("enumerate {count} machines"), time);
        figures.push(if count == USUAL { figure.at_most(100.0) } else { figure });
        if count == USUAL {
            figures.extend(measure_more(&scene, time)?);
        }
    }
    let ratio = each[STEPS.len() - 1] / each[0];
    let [least, .., most] = STEPS;
    let what = format!("a machine of {most}, compared with one of {least}");
    figures.push(Figure { unit: "x", ..Figure::new("enumerate-linearity", what, ratio) });
    Ok(figures)
}

/// Half of the machines locked; and the original's way.
fn measure_more(scene: &Scene, plain: f64) -> Result<Vec<Figure>> {
    let locks = lock_half(&scene.farm)?;
    let locked = locks.len();
    let time = enumerate(scene, USUAL)?;
    drop(locks);
    let seed = snapshot_each(&scene.farm)?;
    let what = format!("enumerate {USUAL}, {locked} locked by others");
    let ratio = Figure::new("original-ratio", "the original's way: how many times", seed / plain);
    Ok(vec![
        Figure::millis(format!("enumerate-{USUAL}-locked-{locked}"), what, time).at_most(100.0),
        Figure::millis("snapshot-each", "the original's way: snapshot, delete each", seed),
        Figure { unit: "x", ..ratio },
    ])
}

fn name(number: u32) -> String {
    format!("linux_{number:04}-gcc")
}

/// Adds bootstrapped machines. The subvolumes are made by one shell: a process into the farm for
/// each would take minutes.
fn add_machines(farm: &Farm, first: u32, last: u32) -> Result<()> {
    let script = "for number in $(seq -f %04.0f \"$2\" \"$3\"); do \
        name=linux_$number-gcc; mkdir $name; cd $name; \
        btrfs -q subvolume create $name-1.1 && ln -s $name-1.1 $name-1 && \
        btrfs -q subvolume create $name-$4 || exit 1; cd ..; done";
    run(farm, script, &[&first.to_string(), &last.to_string(), TOOLCHAIN])?;
    let numbers = first..=last;
    farm.inside().run(|| {
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
fn enumerate(scene: &Scene, count: u32) -> Result<f64> {
    let spec = scene.idle_agent(&["--dump-machines"]);
    let mut durations = Vec::new();
    for _ in 0..ROUNDS {
        let mut agent = Agent::start(&scene.farm, &spec)?;
        let status = agent.wait(LIMIT)?;
        ensure!(status.success(), "the agent ended with {status}: {:?}", agent.lines());
        let phase = agent.phases().into_iter().find(|phase| phase.name == "enumerate");
        let phase = phase.context("the agent has not said how long enumeration took")?;
        ensure!(phase.key("machines") == count.to_string(), "not all machines: {phase:?}");
        durations.push(phase.millis);
    }
    Ok(median(durations))
}

/// Locks every second of the usual number of machines, as other instances do that build.
fn lock_half(farm: &Farm) -> Result<Vec<File>> {
    farm.inside().run(|| {
        (1..=USUAL)
            .step_by(2)
            .map(|number| {
                let machine = name(number);
                let path =
                    farm.machine_folder(&machine).join(format!("{machine}-{TOOLCHAIN}.lock"));
                let file = File::create(path)?;
                file.lock()?;
                file.write_all_at(format!("{} 100", std::process::id()).as_bytes(), 0)?;
                Ok(file)
            })
            .collect()
    })?
}

/// Does to each machine what the original does in each round.
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
    let mut shell = farm.inside().command("sh");
    shell.args(["-ec", &format!("cd \"$1\"; {script}"), "sh"]).arg(farm.volume());
    let output = farm.inside().output(shell.args(arguments))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
