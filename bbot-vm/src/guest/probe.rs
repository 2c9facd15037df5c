//! Finds out whether the host can run guests.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use super::hypervisor::Hypervisor;
use super::launch;
use super::watch::Watch;
use crate::command;
use crate::error::Error;
use crate::process::{self, Accelerator, Invocation, VmUser};

/// From exec to a running guest. There is no disk to be opened: it takes some 50 ms.
const START_LIMIT: Duration = Duration::from_secs(20);
/// From the command to quit to the end of the process. It takes some 10 ms.
const QUIT_LIMIT: Duration = Duration::from_secs(10);
/// What the process is marked with, within the runtime folder, so that a sweep finds it.
const MARK: &str = "probe";

/// Finds out whether the host can run guests: by one that has neither disk nor network, and is
/// ended as soon as it runs.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The QEMU program: a path, or a name that is looked up in `PATH`.
    pub hypervisor: PathBuf,
    /// The user that guests run as.
    pub user: VmUser,
    /// An existing folder; [`sweep`](crate::sweep()) with this folder, or one above it, ends a
    /// guest that outlives its caller.
    pub runtime_dir: PathBuf,
}

impl Probe {
    /// Runs a guest by `accelerator`. It takes some 100 ms.
    ///
    /// # Errors
    ///
    /// If the program cannot be executed, does not start the guest, or does not end in order: with
    /// what it wrote to standard error.
    pub fn run(&self, accelerator: Accelerator) -> Result<(), Error> {
        let program = process::find_program(&self.hypervisor)?;
        let runtime_dir = self.runtime_dir.canonicalize();
        let runtime_dir =
            runtime_dir.map_err(Error::io("find runtime folder", &self.runtime_dir))?;
        let pair = UnixStream::pair().map_err(Error::io("make a socket pair for", &program))?;
        let (ours, theirs) = pair;
        let mark = runtime_dir.join(MARK);
        let arguments = command::probe_arguments(accelerator, theirs.as_raw_fd(), &mark);
        let process = process::spawn(&Invocation {
            program: &program,
            arguments: &arguments,
            directory: "/".as_ref(),
            user: &self.user,
            inherited: &[theirs.as_fd()],
        })?;
        // Only the program has it from here on: it is closed when the program has ended.
        drop(theirs);
        // Its events are of no interest.
        let (_, started) = mpsc::channel();
        let watched = launch::watch(process, ours, MARK, |process, qmp, exit| Watch {
            process,
            console: None,
            qmp,
            exit,
            started,
            events: drop,
        });
        let hypervisor = watched.map_err(Error::io("watch", &program))?;
        run_to_end(hypervisor, program)
    }
}

fn run_to_end(mut hypervisor: Hypervisor, program: PathBuf) -> Result<(), Error> {
    let running = hypervisor.handshake(START_LIMIT).and_then(|()| hypervisor.is_running());
    match running {
        Ok(true) => hypervisor.quit(QUIT_LIMIT).map(drop),
        Ok(false) => Err(Error::Stalled { program }),
        Err(source) => {
            let exit = hypervisor.end_failed_start(&source)?;
            Err(Error::Start { program, source, exit })
        }
    }
}
