//! What an instance costs that has nothing to do.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::{Figure, LIMIT};
use crate::agent::{Agent, wait_for_file, wait_for_status};
use crate::pretend::WELL;
use crate::scene::Scene;

/// How long a pause is watched: they last for 50 s at least.
const WATCHED: Duration = Duration::from_secs(45);
/// How long all is watched: a whole turn with its round, as pauses last for 60 s at most.
const TURN: Duration = Duration::from_secs(60);
/// Until a round that has just ended has quite ended.
const SETTLED: Duration = Duration::from_secs(1);

pub(super) fn measure() -> Result<Vec<Figure>> {
    let scene = Scene::new(WELL, &[])?;
    let agent = Agent::start(&scene.farm, &scene.agent(&["--fake-bootstrap"]))?;
    let status = scene.runtime_folder();
    wait_for_file(&status.join("status.json"), LIMIT)?;
    wait_for_status(&status, "idle", LIMIT)?;
    let idle = Idle { pid: agent.process().pid() };
    stays(&agent, SETTLED)?;
    let (start, cpu) = (Instant::now(), idle.cpu()?);
    let (resident, own) = (idle.kib("VmRSS:")?, idle.kib("RssAnon:")?);
    let threads = idle.threads()?.len();
    let (before, first) = (idle.wake_ups()?, rounds(&agent));
    stays(&agent, WATCHED)?;
    let in_a_pause = idle.wake_ups()? - before;
    stays(&agent, TURN.saturating_sub(start.elapsed()))?;
    wait_for_status(&status, "idle", LIMIT)?;
    let in_a_turn = idle.wake_ups()? - before;
    ensure!(rounds(&agent) == first + 1, "not one round: {:?}", agent.lines());
    let share = idle.cpu()?.saturating_sub(cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    let count = |name: &str, what: &str, value: u32| Figure::new(name, what, f64::from(value));
    let kib = |name: &str, what: &str, value| Figure { unit: "KiB", ..count(name, what, value) };
    Ok(vec![
        kib("idle-resident", "idle: resident", resident).at_most(15.0 * 1024.0),
        kib("idle-anonymous", "idle: of this not of files", own),
        count("idle-threads", "idle: threads", u32::try_from(threads)?),
        count("idle-wake-ups", "idle: wake-ups in 45 s of a pause", in_a_pause).at_most(0.0),
        count("idle-turn-wake-ups", "idle: wake-ups in 60 s, one round included", in_a_turn),
        Figure {
            unit: "%",
            ..Figure::new("idle-cpu", "idle: CPU, rounds included", share * 100.0)
        }
        .at_most(0.1),
    ])
}

/// How often it has looked at its machines.
fn rounds(agent: &Agent) -> usize {
    agent.phases().iter().filter(|phase| phase.name == "enumerate").count()
}

/// Waits for so long, in which the agent does not end.
fn stays(agent: &Agent, time: Duration) -> Result<()> {
    let ended = agent.process().wait(time)?;
    ensure!(ended.is_none(), "the agent has ended: {:?}", agent.lines());
    Ok(())
}

/// A process that has nothing to do.
struct Idle {
    pid: u32,
}

impl Idle {
    /// Time of its own, of all threads that are and were.
    fn cpu(&self) -> Result<Duration> {
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(self.pid)?))?;
        Ok(clock_gettime(clock)?.into())
    }

    /// The `status` files of its threads.
    fn threads(&self) -> Result<Vec<PathBuf>> {
        let folder = std::fs::read_dir(format!("/proc/{}/task", self.pid))?;
        folder.map(|entry| Ok(entry?.path().join("status"))).collect()
    }

    /// How often its threads have gone to sleep, each time after they had been woken.
    fn wake_ups(&self) -> Result<u32> {
        let own = |path: &PathBuf| number(path, "voluntary_ctxt_switches:");
        self.threads()?.iter().map(own).sum()
    }

    fn kib(&self, name: &str) -> Result<u32> {
        number(&format!("/proc/{}/status", self.pid).into(), name)
    }
}

/// The number that stands after `name` in a file of `/proc`.
fn number(path: &PathBuf, name: &str) -> Result<u32> {
    let text = std::fs::read_to_string(path)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
    value.with_context(|| format!("no {name} in {}", path.display()))
}
