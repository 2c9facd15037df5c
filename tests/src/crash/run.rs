//! One run: a farm in which the agent is killed again and again, and then let live.

use std::ffi::OsString;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bbot_manifest::{Manifest, ResultRequest};
use rustix::process::Signal;

use super::history::{Answer, Arrival, Attachment, Death, History, Upload};
use super::neighbour::Neighbour;
use super::plan::{Build, Moment, Plan};
use super::state;
use crate::agent::{Agent, AgentSpec};
use crate::controller::{Artifact, Controller, Exchange, Mischief, Outcome, Package};
use crate::farm::{Inventory, MachineSpec};
use crate::pretend::building;
use crate::scene::{MACHINE, Scene, TOOLCHAIN, leftovers};

/// The second machine: bootstrapped, and then upgraded.
const OBSOLETE: &str = "linux-obsolete";
/// The type of artifact that the controller takes, and what a guest has of each instance of it.
const UPLOAD: &str = "bindist";
const INSTANCES: [(&str, &str); 2] =
    [("archive", "upload/bindist/archive/a:3000"), ("debian", "upload/bindist/debian/x/y:30000")];
/// For one life of the agent, and for its end.
const LIMIT: Duration = Duration::from_secs(90);
/// Between two looks at an agent that lives on.
const LOOK: Duration = Duration::from_millis(50);
/// A guest is held for a second.
const OPTIONS: [&str; 2] = ["--hold-timeout", "1"];
/// The most lives after the last crash: a package whose task was interrupted comes again.
const LIVES: usize = 10;

/// What a run was like.
#[derive(Debug)]
pub struct Run {
    /// What happened.
    pub history: History,
    /// What the agents said, and what the controller saw, for a person who looks for a cause.
    pub story: Vec<String>,
}

/// Plays the run of a plan.
///
/// # Errors
/// If the farm fails, or an agent does what none should: ends by itself, or never comes to rest.
pub fn play(plan: &Plan) -> Result<Run> {
    let mut stage = Stage::set(plan)?;
    let played = stage.play(plan);
    if let Err(error) = played {
        bail!("{error:#}\n{}", stage.story.join("\n"));
    }
    Ok(Run { history: stage.history, story: stage.story })
}

struct Stage {
    controller: Controller,
    scene: Scene,
    before: Inventory,
    neighbour: Option<Neighbour>,
    history: History,
    story: Vec<String>,
}

impl Stage {
    fn set(plan: &Plan) -> Result<Stage> {
        let scene = Scene::new(&script(Build::Well, plan.artifacts), &[])?;
        let controller = scene.add_controller_for(&[UPLOAD])?;
        let mut obsolete = MachineSpec::small(OBSOLETE, script(plan.build, plan.artifacts));
        scene.farm.add_machine(&obsolete)?;
        scene.farm.add_bootstrapped(&obsolete, TOOLCHAIN)?;
        obsolete.manifest = obsolete.manifest.replace("-1.1", "-1.2");
        obsolete.revision = 2;
        scene.farm.add_machine(&obsolete)?;
        for number in 0..plan.packages {
            let machine = [MACHINE, OBSOLETE][number % 2];
            controller.add(Package::new(&format!("lib{number}"), "1.0.0", machine));
        }
        let (posts, refusals) = (AtomicU32::new(0), plan.refusals);
        controller.misbehave(move |request| {
            let is_post = request.query() != "build-task" && request.method == "POST";
            let number = is_post.then(|| posts.fetch_add(1, Ordering::Relaxed))?;
            let is_refused = number.is_multiple_of(2) && number / 2 < refusals;
            is_refused.then(|| Mischief::status(503))
        });
        let before = scene.farm.inventory()?;
        let neighbour = plan.neighbour.then(|| Neighbour::start(&scene)).transpose()?;
        let instances = instances(plan.artifacts).map(|(name, _)| name.to_owned()).collect();
        let history = History { instances, ..History::default() };
        Ok(Stage { controller, scene, before, neighbour, history, story: Vec::new() })
    }

