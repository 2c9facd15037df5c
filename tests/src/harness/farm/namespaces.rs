//! Entering a farm: closures run in its namespaces, processes started in them.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns, unshare};

use super::layout;
use super::process::{ChildHandle, Process};

/// A farm's namespaces, and the processes that were started in them.
#[derive(Debug, Clone)]
pub struct Namespaces {
    /// `/proc/<holder>/ns`: the holder is a child that was not waited for, so its pid is its own.
    folder: PathBuf,
    scratch: PathBuf,
    children: Arc<Mutex<Vec<ChildHandle>>>,
}

impl Namespaces {
    pub(super) fn of_holder(holder: u32, scratch: &Path) -> Namespaces {
        let folder = PathBuf::from(format!("/proc/{holder}/ns"));
        Namespaces { folder, scratch: scratch.to_owned(), children: Arc::default() }
    }

    /// Runs `work` in a thread in the farm's mount and network namespaces, and returns its result.
    /// Sockets and files that it opens stay in the farm.
    ///
    /// # Errors
    /// If the namespaces cannot be entered.
    ///
    /// # Panics
    /// As `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.in_thread(CloneFlags::empty(), work)
    }

    /// A command to run in the farm: with a clean environment that names the farm.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        command.env(layout::ENVIRONMENT, &self.scratch).process_group(0).stdin(Stdio::null());
        command
    }

    /// Starts `command` as a process of the farm.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(&self, command: &mut Command) -> Result<Process> {
        let process = Process::new(self.spawn_child(command)?)?;
        self.children.lock().unwrap_or_else(PoisonError::into_inner).push(process.handle());
        Ok(process)
    }

    /// Waits for every process that was started here; they have been killed before.
    pub(super) fn reap_all(&self) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.drain(..).for_each(ChildHandle::reap);
    }

    fn spawn_child(&self, command: &mut Command) -> Result<Child> {
        let program = command.get_program().to_owned();
        self.in_thread(CloneFlags::CLONE_NEWPID, || command.spawn())?
            .with_context(|| format!("cannot start {} in the farm", program.display()))
    }

    /// Runs `command` in the farm to its end and returns its output.
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
            let path = self.folder.join(name);
            File::open(&path).with_context(|| format!("cannot open {}", path.display()))
        };
        let (mounts, network) = (open("mnt")?, open("net")?);
        let pids = more.contains(CloneFlags::CLONE_NEWPID).then(|| open("pid_for_children"));
        // Only a thread that shares its root and working folder with no other may change its
        // mount namespace.
        unshare(CloneFlags::CLONE_FS).context("cannot leave the shared working folder")?;
        setns(mounts, CloneFlags::CLONE_NEWNS).context("cannot enter the mounts")?;
        setns(network, CloneFlags::CLONE_NEWNET).context("cannot enter the network")?;
        if let Some(pids) = pids {
            setns(pids?, CloneFlags::CLONE_NEWPID).context("cannot enter the pid namespace")?;
        }
        Ok(())
    }
}
