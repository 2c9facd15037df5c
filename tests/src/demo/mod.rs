//! The demo: the whole system does its job once, on real parts, and shows it.

mod artifact;
mod face;
mod report;
mod story;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bbot_manifest::{Manifest, ResultManifest, ResultRequest, ResultStatus};

use self::artifact::Taken;
use self::face::Face;
use self::report::{BuildReport, Overhead, Report};
pub use self::story::{Build, ROWS, builds};
use crate::agent::{Agent, AgentSpec, Phase};
use crate::controller::{
    Controller, ControllerConfig, KnownKey, Outcome, Package, Verdict, generate_key,
};
use crate::farm::{Disk, Farm, MachineSpec, layout};
use crate::scene::{TOOLCHAIN, leftovers};

/// Everything together; a guest without hardware virtualization needs a fraction of it.
const LIMIT: Duration = Duration::from_secs(600);
const MACHINE: &str = "linux_debian_12-tcc_0.9";
const VERSION: &str = "1.2.13";
const GOOD: &str = "zlib";
const BROKEN: &str = "zlib-broken";
/// RAM of the machine in KiB: enough for a small C compiler.
const RAM: &str = "524288";

/// What the demo is asked to do.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// The folder with machine, toolchain and package repository.
    pub image: PathBuf,
    /// Where the report goes.
    pub report: PathBuf,
    /// Whether the farm stays.
    pub keep: bool,
}

/// What the demo waits for; one channel for all of it.
#[derive(Debug)]
enum Event {
    Phase(Phase),
    Signal(i32),
}

/// Runs the demo.
///
/// # Errors
/// If anything is not as it must be.
pub fn demo(options: &DemoOptions) -> Result<()> {
    let (sender, events) = channel();
    watch_signals(sender.clone())?;
    let mut demo = Demo { face: Face::new(), events, last: Instant::now() };
    let farm = Farm::start()?;
    demo.step("farm", &farm.scratch().display().to_string())?;
    let outcome = demo.run(&farm, options, sender);
    demo.face.clear()?;
    if options.keep {
        let (enter, remove) = farm.keep()?;
        demo.face.line(&format!("\nThe farm stays. To enter it:\n    {enter}"))?;
        demo.face.line(&format!("To remove it:\n    {remove}"))?;
        return outcome;
    }
    let traces = farm.traces()?;
    farm.end()?;
    outcome?;
    let left = traces.remaining()?;
    ensure!(left.is_empty(), "the farm has left something behind: {}", left.join("; "));
    demo.step("farm removed", "nothing is left")
}

