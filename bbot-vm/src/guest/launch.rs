//! From a configuration to a running hypervisor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use super::console_log::ConsoleLog;
use super::exit_status::ExitStatus;
use super::hypervisor::Hypervisor;
use super::monitor_socket::{MONITOR_SOCKET, SocketFile};
use super::watch::Watch;
use crate::command::{self, Backend, Wiring};
use crate::config::GuestConfig;
use crate::error::Error;
use crate::event::GuestEvent;
use crate::network::NetworkAttachment;
use crate::process::{self, Accelerator, Invocation, Process};
use crate::qmp::{self, Reader};

/// The name of the console log within the runtime folder.
const CONSOLE_LOG: &str = "console.log";

/// What a guest needs before its hypervisor is executed.
pub(super) struct Launch {
    pub(super) program: PathBuf,
    accelerator: Accelerator,
    log: ConsoleLog,
    console_path: PathBuf,
    listener: UnixListener,
    monitor_socket: SocketFile,
    /// Our end, and the program's.
    qmp: (UnixStream, UnixStream),
    /// Our end, and the program's.
    console: (UnixStream, UnixStream),
}

/// A hypervisor that was executed, and what belongs to it.
pub(super) struct Launched {
    pub(super) hypervisor: Hypervisor,
    pub(super) accelerator: Accelerator,
    pub(super) executed: Instant,
    pub(super) monitor_socket: SocketFile,
    pub(super) console_path: PathBuf,
}

impl Launch {
    pub(super) fn prepare(config: &GuestConfig) -> Result<Launch, Error> {
        let program = process::find_program(&config.hypervisor)?;
        let runtime_dir = config
            .runtime_dir
            .canonicalize()
            .map_err(Error::io("find runtime folder", &config.runtime_dir))?;
        let console_path = runtime_dir.join(CONSOLE_LOG);
        let log = ConsoleLog::create(&console_path, config.console_limit)
            .map_err(Error::io("create console log", &console_path))?;
        let (listener, monitor_socket) = SocketFile::listen(runtime_dir.join(MONITOR_SOCKET))?;
        let pair = || UnixStream::pair().map_err(Error::io("make a socket pair for", &program));
        let (qmp, console) = (pair()?, pair()?);
        process::give_disk(&config.directory, &config.user)?;
        let accelerator = config.accelerator.unwrap_or_else(|| Accelerator::detect(&config.user));
        Ok(Launch {
            program,
            accelerator,
            log,
            console_path,
            listener,
            monitor_socket,
            qmp,
            console,
        })
    }

    /// Executes the hypervisor, and starts the thread that watches it. `started` is received from
    /// when the guest has started, and closed if it has not.
    pub(super) fn execute(
        self,
        config: &GuestConfig,
        network: NetworkAttachment<'_>,
        started: Receiver<()>,
        events: impl FnMut(GuestEvent) + Send + 'static,
    ) -> Result<Launched, Error> {
        let process = self.spawn(config, network)?;
        let executed = Instant::now();
        // Only the program has the far ends from here on: they are closed when it has ended.
        let Launch { qmp: (qmp, _), console: (console, _), log, .. } = self;
        let watched = watch(process, qmp, &config.name, |process, qmp, exit| {
            let console = Some((console, log));
            Watch { process, console, qmp, exit, started, events }
        });
        Ok(Launched {
            hypervisor: watched.map_err(Error::io("watch", &self.program))?,
            accelerator: self.accelerator,
            executed,
            monitor_socket: self.monitor_socket,
            console_path: self.console_path,
        })
    }

    fn spawn(
        &self,
        config: &GuestConfig,
        network: NetworkAttachment<'_>,
    ) -> Result<Process, Error> {
        let (backend, tap) = backend(network);
        let ends = [self.qmp.1.as_fd(), self.listener.as_fd(), self.console.1.as_fd()];
        let [qmp, monitor, console] = ends.map(|fd| fd.as_raw_fd());
        let wiring = Wiring { backend, qmp, monitor, console };
        let monitor_path = self.monitor_socket.path();
        let arguments = command::arguments(config, self.accelerator, wiring, monitor_path);
        let inherited: Vec<_> = tap.into_iter().chain(ends).collect();
        process::spawn(&Invocation {
            program: Path::new(&self.program),
            arguments: &arguments,
            directory: &config.directory,
            user: &config.user,
            inherited: &inherited,
        })
    }
}

/// Connects to the monitor of a process, and starts the thread that watches it.
pub(super) fn watch<F: FnMut(GuestEvent) + Send + 'static>(
    process: Process,
    monitor: UnixStream,
    name: &str,
    watch: impl FnOnce(Process, Reader, ExitStatus) -> Watch<F>,
) -> io::Result<Hypervisor> {
    let (pid, pidfd) = (process.pid, process.pidfd.try_clone()?);
    let (monitor, reader) = qmp::pair(monitor)?;
    let exit = ExitStatus::default();
    let thread = Some(watch(process, reader, exit.clone()).spawn(name)?);
    Ok(Hypervisor { pid, pidfd, monitor, exit, thread })
}

fn backend(network: NetworkAttachment<'_>) -> (Backend, Option<BorrowedFd<'_>>) {
    match network {
        NetworkAttachment::None => (Backend::None, None),
        NetworkAttachment::User => (Backend::User, None),
        NetworkAttachment::Tap(tap) => (Backend::Tap(tap.as_raw_fd()), Some(tap)),
    }
}
