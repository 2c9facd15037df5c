//! A farm with everything that an agent needs, and a guest that takes milliseconds.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use bbot_manifest::{Manifest, ResultRequest};

use super::agent::{Agent, AgentSpec};
use super::controller::{Controller, ControllerConfig, KnownKey, Package, Verdict, generate_key};
use super::farm::{Farm, Inventory, MachineSpec, layout};
use super::limits::LIMIT;
use super::programs;
use super::watch::wait_for_status;

/// The machine's name.
pub const MACHINE: &str = "linux-pretend";
/// The toolchain's name.
pub const TOOLCHAIN: &str = "default";
/// The text of a task for a package `libfoo` on [`MACHINE`].
pub const TASK: &str = ": 1\nname: libfoo\nversion: 1.0.0\n\
    repository-url: https://pkg.example.org/1/stable\nmachine: linux-pretend\n\
    target: x86_64-linux-gnu\n";
/// The name of the program of the simulated hypervisor.
const HYPERVISOR: &str = "bbot-pretend";

/// A farm with a toolchain, a machine with a simulated guest, and a controller that authenticates
/// agents.
#[derive(Debug)]
pub struct Testbed {
    /// The controller.
    pub controller: Controller,
    /// The farm; it is dropped last.
    pub farm: Farm,
    key: PathBuf,
    known: KnownKey,
    hypervisor: PathBuf,
}

impl Testbed {
    /// Makes a testbed whose machine has the script `script` as its disk, and whose controller
    /// has these packages to build.
    ///
    /// # Errors
    /// If a part of it cannot be made.
    pub fn new(script: &str, packages: &[&str]) -> Result<Testbed> {
        let testbed = Testbed::without_machines()?;
        testbed.farm.add_machine(&MachineSpec::small(MACHINE, script))?;
        for package in packages {
            testbed.controller.add(Package::new(package, "1.0.0", MACHINE));
        }
        Ok(testbed)
    }

    /// Makes a testbed without a machine, whose controller has no packages to build.
    ///
    /// # Errors
    /// If a part of it cannot be made.
    pub fn without_machines() -> Result<Testbed> {
        let farm = Farm::start()?;
        let toolchain = farm.tftp().join("toolchains").join(TOOLCHAIN);
        std::fs::create_dir(&toolchain)?;
        std::fs::write(toolchain.join("toolchain.sha256"), "0000  toolchain.tar.xz\n")?;
        let hypervisor = farm.install_program(HYPERVISOR, &programs::find(HYPERVISOR)?)?;
        let (key, public) = generate_key(farm.scratch())?;
        let known = KnownKey::read(&public)?;
        let config = ControllerConfig { keys: vec![known.clone()], ..ControllerConfig::default() };
        let controller = start_controller(&farm, config)?;
        Ok(Testbed { controller, farm, key, known, hypervisor })
    }

    /// Adds a machine that is bootstrapped already; its guest performs these steps in each build.
    ///
    /// # Errors
    /// If the volume cannot be written.
    pub fn add_machine(&self, name: &str, steps: &[&str]) -> Result<()> {
        let disk = steps
            .iter()
            .fold("installed\n".to_owned(), |disk, step| disk + "later: " + step + "\n");
        let machine = MachineSpec::small(name, disk);
        self.farm.add_machine(&machine)?;
        self.farm.add_bootstrapped(&machine, TOOLCHAIN)
    }

    /// The public key of the agents.
    pub fn known_key(&self) -> &KnownKey {
        &self.known
    }