fn watch_signals(sender: Sender<Event>) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let forward = move || {
        for signal in &mut signals {
            if sender.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(forward)?;
    Ok(())
}

struct Demo {
    face: Face,
    events: Receiver<Event>,
    /// When the last step of our own ended.
    last: Instant,
}

impl Demo {
    fn run(&mut self, farm: &Farm, options: &DemoOptions, sender: Sender<Event>) -> Result<()> {
        let toolchain_id = put_in(farm, &options.image)?;
        self.step("machine, toolchain", MACHINE)?;
        let (private, public) = generate_key(farm.scratch())?;
        self.step("RSA key", "")?;
        let controller = start_controller(farm, &options.image, &public)?;
        self.step("controller", &controller.url())?;
        let before = farm.inventory()?;

        let mut spec = AgentSpec::new(["--toolchain-id", &toolchain_id, "--ram", RAM]);
        spec.arguments.push("--auth-key".into());
        spec.arguments.extend([OsString::from(private), controller.url().into()]);
        let mut agent = Agent::start_watched(farm, &spec, move |line| {
            if let Some(phase) = Phase::parse(line) {
                // The demo has ended before its agent: nobody wants to know.
                drop(sender.send(Event::Phase(phase)));
            }
        })?;
        self.follow(&agent, &controller)?;
        self.last = Instant::now();
        let status = agent.terminate()?;
        ensure!(status.success(), "the agent ended with {status}:\n{}", tail(&agent));
        self.step("agent stopped", "SIGTERM, exit 0")?;

        let left = leftovers(&before, &farm.inventory()?, MACHINE);
        ensure!(left.is_empty(), "the agent has left something behind: {}", left.join("; "));
        let results = Results::of(&controller)?;
        let taken = check(&results, &controller)?;
        let builds = builds(&agent.phases());
        self.show(&results, &builds)?;
        self.show_artifact(&taken)?;
        report(&agent.phases(), &results, &builds, taken.sha256)?.write(&options.report)?;
        self.face.line(&format!("\nreport: {}", options.report.display()))?;
        Ok(())
    }

    /// Says that a step of our own has ended.
    fn step(&mut self, name: &str, detail: &str) -> Result<()> {
        let millis = self.last.elapsed().as_secs_f64() * 1e3;
        self.last = Instant::now();
        Ok(self.face.phase(name, millis, detail)?)
    }

    /// Shows the agent's phases until everything is built.
    fn follow(&mut self, agent: &Agent, controller: &Controller) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        let mut unfinished = 2;
        while unfinished > 0 {
            let Some(phase) = self.next_phase()? else {
                ensure!(Instant::now() < deadline, "not done in {LIMIT:?}:\n{}", tail(agent));
                let ended = agent.process().wait(Duration::ZERO)?;
                ensure!(ended.is_none(), "the agent has ended:\n{}", tail(agent));
                continue;
            };
            self.show_phase(&phase)?;
            if phase.name == "posted" {
                unfinished -= 1;
            }
        }
        ensure!(controller.is_done(), "the controller has not got all results:\n{}", tail(agent));
        Ok(())
    }

    /// The next phase that ended; `None` if for a while none did.
    fn next_phase(&mut self) -> Result<Option<Phase>> {
        match self.events.recv_timeout(face::TICK) {
            Ok(Event::Phase(phase)) => Ok(Some(phase)),
            Ok(Event::Signal(signal)) => bail!("ended by signal {signal}"),
            Err(RecvTimeoutError::Disconnected) => bail!("the agent says nothing any more"),
            Err(RecvTimeoutError::Timeout) => {
                self.face.tick()?;
                Ok(None)
            }
        }
    }

    fn show_phase(&mut self, phase: &Phase) -> Result<()> {
        let about = phase.package().unwrap_or_else(|| phase.key("machine").to_owned());
        self.face.phase(&phase.name, phase.millis, &about)?;
        self.face.wait_for(match phase.name.as_str() {
            "qemu" => Some("the guest boots"),
            "first-request" => Some("the guest works"),
            "bootstrap" => Some("the guest powers down"),
            _ => None,
        });
        Ok(())
    }

    /// The table of durations, and of each result its status and what its logs say.
    fn show(&mut self, results: &Results, builds: &[Build]) -> Result<()> {
        self.face.line("")?;
        self.face.row("", builds.iter().map(|build| build.package.clone()))?;
        for (index, (_, title, _)) in ROWS.iter().enumerate() {
            let cells = builds.iter().map(|build| face::duration(build.phases[index].1));
            self.face.row(title, cells)?;
        }
        for result in &results.0 {
            self.face.line(&format!("\n{} {}: {}", result.name, result.version, result.status))?;
            for operation in &result.results {
                self.face.line(&format!("  {}: {}", operation.operation, operation.status))?;
                for line in excerpt(&operation.log) {
                    self.face.line(&format!("    | {}", face::harmless(line)))?;
                }
            }
        }
        Ok(())
    }

    /// What the world gets of the good build.
    fn show_artifact(&mut self, taken: &Taken) -> Result<()> {
        let Taken { artifact, file, .. } = taken;
        let size = artifact.archive.len();
        self.face.line(&format!(
            "\nartifact {} at the controller, sha256 and challenge checked: {size} bytes\n  {}  {}",
            artifact.instance, artifact.sha256, artifact.name
        ))?;
        self.face.line(&format!("  {}  {file}", taken.sha256))?;
        Ok(())
    }
}

/// Puts machine and toolchain into the farm. Returns the toolchain's id.
fn put_in(farm: &Farm, image: &Path) -> Result<String> {
    let manifest = image.join("machine/manifest");
    let manifest = std::fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let disk = Disk::File(image.join("machine/disk.img"));
    farm.add_machine(&MachineSpec { name: MACHINE.to_owned(), revision: 1, manifest, disk })?;
    let toolchain = image.join("toolchain");
    farm.add_toolchain(TOOLCHAIN, &toolchain)?;
    let sums = std::fs::read_to_string(toolchain.join("toolchain.sha256"))?;
    Ok(sums.split_whitespace().next().context("no checksum of the toolchain")?.to_owned())
}

