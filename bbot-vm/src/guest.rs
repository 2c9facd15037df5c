//! One running guest.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use qapi::qmp;
use rustix::process::{Pid, Signal};

use crate::Error;
use crate::accelerator::Accelerator;
use crate::command::{self, Wiring};
use crate::config::{GuestConfig, VncAddress, is_unfit};
use crate::console::ConsoleLog;
use crate::network::Network;
use crate::process::{self, KILL_LIMIT};
use crate::qmp::{self as protocol, Client, QmpError};
use crate::watch::{Exit, Watch};

/// The operator's monitor, within the runtime folder.
pub(crate) const MONITOR_SOCKET: &str = "monitor.sock";
/// The console log, within the runtime folder.
const CONSOLE_LOG: &str = "console.log";
/// From exec to a running guest. It takes some 50 ms on an idle host.
const START_LIMIT: Duration = Duration::from_secs(60);
/// From a monitor command to its answer.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);
/// The longest path in a `struct sockaddr_un`, without its terminating NUL.
const SOCKET_PATH_MAX: usize = 107;

/// One running guest. Dropped, it is killed.
#[derive(Debug)]
pub struct Guest {
    pid: Pid,
    pidfd: OwnedFd,
    monitor: Client,
    exit: Exit,
    thread: Option<JoinHandle<()>>,
    mac: String,
    vnc: VncAddress,
    accelerator: Accelerator,
    executed: Instant,
    monitor_socket: SocketFile,
    console_path: PathBuf,
}

/// What happens to a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuestEvent {
    /// The hypervisor is gone. This comes once, and is the last event.
    Exited(GuestExit),
    /// The guest was shut down, by itself or from outside; the hypervisor is about to end.
    Shutdown,
    /// The guest's processors stand still.
    Stopped,
    /// The guest's processors run again.
    Resumed,
    /// Something else that QEMU tells, by its name there.
    Other {
        /// The event's name in the machine protocol.
        name: String,
    },
}

impl GuestEvent {
    pub(crate) fn named(name: String) -> GuestEvent {
        match name.as_str() {
            "SHUTDOWN" => GuestEvent::Shutdown,
            "STOP" => GuestEvent::Stopped,
            "RESUME" => GuestEvent::Resumed,
            _ => GuestEvent::Other { name },
        }
    }
}

/// How the hypervisor ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestExit {
    /// Its exit code, if it exited by itself.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// The end of what it wrote to standard error.
    pub stderr: String,
}

impl fmt::Display for GuestExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}")?,
            (None, Some(signal)) => write!(f, "ended by signal {signal}")?,
            (None, None) => f.write_str("ended in an unknown way")?,
        }
        let stderr = self.stderr.trim_end();
        if stderr.is_empty() { Ok(()) } else { write!(f, ": {stderr}") }
    }
}

impl Guest {
    /// Starts a guest on the tap of `network`.
    ///
    /// When this returns, the guest's processors run, and its screen can be connected to. From then
    /// on `events` is called on the guest's own thread; it must not panic, nor wait for anything,
    /// least of all for this guest. If the start fails, it is never called.
    ///
    /// # Errors
    ///
    /// If the configuration cannot work, if something of it cannot be prepared, or if the
    /// hypervisor does not get its guest running: then with what it said on standard error.
    pub fn start(
        config: &GuestConfig,
        network: &Network,
        events: impl FnMut(GuestEvent) + Send + 'static,
    ) -> Result<Guest, Error> {
        config.check()?;
        let launch = Launch::prepare(config)?;
        let program = launch.program.clone();
        let (has_started, started) = mpsc::channel();
        let mut guest = launch.execute(config, network, started, events)?;
        // The greeting alone says little: QEMU greets before it binds the screen's port. It answers
        // the handshake's command only when all of it is there.
        match guest.monitor.handshake(START_LIMIT) {
            Ok(()) => {
                // The thread has the other end until it has told the guest's end. An error means
                // that it panicked, as it has said itself.
                let _ = has_started.send(());
                Ok(guest)
            }
            Err(source) => {
                drop(has_started);
                let exit = guest.end_of_failed_start(&source)?;
                Err(Error::Start { program, source, exit })
            }
        }
    }