    fn play(&mut self, plan: &Plan) -> Result<()> {
        for moment in &plan.crashes {
            self.live_until(*moment).with_context(|| format!("a life {moment}"))?;
        }
        self.controller.behave();
        for _ in 0..LIVES {
            self.live_in_peace()?;
            if self.nothing_comes_any_more() {
                break;
            }
        }
        self.history.handed = handed(&self.controller.exchanges());
        self.history.arrivals = arrivals(&self.controller.exchanges());
        self.history.uploads = uploads(&self.controller.exchanges());
        let disturbed = self.neighbour.take().map(Neighbour::end).transpose()?;
        self.history.leftovers = self.leftovers()?;
        self.history.leftovers.extend(disturbed.unwrap_or_default());
        Ok(())
    }

    /// A life that is cut short.
    fn live_until(&mut self, moment: Moment) -> Result<()> {
        let mut agent = Agent::start(&self.scene.farm, &self.spec(moment)?)?;
        let was_killed = match moment {
            Moment::After(time) => {
                ensure!(agent.process().wait(time)?.is_none(), "it ended by itself");
                true
            }
            // It may come to rest before it has had so many.
            Moment::Effect(_) => self.wait_for_death_or_rest(&agent)?,
        };
        // To the one who traces it this means to kill it.
        let signal = if matches!(moment, Moment::After(_)) { Signal::KILL } else { Signal::TERM };
        agent.process().signal(signal)?;
        let status = agent.wait(LIMIT)?;
        let by_kill = status.code() == Some(128 + 9) || status.code().is_none();
        ensure!(by_kill, "it ended with {status}: {:#?}", agent.lines());
        let what = if was_killed { "killed" } else { "killed at rest" };
        self.end_of_life(&format!("{what} {moment}"), &agent, true)
    }

    /// A life until all is done, and its orderly end.
    fn live_in_peace(&mut self) -> Result<()> {
        let mut agent = Agent::start(&self.scene.farm, &self.agent())?;
        let died = self.wait_for_death_or_rest(&agent)?;
        ensure!(!died, "the agent ended by itself: {:#?}", agent.lines());
        let status = agent.terminate()?;
        ensure!(status.success(), "the agent ended with {status}: {:#?}", agent.lines());
        self.end_of_life("ended", &agent, false)
    }

    fn agent(&self) -> AgentSpec {
        let mut spec = self.scene.idle_agent(&OPTIONS);
        spec.arguments.push(self.controller.url().into());
        spec
    }

    fn spec(&self, moment: Moment) -> Result<AgentSpec> {
        let mut spec = self.agent();
        if let Moment::Effect(number) = moment {
            let tracer = crate::programs::find("bbot-crash")?;
            let log = self.scene.farm.scratch().join("effects");
            let words = ["trace".into(), "--kill".into(), number.to_string().into()];
            spec.under = [tracer.into()].into_iter().chain(words).collect();
            spec.under.extend::<[OsString; 3]>(["--log".into(), log.into(), "--".into()]);
        }
        Ok(spec)
    }

