//! The demo: the whole system does its job once, on real parts, and shows it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bbot_manifest::{Manifest, ResultManifest, ResultRequest, ResultStatus};

use super::artifact::{self, Accepted};
use super::display::{self, ProgressDisplay};
use super::real_machine::{self, MACHINE, RAM};
use super::report::{BuildReport, Overhead, Report};
use crate::harness::agent::{Agent, AgentSpec, BuildTimes, Phase, ROWS, build_times};
use crate::harness::controller::{
    Controller, ControllerConfig, KnownKey, Outcome, Package, Verdict, generate_key,
};
use crate::harness::farm::{Farm, layout};
use crate::harness::testbed::leftovers;

/// The limit of the whole demo; a guest without hardware virtualization needs a fraction of it.
const LIMIT: Duration = Duration::from_secs(600);
const VERSION: &str = "1.2.13";
const GOOD: &str = "zlib";
const BROKEN: &str = "zlib-broken";

/// The options of the demo.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// The folder with machine, toolchain and package repository.
    pub image: PathBuf,
    /// The file for the report.
    pub report: PathBuf,
    /// Whether the farm is kept.
    pub keep: bool,
}

/// What the demo waits for; all events come on one channel.
#[derive(Debug)]
enum Event {
    Phase(Phase),
    Signal(i32),
}

/// Runs the demo.
///
/// # Errors
/// If any check fails.
pub fn show(options: &DemoOptions) -> Result<()> {
    let (sender, events) = channel();
    watch_signals(sender.clone())?;
    let mut demo = Demo { display: ProgressDisplay::new(), events, last: Instant::now() };
    let farm = Farm::start()?;
    demo.step("farm", &farm.scratch().display().to_string())?;
    let outcome = demo.run(&farm, options, sender);
    demo.display.clear()?;
    if options.keep {
        let (enter, remove) = farm.keep()?;
        demo.display.line(&format!("\nThe farm is kept. To enter it:\n    {enter}"))?;
        demo.display.line(&format!("To remove it:\n    {remove}"))?;
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
    display: ProgressDisplay,
    events: Receiver<Event>,
    /// When the last step of the demo itself ended.
    last: Instant,
}

impl Demo {
    fn run(&mut self, farm: &Farm, options: &DemoOptions, sender: Sender<Event>) -> Result<()> {
        let toolchain_id = real_machine::install(farm, &options.image)?;
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
                // It fails if the demo has ended before its agent.
                drop(sender.send(Event::Phase(phase)));
            }
        })?;
        self.follow(&agent, &controller)?;
        self.last = Instant::now();
        agent.end()?;
        self.step("agent stopped", "SIGTERM, exit 0")?;

        let left = leftovers(&before, &farm.inventory()?, MACHINE);
        ensure!(left.is_empty(), "the agent has left something behind: {}", left.join("; "));
        let results = Results::of(&controller)?;
        let accepted = check(&results, &controller)?;
        let builds = build_times(&agent.phases());
        self.show(&results, &builds)?;
        self.show_artifact(&accepted)?;
        report(&agent.phases(), &results, &builds, accepted.sha256)?.write(&options.report)?;
        self.display.line(&format!("\nreport: {}", options.report.display()))?;
        Ok(())
    }

    /// Shows that a step of the demo itself has ended.
    fn step(&mut self, name: &str, detail: &str) -> Result<()> {
        let millis = self.last.elapsed().as_secs_f64() * 1e3;
        self.last = Instant::now();
        Ok(self.display.phase(name, millis, detail)?)
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
        ensure!(controller.is_done(), "the controller does not have all results:\n{}", tail(agent));
        Ok(())
    }

    /// The next phase of the agent; `None` if none has ended within a tick.
    fn next_phase(&mut self) -> Result<Option<Phase>> {
        match self.events.recv_timeout(display::TICK) {
            Ok(Event::Phase(phase)) => Ok(Some(phase)),
            Ok(Event::Signal(signal)) => bail!("ended by signal {signal}"),
            Err(RecvTimeoutError::Disconnected) => bail!("the agent has closed its standard error"),
            Err(RecvTimeoutError::Timeout) => {
                self.display.tick()?;
                Ok(None)
            }
        }
    }

    fn show_phase(&mut self, phase: &Phase) -> Result<()> {
        let about = phase.package().unwrap_or_else(|| phase.key("machine").to_owned());
        self.display.phase(&phase.name, phase.millis, &about)?;
        self.display.wait_for(match phase.name.as_str() {
            "qemu" => Some("the guest boots"),
            "first-request" => Some("the guest works"),
            "bootstrap" => Some("the guest powers down"),
            _ => None,
        });
        Ok(())
    }

    /// Shows the table of durations, and the status and an excerpt of the logs of each result.
    fn show(&mut self, results: &Results, builds: &[BuildTimes]) -> Result<()> {
        self.display.line("")?;
        self.display.row("", builds.iter().map(|build| build.package.clone()))?;
        for (index, (_, title, _)) in ROWS.iter().enumerate() {
            let cells = builds.iter().map(|build| display::duration(build.phases[index].1));
            self.display.row(title, cells)?;
        }
        for result in &results.0 {
            self.display
                .line(&format!("\n{} {}: {}", result.name, result.version, result.status))?;
            for operation in &result.results {
                self.display.line(&format!("  {}: {}", operation.operation, operation.status))?;
                for line in excerpt(&operation.log) {
                    self.display.line(&format!("    | {}", display::sanitized(line)))?;
                }
            }
        }
        Ok(())
    }

    /// Shows the artifact of the good build.
    fn show_artifact(&mut self, accepted: &Accepted) -> Result<()> {
        let Accepted { artifact, file, .. } = accepted;
        let size = artifact.archive.len();
        self.display.line(&format!(
            "\nartifact {} at the controller, sha256 and challenge checked: {size} bytes\n  {}  {}",
            artifact.instance, artifact.sha256, artifact.name
        ))?;
        self.display.line(&format!("  {}  {file}", accepted.sha256))?;
        Ok(())
    }
}