    /// Returns the number of the hypervisor's process.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Returns the MAC address of the guest's interface.
    pub fn mac(&self) -> &str {
        &self.mac
    }

    /// Returns where the guest's screen is shown.
    pub fn vnc(&self) -> VncAddress {
        self.vnc
    }

    /// Returns what the guest runs on.
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    /// Returns when the hypervisor was executed.
    pub fn executed(&self) -> Instant {
        self.executed
    }

    /// Returns the path of the operator's monitor: a unix socket that takes QEMU's human commands,
    /// such as `cont` and `quit`. It is removed with the guest.
    pub fn monitor_path(&self) -> &Path {
        &self.monitor_socket.0
    }

    /// Returns the path of the console log: the end of what the guest wrote to its serial port, as
    /// it wrote it. It stays when the guest is gone.
    pub fn console_path(&self) -> &Path {
        &self.console_path
    }

    /// Presses the guest's power button; what follows is the guest's decision.
    ///
    /// # Errors
    ///
    /// If the hypervisor does not take the command.
    pub fn power_down(&mut self) -> Result<(), Error> {
        self.command("system_powerdown", qmp::system_powerdown {})
    }

    /// Stops the guest's processors. Its memory, disk and screen stay.
    ///
    /// # Errors
    ///
    /// If the hypervisor does not take the command.
    pub fn suspend(&mut self) -> Result<(), Error> {
        self.command("stop", qmp::stop {})
    }

    /// Lets the guest's processors run again.
    ///
    /// # Errors
    ///
    /// If the hypervisor does not take the command.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.command("cont", qmp::cont {})
    }

    /// Waits for the hypervisor's end. Returns nothing if it does not come within `limit`.
    pub fn wait(&self, limit: Duration) -> Option<GuestExit> {
        self.exit.wait(limit)
    }

    /// Ends the guest without asking it: the hypervisor is told to quit, and killed if it has not
    /// done so within `limit`. When this returns, the disk image is at rest.
    ///
    /// # Errors
    ///
    /// If the hypervisor survives even that.
    pub fn force_down(mut self, limit: Duration) -> Result<GuestExit, Error> {
        let deadline = Instant::now() + limit;
        // However it refuses, the answer is the same: SIGKILL.
        if let Err(error) = self.monitor.execute(qmp::quit {}, limit) {
            log::debug!("guest {} is killed: quit failed: {error}", self.pid());
            return self.kill();
        }
        match self.exit.wait(deadline.saturating_duration_since(Instant::now())) {
            Some(exit) => Ok(exit),
            None => self.kill(),
        }
    }

    fn end_of_failed_start(mut self, cause: &QmpError) -> Result<GuestExit, Error> {
        // A closed monitor is the sign of a process that ends, and its exit code is worth the wait.
        let ending = matches!(cause, QmpError::Closed);
        match ending.then(|| self.exit.wait(COMMAND_LIMIT)).flatten() {
            Some(exit) => Ok(exit),
            None => self.kill(),
        }
    }

    fn command<C: qapi::Command>(&mut self, name: &'static str, command: C) -> Result<(), Error> {
        let answer = self.monitor.execute_untyped(command, COMMAND_LIMIT);
        answer.map(drop).map_err(|source| Error::Qmp { command: name, source })
    }

    fn kill(&mut self) -> Result<GuestExit, Error> {
        process::signal(self.pidfd.as_fd(), Signal::KILL);
        let survived = || Error::StillAlive { pid: self.pid(), limit: KILL_LIMIT };
        self.exit.wait(KILL_LIMIT).ok_or_else(survived)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let ended = self.exit.wait(Duration::ZERO).is_some() || self.kill().is_ok();
        // A thread whose process survived SIGKILL would be waited for without limit. One that
        // panicked has said so already.
        if let Some(thread) = self.thread.take().filter(|_| ended) {
            drop(thread.join());
        }
    }
}