    /// Starts a further controller.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_controller(&self, config: ControllerConfig) -> Result<Controller> {
        start_controller(&self.farm, config)
    }

    /// Starts a further controller that authenticates agents; it has no packages to build.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn add_controller(&self) -> Result<Controller> {
        self.add_controller_for(&[])
    }

    /// Starts a further controller that authenticates agents and accepts artifacts of these types;
    /// it has no packages to build.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn add_controller_for(&self, uploads: &[&str]) -> Result<Controller> {
        self.start_controller(ControllerConfig {
            keys: vec![self.known.clone()],
            uploads: uploads.iter().map(|&kind| kind.to_owned()).collect(),
            ..ControllerConfig::default()
        })
    }

    /// Instance `number` with further options, for these controllers, each with its priority.
    pub fn instance(
        &self,
        number: u16,
        options: &[&str],
        controllers: &[(&str, &Controller)],
    ) -> AgentSpec {
        let mut spec = AgentSpec { instance: number, ..self.idle_agent(options) };
        let urls = controllers.iter().map(|(priority, controller)| (priority, controller.url()));
        spec.arguments.extend(urls.map(|(priority, url)| format!("{priority}={url}").into()));
        spec
    }

    /// An agent with further options, for the testbed's controller.
    pub fn agent(&self, options: &[&str]) -> AgentSpec {
        self.idle_agent(options).with_controller(self.controller.url())
    }

    /// An agent with further options, without a controller.
    pub fn idle_agent(&self, options: &[&str]) -> AgentSpec {
        let mut arguments: Vec<OsString> = options.iter().map(Into::into).collect();
        arguments.extend(["--ram".into(), "65536".into()]);
        arguments.extend(["--hypervisor".into(), self.hypervisor.clone().into()]);
        arguments.extend(["--auth-key".into(), self.key.clone().into()]);
        AgentSpec { arguments, ..AgentSpec::default() }
    }

    /// Starts an agent with further options, for the testbed's controller.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&self, options: &[&str]) -> Result<Agent> {
        Agent::start(&self.farm, &self.agent(options))
    }

    /// Runs an agent to its end; returns its standard output.
    ///
    /// # Errors
    /// If its exit code is not 0: with its standard error.
    pub fn stdout(&self, spec: &AgentSpec) -> Result<String> {
        let output = self.farm.namespaces().output(&mut spec.command(&self.farm)?)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the agent ended with {}: {stderr}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The runtime folder of instance 1, as seen from outside the farm.
    pub fn runtime_folder(&self) -> PathBuf {
        self.runtime_folder_of(1)
    }

    /// The runtime folder of an instance, as seen from outside the farm.
    pub fn runtime_folder_of(&self, instance: u16) -> PathBuf {
        self.farm.run().join(format!("bbot-agent/{TOOLCHAIN}-{instance}"))
    }

    /// Waits until instance 1 is in this phase.
    ///
    /// # Errors
    /// If it is not within [`LIMIT`].
    pub fn wait_for_status(&self, phase: &str) -> Result<()> {
        wait_for_status(&self.runtime_folder(), phase, LIMIT)
    }

    /// Waits until instance 1 has nothing to do.
    ///
    /// # Errors
    /// If it has something to do all the time, for [`LIMIT`].
    pub fn wait_until_idle(&self) -> Result<()> {
        self.wait_for_status("idle")
    }

    /// A file or folder in the state folder of instance 1.
    pub fn state(&self, name: &str) -> PathBuf {
        self.farm.state().join(format!("{TOOLCHAIN}-1")).join(name)
    }

    /// The lock file of a machine.
    pub fn lock_file(&self, machine: &str) -> PathBuf {
        self.farm.machine_folder(machine).join(format!("{machine}-{TOOLCHAIN}.lock"))
    }

    /// The host lock file of the toolchain, as seen from outside the farm.
    pub fn host_lock_file(&self) -> PathBuf {
        self.farm.run().join(format!("lock/bbot-agent-{TOOLCHAIN}.lock"))
    }

    /// The folder of the bootstrapped machine `machine`, as seen in the farm.
    pub fn bootstrapped(&self, machine: &str) -> PathBuf {
        self.farm.machine_folder(machine).join(format!("{machine}-{TOOLCHAIN}"))
    }

    /// Sends a signal to the running hypervisor.
    ///
    /// # Errors
    /// If none runs.
    pub fn signal_hypervisor(&self, signal: &str) -> Result<()> {
        let pid = self.farm.inventory()?.pid_of("/run/bbot-pretend -name ");
        let pid = pid.context("no hypervisor runs")?;
        let namespaces = self.farm.namespaces();
        let output = namespaces.output(namespaces.command("kill").args(["-s", signal, &pid]))?;
        ensure!(output.status.success(), "kill: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// The `count`th verdict on a result, and the result.
    ///
    /// # Errors
    /// If it does not come within [`LIMIT`], or cannot be parsed.
    pub fn result(&self, count: usize) -> Result<(Verdict, ResultRequest)> {
        let (verdict, exchange) = self.controller.wait_for_verdict(count, LIMIT)?;
        Ok((verdict, ResultRequest::parse(&exchange.request.body, "result")?))
    }

    /// The files about failures with this extension that instance 1 has kept, in order.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn failures(&self, extension: &str) -> Result<Vec<PathBuf>> {
        let folder = self.state("failures");
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
        let mut paths = paths.collect::<Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|found| found == extension));
        paths.sort();
        Ok(paths)
    }

    /// What agents have left behind since `before` that they should have removed.
    ///
    /// # Errors
    /// If the farm cannot be listed.
    pub fn leftovers(&self, before: &Inventory) -> Result<Vec<String>> {
        Ok(leftovers(before, &self.farm.inventory()?, MACHINE))
    }
}

fn start_controller(farm: &Farm, config: ControllerConfig) -> Result<Controller> {
    Controller::start(farm.namespaces(), layout::BRIDGE_ADDRESS.into(), config)
}

/// The items in `after` that are not in `before` and should have been removed: the bootstrapped
/// `machine` stays, and so do the files of host locks, and the folder of the runtime folders.
pub fn leftovers(before: &Inventory, after: &Inventory, machine: &str) -> Vec<String> {
    let bootstrapped = format!("subvolume {}/{machine}/{machine}-{TOOLCHAIN}", layout::VOLUME);
    let stays = |item: &&str| {
        *item == bootstrapped
            || item.starts_with("lock run/lock/")
            || item.starts_with("folder run/bbot-agent")
    };
    after.added_since(before).into_iter().filter(|item| !stays(item)).map(str::to_owned).collect()
}
