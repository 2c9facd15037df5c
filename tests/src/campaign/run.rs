//! One run: a farm in which the agent is killed again and again, and then runs until it is idle.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::exchanges::{posts, sessions, uploads};
use super::history::{EndState, History};
use super::other_instance::OtherInstance;
use super::plan::{Build, KillPoint, Plan};
use super::state;
use crate::harness::agent::{Agent, AgentSpec};
use crate::harness::controller::{Controller, Fault, Package};
use crate::harness::farm::{Inventory, MachineSpec};
use crate::harness::hypervisor::building;
use crate::harness::limits::LIMIT;
use crate::harness::testbed::{MACHINE, TOOLCHAIN, Testbed, leftovers};

/// The second machine: bootstrapped, and then upgraded.
const OBSOLETE: &str = "linux-obsolete";
/// The type of artifact that the controller accepts, and its instances with their files.
const UPLOAD: &str = "bindist";
const INSTANCES: [(&str, &str); 2] =
    [("archive", "upload/bindist/archive/a:3000"), ("debian", "upload/bindist/debian/x/y:30000")];
/// The interval at which the state of a running agent is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Guests are held for a second.
const OPTIONS: [&str; 2] = ["--hold-timeout", "1"];
/// The most agent processes after the last kill: interrupted tasks are assigned again.
const FINAL_AGENTS_MAX: usize = 10;

/// A run.
#[derive(Debug)]
pub struct Run {
    /// What happened.
    pub history: History,
    /// How each agent ended, and its standard error, to diagnose a failure.
    pub log: Vec<String>,
}

/// Performs the run of a plan.
///
/// # Errors
/// If the farm fails, or an agent ends by itself, or is never idle.
pub fn run(plan: &Plan) -> Result<Run> {
    let mut state = RunState::prepare(plan)?;
    if let Err(error) = state.perform(plan) {
        bail!("{error:#}\n{}", state.log.join("\n"));
    }
    Ok(Run { history: state.history, log: state.log })
}

struct RunState {
    controller: Controller,
    testbed: Testbed,
    before: Inventory,
    other_instance: Option<OtherInstance>,
    history: History,
    log: Vec<String>,
}

impl RunState {
    fn prepare(plan: &Plan) -> Result<RunState> {
        let testbed = Testbed::new(&script(Build::Success, plan.artifacts), &[])?;
        let controller = testbed.add_controller_for(&[UPLOAD])?;
        let mut obsolete = MachineSpec::small(OBSOLETE, script(plan.build, plan.artifacts));
        testbed.farm.add_machine(&obsolete)?;
        testbed.farm.add_bootstrapped(&obsolete, TOOLCHAIN)?;
        obsolete.manifest = obsolete.manifest.replace("-1.1", "-1.2");
        obsolete.revision = 2;
        testbed.farm.add_machine(&obsolete)?;
        for number in 0..plan.packages {
            let machine = [MACHINE, OBSOLETE][number % 2];
            controller.add(Package::new(&format!("lib{number}"), "1.0.0", machine));
        }
        let (posts, refusals) = (AtomicU32::new(0), plan.refusals);
        controller.inject_faults(move |request| {
            let is_post = request.query() != "build-task" && request.method == "POST";
            let number = is_post.then(|| posts.fetch_add(1, Ordering::Relaxed))?;
            let is_refused = number.is_multiple_of(2) && number / 2 < refusals;
            is_refused.then(|| Fault::status(503))
        });
        let before = testbed.farm.inventory()?;
        let other_instance =
            plan.other_instance.then(|| OtherInstance::start(&testbed)).transpose()?;
        let instances = instances(plan.artifacts).map(|(name, _)| name.to_owned()).collect();
        let history = History { instances, ..History::default() };
        Ok(RunState { controller, testbed, before, other_instance, history, log: Vec::new() })
    }

    fn perform(&mut self, plan: &Plan) -> Result<()> {
        for point in &plan.crashes {
            self.run_until(*point).with_context(|| format!("an agent killed {point}"))?;
        }
        self.controller.stop_faults();
        for _ in 0..FINAL_AGENTS_MAX {
            self.run_until_idle()?;
            if self.is_complete() {
                break;
            }
        }
        let exchanges = self.controller.exchanges();
        self.history.sessions = sessions(&exchanges);
        self.history.posts = posts(&exchanges);
        self.history.uploads = uploads(&exchanges);
        let disturbed = self.other_instance.take().map(OtherInstance::end).transpose()?;
        self.history.leftovers = self.leftovers()?;
        self.history.leftovers.extend(disturbed.unwrap_or_default());
        Ok(())
    }

    /// Runs an agent and kills it.
    fn run_until(&mut self, point: KillPoint) -> Result<()> {
        let mut agent = Agent::start(&self.testbed.farm, &self.spec(point)?)?;
        let was_killed = match point {
            KillPoint::After(time) => {
                ensure!(agent.process().wait(time)?.is_none(), "it ended by itself");
                true
            }
            // It may be idle before it has had that many.
            KillPoint::Effect(_) => self.wait_until_ended_or_idle(&agent)?,
        };
        // SIGTERM makes the tracer kill the agent.
        let signal = if matches!(point, KillPoint::After(_)) { Signal::KILL } else { Signal::TERM };
        agent.process().signal(signal)?;
        let status = agent.wait(LIMIT)?;
        let by_kill = status.code() == Some(128 + 9) || status.code().is_none();
        ensure!(by_kill, "it ended with {status}: {:#?}", agent.lines());
        let how = if was_killed { "killed" } else { "killed while idle," };
        self.record_end(&format!("{how} {point}"), &agent, true)
    }