/// All that a guest needs before its hypervisor is executed.
struct Launch {
    program: PathBuf,
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

impl Launch {
    fn prepare(config: &GuestConfig) -> Result<Launch, Error> {
        let program = process::find_program(&config.hypervisor)?;
        let runtime_dir = config
            .runtime_dir
            .canonicalize()
            .map_err(io_error("find runtime folder", &config.runtime_dir))?;
        let console_path = runtime_dir.join(CONSOLE_LOG);
        let log = ConsoleLog::create(&console_path, config.console_limit)
            .map_err(io_error("create console log", &console_path))?;
        let (listener, monitor_socket) = SocketFile::listen(runtime_dir.join(MONITOR_SOCKET))?;
        let pair = || UnixStream::pair().map_err(io_error("make a socket pair for", &program));
        let (qmp, console) = (pair()?, pair()?);
        process::give_disk(&config.directory, &config.user)?;
        let accelerator = Accelerator::detect(&config.user);
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

    fn execute(
        self,
        config: &GuestConfig,
        network: &Network,
        started: mpsc::Receiver<()>,
        events: impl FnMut(GuestEvent) + Send + 'static,
    ) -> Result<Guest, Error> {
        let inherited =
            [network.tap(), self.qmp.1.as_fd(), self.listener.as_fd(), self.console.1.as_fd()];
        let [tap, qmp, monitor, console] = inherited.map(|fd| fd.as_raw_fd());
        let wiring = Wiring { tap, qmp, monitor, console };
        let arguments =
            command::arguments(config, self.accelerator, wiring, &self.monitor_socket.0);
        let process = process::spawn(&self.program, &arguments, config, &inherited)?;
        let executed = Instant::now();
        // The far ends are the program's alone from here: when it is gone, so are they.
        let Launch { qmp: (qmp, _), console: (console, _), log, .. } = self;
        let failed = io_error("watch", &self.program);
        let (pid, pidfd) = (process.pid, process.pidfd.try_clone());
        let watched = pidfd.and_then(|pidfd| {
            let (monitor, reader) = protocol::pair(qmp)?;
            let exit = Exit::default();
            let watch =
                Watch { process, console, log, qmp: reader, exit: exit.clone(), started, events };
            Ok((pidfd, monitor, exit, watch.spawn(&config.name)?))
        });
        let (pidfd, monitor, exit, thread) = watched.map_err(failed)?;
        Ok(Guest {
            pid,
            pidfd,
            monitor,
            exit,
            thread: Some(thread),
            mac: config.mac.clone(),
            vnc: config.vnc,
            accelerator: self.accelerator,
            executed,
            monitor_socket: self.monitor_socket,
            console_path: self.console_path,
        })
    }
}

/// A unix socket's file, removed when this is dropped.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl SocketFile {
    /// Listens at `path`, in place of a socket that an earlier process left there.
    fn listen(path: PathBuf) -> Result<(UnixListener, SocketFile), Error> {
        let refused = |reason| {
            let value = path.display().to_string();
            Err(Error::Config { what: "monitor socket", value, reason })
        };
        if path.as_os_str().len() > SOCKET_PATH_MAX {
            return refused("is longer than 107 bytes");
        }
        if path.to_string_lossy().contains(is_unfit) {
            return refused("has a control character");
        }
        remove_socket(&path).map_err(io_error("remove socket", &path))?;
        let listener = UnixListener::bind(&path).map_err(io_error("listen at", &path))?;
        Ok((listener, SocketFile(path)))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = remove_socket(&self.0) {
            log::debug!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// Removes the socket at `path`. Returns whether there was one.
pub(crate) fn remove_socket(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => {
            std::fs::remove_file(path).map(|()| true)
        }
        // What else bears the name is not ours; whoever wants the name will say so.
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn io_error(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { operation, path: path.clone(), source }
}
