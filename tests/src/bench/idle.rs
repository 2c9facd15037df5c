//! What an idle instance costs.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::figure::Figure;
use crate::harness::agent::Agent;
use crate::harness::hypervisor::SUCCESSFUL;
use crate::harness::testbed::Testbed;

/// How long a pause is measured; pauses last for at least 50 s.
const WATCHED: Duration = Duration::from_secs(45);
/// How long a pause and a round are measured; pauses last for at most 60 s.
const TURN: Duration = Duration::from_secs(60);
/// How long the agent may still work after its status is idle.
const SETTLED: Duration = Duration::from_secs(1);

pub(super) fn measure() -> Result<Vec<Figure>> {
    let testbed = Testbed::new(SUCCESSFUL, &[])?;
    let agent = testbed.start(&["--fake-bootstrap"])?;
    testbed.wait_until_idle()?;
    let idle = IdleProcess { pid: agent.process().pid() };
    stays(&agent, SETTLED)?;
    let (start, cpu) = (Instant::now(), idle.cpu()?);
    let (resident, own) = (idle.kib("VmRSS:")?, idle.kib("RssAnon:")?);
    let threads = idle.threads()?.len();
    let (before, first) = (idle.wake_ups()?, rounds(&agent));
    stays(&agent, WATCHED)?;
    let in_a_pause = idle.wake_ups()? - before;
    stays(&agent, TURN.saturating_sub(start.elapsed()))?;
    testbed.wait_until_idle()?;
    let in_a_turn = idle.wake_ups()? - before;
    ensure!(rounds(&agent) == first + 1, "not exactly one round: {:?}", agent.lines());
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

/// How many rounds have begun.
fn rounds(agent: &Agent) -> usize {
    agent.count_phases("enumerate")
}

/// Waits for this time, and checks that the agent has not ended.
fn stays(agent: &Agent, time: Duration) -> Result<()> {
    let ended = agent.process().wait(time)?;
    ensure!(ended.is_none(), "the agent has ended: {:?}", agent.lines());
    Ok(())
}

/// A process whose costs are read from `/proc`.
struct IdleProcess {
    pid: u32,
}

impl IdleProcess {
    /// CPU time of all its threads, also of those that have ended.
    fn cpu(&self) -> Result<Duration> {
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(self.pid)?))?;
        Ok(clock_gettime(clock)?.into())
    }

    /// The `status` files of its threads.
    fn threads(&self) -> Result<Vec<PathBuf>> {
        let folder = std::fs::read_dir(format!("/proc/{}/task", self.pid))?;
        folder.map(|entry| Ok(entry?.path().join("status"))).collect()
    }

    /// How often its threads have blocked, each time after a wake-up.
    fn wake_ups(&self) -> Result<u32> {
        let own = |path: &PathBuf| number(path, "voluntary_ctxt_switches:");
        self.threads()?.iter().map(own).sum()
    }

    fn kib(&self, name: &str) -> Result<u32> {
        number(&format!("/proc/{}/status", self.pid).into(), name)
    }
}

/// The number after `name` in a file of `/proc`.
fn number(path: &PathBuf, name: &str) -> Result<u32> {
    let text = std::fs::read_to_string(path)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
    value.with_context(|| format!("no {name} in {}", path.display()))
}