fn start_controller(farm: &Farm, image: &Path, public_key: &Path) -> Result<Controller> {
    let config = ControllerConfig {
        packages: [GOOD, BROKEN].map(|name| Package::new(name, VERSION, MACHINE)).into(),
        keys: vec![KnownKey::read(public_key)?],
        repository: Some(image.join("repository")),
        uploads: vec!["bindist".to_owned()],
        ..ControllerConfig::default()
    };
    Controller::start(farm.namespaces(), layout::BRIDGE_ADDRESS.into(), config)
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

/// Checks the results and the artifacts; returns the artifact of the good build.
///
/// The signature of each stored result and accepted artifact was verified: the controller knows a
/// key, so each task has a challenge.
fn check(results: &Results, controller: &Controller) -> Result<Accepted> {
    let (good, broken) = (results.get(GOOD)?, results.get(BROKEN)?);
    ensure!(good.status == ResultStatus::Success, "{GOOD}: {}", good.status);
    ensure!(broken.status == ResultStatus::Error, "{BROKEN}: {}", broken.status);
    let mut accepted = artifact::accepted(controller)?;
    let (Some(artifact), true) = (accepted.pop(), accepted.is_empty()) else {
        bail!("there is not exactly one artifact");
    };
    let expected = format!("sha256 {} {}", artifact.sha256, artifact.file);
    let is_logged =
        good.results.iter().any(|operation| operation.log.lines().any(|line| line == expected));
    ensure!(is_logged, "the log does not contain the line `{expected}` about the artifact");
    Ok(artifact)
}

fn report(
    phases: &[Phase],
    results: &Results,
    builds: &[BuildTimes],
    artifact: String,
) -> Result<Report> {
    let good = builds.first().context("no phases of a build")?;
    let mut phases_ms: std::collections::BTreeMap<_, _> = good.phases.iter().copied().collect();
    let bootstrap = phases.iter().find(|phase| phase.name == "bootstrap");
    phases_ms.extend(bootstrap.map(|phase| ("bootstrap", phase.millis)));
    let worst = |value: fn(&BuildTimes) -> f64| builds.iter().map(value).fold(0.0, f64::max);
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

/// The last lines of a log, and those about an error or the artifact.
fn excerpt(log: &str) -> Vec<&str> {
    const LAST: usize = 3;
    let lines: Vec<_> = log.lines().collect();
    let last = lines.len().saturating_sub(LAST);
    let is_relevant = |line: &str| line.contains("error") || line.starts_with("sha256 ");
    let chosen =
        lines.iter().enumerate().filter(|(index, line)| *index >= last || is_relevant(line));
    chosen.map(|(_, line)| *line).collect()
}

/// The last lines of the agent's standard error.
fn tail(agent: &Agent) -> String {
    const LAST: usize = 40;
    let lines = agent.lines();
    lines[lines.len().saturating_sub(LAST)..].join("\n")
}
