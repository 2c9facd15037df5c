//! A farm with everything that an agent needs, and a guest that takes milliseconds.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use bbot_manifest::{Manifest, ResultRequest};

use crate::agent::AgentSpec;
use crate::controller::{
    Controller, ControllerConfig, Exchange, KnownKey, Outcome, Package, Verdict, generate_key,
};
use crate::farm::{Farm, Inventory, MachineSpec, layout};

/// The machine's name.
pub const MACHINE: &str = "linux-pretend";
/// The toolchain's name.
pub const TOOLCHAIN: &str = "default";
/// The file name of the pretend hypervisor in the farm's `/run`, where every user may run it.
const HYPERVISOR: &str = "bbot-pretend";
/// Far more than a result takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A farm with a toolchain, a machine that is a pretend guest, and a controller that authenticates.
#[derive(Debug)]
pub struct Scene {
    /// The controller.
    pub controller: Controller,
    /// The farm; it goes last.
    pub farm: Farm,
    key: PathBuf,
    known: KnownKey,
}

impl Scene {
    /// Sets the scene: the machine's disk is `script`, the controller wants these packages.
    ///
    /// # Errors
    /// If a part of it cannot be made.
    pub fn new(script: &str, packages: &[&str]) -> Result<Scene> {
        let scene = Scene::without_machines()?;
        scene.farm.add_machine(&MachineSpec::small(MACHINE, script))?;
        for package in packages {
            scene.controller.add(Package::new(package, "1.0.0", MACHINE));
        }
        Ok(scene)
    }

    /// Sets the scene without a machine; the controller wants nothing yet.
    ///
    /// # Errors
    /// If a part of it cannot be made.
    pub fn without_machines() -> Result<Scene> {
        let farm = Farm::start()?;
        let toolchain = farm.tftp().join("toolchains").join(TOOLCHAIN);
        std::fs::create_dir(&toolchain)?;
        std::fs::write(toolchain.join("toolchain.sha256"), "0000  toolchain.tar.xz\n")?;
        let program = crate::programs::find(HYPERVISOR)?;
        std::fs::copy(program, farm.run().join(HYPERVISOR)).context("cannot copy a program")?;
        let (key, public) = generate_key(farm.scratch())?;
        let known = KnownKey::read(&public)?;
        let controller = controller(&farm, &known, &[])?;
        Ok(Scene { controller, farm, key, known })
    }

    /// Adds a machine that is bootstrapped already; its guest does these steps in each build.
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

    /// Starts a further controller like the first; it wants nothing yet.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn add_controller(&self) -> Result<Controller> {
        controller(&self.farm, &self.known, &[])
    }

    /// Starts a further controller like the first, which takes artifacts of these types.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn add_controller_for(&self, uploads: &[&str]) -> Result<Controller> {
        controller(&self.farm, &self.known, uploads)
    }

    /// Instance `number` with further options, which is to serve these controllers, each with its
    /// priority.
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

    /// An agent that is to serve the controller, with further options.
    pub fn agent(&self, options: &[&str]) -> AgentSpec {
        let mut spec = self.idle_agent(options);
        spec.arguments.push(self.controller.url().into());
        spec
    }

    /// An agent with further options, without a controller.
    pub fn idle_agent(&self, options: &[&str]) -> AgentSpec {
        let hypervisor = PathBuf::from("/run").join(HYPERVISOR);
        let mut arguments: Vec<OsString> = options.iter().map(Into::into).collect();
        arguments.extend(["--ram".into(), "65536".into()]);
        arguments.extend(["--hypervisor".into(), hypervisor.into()]);
        arguments.extend(["--auth-key".into(), self.key.clone().into()]);
        AgentSpec { arguments, ..AgentSpec::default() }
    }

    /// The runtime folder of instance 1, as seen from outside.
    pub fn runtime_folder(&self) -> PathBuf {
        self.runtime_folder_of(1)
    }

    /// The runtime folder of an instance, as seen from outside.
    pub fn runtime_folder_of(&self, instance: u16) -> PathBuf {
        self.farm.run().join(format!("bbot-agent/{TOOLCHAIN}-{instance}"))
    }

    /// The verdict on the `count`th result that comes to the controller, and the result.
    ///
    /// # Errors
    /// If it does not come, or is no result.
    pub fn result(&self, count: usize) -> Result<(Verdict, ResultRequest)> {
        let find = |exchanges: &[Exchange]| {
            let mut results = exchanges.iter().filter_map(|exchange| match &exchange.outcome {
                Outcome::Result { verdict, .. } => {
                    Some((verdict.clone(), exchange.request.body.clone()))
                }
                _ => None,
            });
            results.nth(count - 1)
        };
        let found = self.controller.wait(LIMIT, find);
        let (verdict, body) = found.with_context(|| format!("no result {count}"))?;
        Ok((verdict, ResultRequest::parse(&body, "result")?))
    }

    /// How often the controller has been asked for a task.
    pub fn task_requests(&self) -> usize {
        let exchanges = self.controller.exchanges();
        exchanges.iter().filter(|exchange| exchange.request.query() == "build-task").count()
    }

    /// What instance 1 has kept of failures, in order: the files with this extension.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn failures(&self, extension: &str) -> Result<Vec<PathBuf>> {
        let folder = self.farm.state().join(format!("{TOOLCHAIN}-1/failures"));
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
        let mut paths = paths.collect::<Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|found| found == extension));
        paths.sort();
        Ok(paths)
    }

    /// What agents have left behind since `before` that they should not have.
    ///
    /// # Errors
    /// If it cannot be seen.
    pub fn leftovers(&self, before: &Inventory) -> Result<Vec<String>> {
        Ok(leftovers(before, &self.farm.inventory()?, MACHINE))
    }
}

fn controller(farm: &Farm, key: &KnownKey, uploads: &[&str]) -> Result<Controller> {
    let config = ControllerConfig {
        keys: vec![key.clone()],
        uploads: uploads.iter().map(|&kind| kind.to_owned()).collect(),
        ..ControllerConfig::default()
    };
    Controller::start(farm.inside(), layout::BRIDGE_ADDRESS.into(), config)
}

/// What is in `after` and was not in `before` and should not be: the bootstrapped `machine`
/// stays, and lock files that are never removed, and the folder for sockets.
pub fn leftovers(before: &Inventory, after: &Inventory, machine: &str) -> Vec<String> {
    let bootstrapped = format!("subvolume {}/{machine}/{machine}-{TOOLCHAIN}", layout::VOLUME);
    let stays = |item: &&str| {
        *item == bootstrapped
            || item.starts_with("lock run/lock/")
            || item.starts_with("folder run/bbot-agent")
    };
    after.added_since(before).into_iter().filter(|item| !stays(item)).map(str::to_owned).collect()
}