    /// Runs an agent until it is idle, and terminates it.
    fn run_until_idle(&mut self) -> Result<()> {
        let mut agent = Agent::start(&self.testbed.farm, &self.agent())?;
        let has_ended = self.wait_until_ended_or_idle(&agent)?;
        ensure!(!has_ended, "the agent ended by itself: {:#?}", agent.lines());
        agent.end()?;
        self.record_end("ended", &agent, false)
    }

    fn agent(&self) -> AgentSpec {
        self.testbed.idle_agent(&OPTIONS).with_controller(self.controller.url())
    }

    fn spec(&self, point: KillPoint) -> Result<AgentSpec> {
        let KillPoint::Effect(number) = point else { return Ok(self.agent()) };
        let (number, log) = (number.to_string(), self.effects_log());
        let options: [&OsStr; 4] =
            ["--kill".as_ref(), number.as_ref(), "--log".as_ref(), log.as_ref()];
        self.agent().traced(options)
    }

    /// The tracer's log.
    fn effects_log(&self) -> PathBuf {
        self.testbed.farm.scratch().join("effects")
    }

    /// Waits until the agent has ended (returns true), or is idle with an empty outbox.
    fn wait_until_ended_or_idle(&self, agent: &Agent) -> Result<bool> {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if agent.process().wait(CHECK_INTERVAL)?.is_some() {
                return Ok(true);
            }
            if self.is_idle(agent) && state::pending(&self.state_folder())?.is_empty() {
                return Ok(false);
            }
        }
        let pending = state::pending(&self.state_folder())?;
        bail!("the agent neither ends nor is idle; pending: {pending:?}: {:#?}", agent.lines())
    }

    fn is_idle(&self, agent: &Agent) -> bool {
        // Before its first round the status may be that of an earlier process.
        if agent.count_phases("enumerate") == 0 {
            return false;
        }
        let path = self.testbed.runtime_folder().join("status.json");
        let status: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap_or_default()).unwrap_or_default();
        status["phase"] == "idle"
    }

    fn state_folder(&self) -> PathBuf {
        self.testbed.state("")
    }

    /// Notes how an agent has ended, and the state of the disk.
    fn record_end(&mut self, how: &str, agent: &Agent, killed: bool) -> Result<()> {
        let number = self.history.ends.len();
        self.log.push(format!("agent {number}: {how}"));
        let effects = self.effects_log();
        if let Ok(text) = std::fs::read_to_string(&effects) {
            let last = text.lines().last().unwrap_or_default();
            self.log.push(format!("  last effect: {last}"));
            std::fs::remove_file(effects)?;
        }
        self.log.extend(agent.lines().into_iter().map(|line| format!("  {line}")));
        let end = state::read(&self.state_folder())?;
        let assigned = self.controller.tasks();
        self.history.ends.push(EndState { assigned, killed, ..end });
        Ok(())
    }

    /// Whether every package is built or lost: a lost task is not assigned again for hours.
    fn is_complete(&self) -> bool {
        let exchanges = self.controller.exchanges();
        let posts = posts(&exchanges);
        let is_lost = |session: &String| {
            !posts.iter().any(|one| one.verdict.is_some() && one.result.session == *session)
        };
        self.controller.is_done()
            || self.controller.unbuilt() == 0 && sessions(&exchanges).iter().any(is_lost)
    }

    /// What was not removed by agents that ended in order.
    fn leftovers(&self) -> Result<Vec<String>> {
        let after = self.testbed.farm.inventory()?;
        let mut left = leftovers(&self.before, &after, MACHINE);
        // The kernel has released the locks of killed agents; their files may stay.
        left.retain(|item| !item.starts_with("lock ") && !OtherInstance::may_leave(item));
        for machine in [MACHINE, OBSOLETE] {
            let path = self.testbed.lock_file(machine);
            let file = self.testbed.farm.namespaces().run(|| std::fs::File::open(&path))?;
            if file.is_ok_and(|file| file.try_lock().is_err()) {
                left.push(format!("machine {machine} is locked"));
            }
        }
        let pending = state::pending(&self.state_folder())?;
        left.extend(pending.into_iter().map(|path| path.display().to_string()));
        Ok(left)
    }
}

fn script(build: Build, artifacts: usize) -> String {
    let files: Vec<_> = instances(artifacts).map(|(_, file)| file).collect();
    let upload = format!("put-archive upload/other/z:1 {}", files.join(" "));
    match build {
        Build::Success => building(&["get task.manifest", &upload, "put-result success"]),
        Build::Abnormal => building(&["get task.manifest", &upload, "put-result abnormal"]),
        Build::Exit => building(&["get task.manifest", &upload, "exit 1"]),
    }
}

/// The first `count` instances.
fn instances(count: usize) -> impl Iterator<Item = (&'static str, &'static str)> {
    INSTANCES.into_iter().take(count)
}
