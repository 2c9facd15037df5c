//! The way into a farm: work in its namespaces, processes in it.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns, unshare};

use super::process::{Grave, Process};

/// Enters a farm's namespaces.
#[derive(Debug, Clone)]
pub struct Inside {
    /// `/proc/<holder>/ns`: the holder is our child and not yet waited for, so the pid is its own.
    namespaces: PathBuf,
    scratch: PathBuf,
    graves: Arc<Mutex<Vec<Grave>>>,
}

impl Inside {
    pub(super) fn of_holder(holder: u32, scratch: &Path) -> Inside {
        let namespaces = PathBuf::from(format!("/proc/{holder}/ns"));
        Inside { namespaces, scratch: scratch.to_owned(), graves: Arc::default() }
    }

    /// Does `work` in a thread that sees the farm's mounts and its network (sockets made there
    /// stay there), and returns what it returns.
    ///
    /// # Errors
    /// If the namespaces cannot be entered.
    ///
    /// # Panics
    /// As `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.in_thread(CloneFlags::empty(), work)
    }

    /// A command for the farm: with a clean environment that names the farm.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        command.env(super::ENVIRONMENT, &self.scratch).process_group(0).stdin(Stdio::null());
        command
    }

    /// Starts `command` as a process of the farm.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(&self, command: &mut Command) -> Result<Process> {
        let process = Process::new(self.spawn_child(command)?)?;
        self.graves.lock().unwrap_or_else(PoisonError::into_inner).push(process.grave());
        Ok(process)
    }

    /// Waits for every process that was started here; they have been killed.
    pub(super) fn bury_the_dead(&self) {
        let mut graves = self.graves.lock().unwrap_or_else(PoisonError::into_inner);
        graves.drain(..).for_each(Grave::bury);
    }

    fn spawn_child(&self, command: &mut Command) -> Result<Child> {
        let program = command.get_program().to_owned();
        self.in_thread(CloneFlags::CLONE_NEWPID, || command.spawn())?
            .with_context(|| format!("cannot start {} in the farm", program.display()))
    }

    /// Runs `command` in the farm to its end and returns what it said.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn output(&self, command: &mut Command) -> Result<Output> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(self.spawn_child(command)?.wait_with_output()?)
    }

    fn in_thread<T: Send>(&self, more: CloneFlags, work: impl FnOnce() -> T + Send) -> Result<T> {
        let joined = std::thread::scope(|scope| {
            let entered = || self.enter(more).map(|()| work());
            let thread = std::thread::Builder::new().name("farm-inside".into());
            Ok::<_, std::io::Error>(thread.spawn_scoped(scope, entered)?.join())
        });
        match joined.context("cannot start a thread")? {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Moves the calling thread into the namespaces.
    fn enter(&self, more: CloneFlags) -> Result<()> {
        let open = |name: &str| {
            let path = self.namespaces.join(name);
            File::open(&path).with_context(|| format!("cannot open {}", path.display()))
        };
        let (mounts, network) = (open("mnt")?, open("net")?);
        let pids = more.contains(CloneFlags::CLONE_NEWPID).then(|| open("pid_for_children"));
        // A thread with a root and working folder of its own may change its mount namespace.
        unshare(CloneFlags::CLONE_FS).context("cannot leave the shared working folder")?;
        setns(mounts, CloneFlags::CLONE_NEWNS).context("cannot enter the mounts")?;
        setns(network, CloneFlags::CLONE_NEWNET).context("cannot enter the network")?;
        if let Some(pids) = pids {
            setns(pids?, CloneFlags::CLONE_NEWPID).context("cannot enter the pid namespace")?;
        }
        Ok(())
    }
}