    /// Returns whether it has died, or else has nothing to do any more.
    fn wait_for_death_or_rest(&self, agent: &Agent) -> Result<bool> {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if agent.process().wait(LOOK)?.is_some() {
                return Ok(true);
            }
            if self.is_idle(agent) && state::pending(&self.state_folder())?.is_empty() {
                return Ok(false);
            }
        }
        let pending = state::pending(&self.state_folder())?;
        bail!("the agent neither dies nor rests; waiting: {pending:?}: {:#?}", agent.lines())
    }

    fn is_idle(&self, agent: &Agent) -> bool {
        // Before its first round the status may be that of a dead one.
        if !agent.phases().iter().any(|phase| phase.name == "enumerate") {
            return false;
        }
        let path = self.scene.runtime_folder().join("status.json");
        let status: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap_or_default()).unwrap_or_default();
        status["phase"] == "idle"
    }

    fn state_folder(&self) -> std::path::PathBuf {
        self.scene.farm.state().join(format!("{TOOLCHAIN}-1"))
    }

    fn end_of_life(&mut self, how: &str, agent: &Agent, killed: bool) -> Result<()> {
        let number = self.history.deaths.len();
        self.story.push(format!("life {number}: {how}"));
        let effects = self.scene.farm.scratch().join("effects");
        if let Ok(text) = std::fs::read_to_string(&effects) {
            let last = text.lines().last().unwrap_or_default();
            self.story.push(format!("  last effect: {last}"));
            std::fs::remove_file(effects)?;
        }
        self.story.extend(agent.lines().into_iter().map(|line| format!("  {line}")));
        let death = state::read(&self.state_folder())?;
        let handed = handed(&self.controller.exchanges()).len();
        self.history.deaths.push(Death { handed, killed, ..death });
        Ok(())
    }

    /// Whether all that was not lost is built: what was lost does not come for hours.
    fn nothing_comes_any_more(&self) -> bool {
        let exchanges = self.controller.exchanges();
        let arrivals = arrivals(&exchanges);
        let is_lost = |session: &String| {
            !arrivals.iter().any(|one| one.verdict.is_some() && one.answer.session == *session)
        };
        self.controller.is_done()
            || self.controller.unbuilt() == 0 && handed(&exchanges).iter().any(is_lost)
    }

    /// What should not be there after an orderly end.
    fn leftovers(&self) -> Result<Vec<String>> {
        let after = self.scene.farm.inventory()?;
        let mut left = leftovers(&self.before, &after, MACHINE);
        // The kernel has freed the lock of who was killed; its file is found by the next holder.
        left.retain(|item| !item.starts_with("lock ") && !Neighbour::leaves(item));
        for machine in [MACHINE, OBSOLETE] {
            let path = self.scene.farm.machine_folder(machine);
            let path = path.join(format!("{machine}-{TOOLCHAIN}.lock"));
            let file = self.scene.farm.inside().run(|| std::fs::File::open(&path))?;
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
        Build::Well => building(&["get task.manifest", &upload, "put-result success"]),
        Build::Abnormal => building(&["get task.manifest", &upload, "put-result abnormal"]),
        Build::Dead => building(&["get task.manifest", &upload, "exit 1"]),
    }
}

/// The artifacts of a guest that has so many.
fn instances(count: usize) -> impl Iterator<Item = (&'static str, &'static str)> {
    INSTANCES.into_iter().take(count)
}

/// The sessions that were handed out.
fn handed(exchanges: &[Exchange]) -> Vec<String> {
    let session = |exchange: &Exchange| match &exchange.outcome {
        Outcome::Task { session, .. } => Some(session.clone()),
        _ => None,
    };
    exchanges.iter().filter_map(session).collect()
}

/// The results that were brought, whether they were taken or not.
pub(super) fn arrivals(exchanges: &[Exchange]) -> Vec<Arrival> {
    let arrival = |(place, exchange): (usize, &Exchange)| {
        let verdict = match &exchange.outcome {
            Outcome::Result { verdict, .. } => Some(verdict.clone()),
            Outcome::Mischief => None,
            _ => return None,
        };
        let body = &exchange.request.body;
        let request = ResultRequest::parse(body, "result").ok()?;
        let answer = Answer { session: request.session, result: request.result };
        Some(Arrival { answer, body: body.clone(), verdict, place })
    };
    exchanges.iter().enumerate().filter_map(arrival).collect()
}

/// The artifacts that were brought, whether they were taken or not.
fn uploads(exchanges: &[Exchange]) -> Vec<Upload> {
    let upload = |(place, exchange): (usize, &Exchange)| {
        let Artifact { session, instance, sha256, .. } = Artifact::parse(&exchange.request).ok()?;
        let receipt = match &exchange.outcome {
            Outcome::Artifact { receipt, .. } => Some(receipt.clone()),
            _ => None,
        };
        Some(Upload { attachment: Attachment { session, instance, sha256 }, receipt, place })
    };
    exchanges.iter().enumerate().filter_map(upload).collect()
}