fn start_controller(farm: &Farm, image: &Path, public_key: &Path) -> Result<Controller> {
    let config = ControllerConfig {
        packages: [GOOD, BROKEN].map(|name| Package::new(name, VERSION, MACHINE)).into(),
        keys: vec![KnownKey::read(public_key)?],
        repository: Some(image.join("repository")),
        uploads: vec!["bindist".to_owned()],
        ..ControllerConfig::default()
    };
    Controller::start(farm.inside(), layout::BRIDGE_ADDRESS.into(), config)
}

/// The results that the controller has stored, in the order of their arrival.
struct Results(Vec<ResultManifest>);

impl Results {
    fn of(controller: &Controller) -> Result<Results> {
        let stored = controller.exchanges().into_iter().filter(|exchange| {
            matches!(&exchange.outcome, Outcome::Result { verdict: Verdict::Stored(_), .. })
        });
        let parse = |body: &[u8]| Ok(ResultRequest::parse(body, "result")?.result);
        stored.map(|exchange| parse(&exchange.request.body)).collect::<Result<_>>().map(Results)
    }

    fn get(&self, name: &str) -> Result<&ResultManifest> {
        let mut results = self.0.iter();
        let found = results.find(|result| result.name.to_string() == name);
        found.with_context(|| format!("no result of {name}"))
    }
}

/// Checks that all is as it must be; returns the artifact of the good build.
///
/// That a result was stored, and an artifact taken in, means that its signature was verified: the
/// controller knows a key, so each task has a challenge.
fn check(results: &Results, controller: &Controller) -> Result<Taken> {
    let (good, broken) = (results.get(GOOD)?, results.get(BROKEN)?);
    ensure!(good.status == ResultStatus::Success, "{GOOD}: {}", good.status);
    ensure!(broken.status == ResultStatus::Error, "{BROKEN}: {}", broken.status);
    let mut taken = artifact::taken(controller)?;
    let (Some(artifact), true) = (taken.pop(), taken.is_empty()) else {
        bail!("not the one artifact of the good build");
    };
    let said = format!("sha256 {} {}", artifact.sha256, artifact.file);
    let said_so =
        good.results.iter().any(|operation| operation.log.lines().any(|line| line == said));
    ensure!(said_so, "the log does not have the line `{said}` of the artifact that came");
    Ok(artifact)
}

fn report(
    phases: &[Phase],
    results: &Results,
    builds: &[Build],
    artifact: String,
) -> Result<Report> {
    let good = builds.first().context("no phases of a build")?;
    let mut phases_ms: std::collections::BTreeMap<_, _> = good.phases.iter().copied().collect();
    let bootstrap = phases.iter().find(|phase| phase.name == "bootstrap");
    phases_ms.extend(bootstrap.map(|phase| ("bootstrap", phase.millis)));
    let worst = |value: fn(&Build) -> f64| builds.iter().map(value).fold(0.0, f64::max);
    let mut artifact = Some(artifact);
    let builds_of = |result: &ResultManifest| BuildReport {
        package: format!("{}/{}", result.name, result.version),
        status: result.status.to_string(),
        signature_verified: true,
        artifact_sha256: artifact.take_if(|_| result.status == ResultStatus::Success),
    };
    Ok(Report {
        phases_ms,
        builds: results.0.iter().map(builds_of).collect(),
        overhead_ms: Overhead {
            task_to_qemu_exec: worst(|build| build.task_to_qemu_exec),
            result_durable_to_posted: worst(|build| build.result_durable_to_posted),
        },
    })
}

/// The last lines of a log, and any that speak of an error or of the artifact.
fn excerpt(log: &str) -> Vec<&str> {
    const LAST: usize = 3;
    let lines: Vec<_> = log.lines().collect();
    let last = lines.len().saturating_sub(LAST);
    let tells = |line: &str| line.contains("error") || line.starts_with("sha256 ");
    let chosen = lines.iter().enumerate().filter(|(index, line)| *index >= last || tells(line));
    chosen.map(|(_, line)| *line).collect()
}

/// The last lines that the agent said.
fn tail(agent: &Agent) -> String {
    const LAST: usize = 40;
    let lines = agent.lines();
    lines[lines.len().saturating_sub(LAST)..].join("\n")
}
