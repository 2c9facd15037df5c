//! Programs that the agent runs to their end, with a clean environment, a time limit and bounded
//! output.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// The PATH if the agent's own environment has none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns a command that runs `program` independently of the agent's environment: only PATH is
/// kept, messages are in English, there is no input, and it has a process group of its own, so that
/// Ctrl-C does not reach it and it can be killed with all its children.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()))
        .env("LANG", "C")
        .stdin(Stdio::null())
        .process_group(0);
    command
}

/// The outcome of a program.
#[derive(Debug)]
pub(crate) struct Output {
    /// Its exit status.
    pub(crate) status: ExitStatus,
    /// What it wrote to its standard output.
    pub(crate) stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub(crate) stderr: Vec<u8>,
}

/// Why a program did not run to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    /// It could not be started.
    #[error("cannot start {}", program.display())]
    Start { program: PathBuf, source: io::Error },
    /// Its input or output failed.
    #[error("cannot communicate with {}", program.display())]
    Io { program: PathBuf, source: io::Error },
    /// It ran longer than the limit.
    #[error("{} did not end within {limit:?}", program.display())]
    Timeout { program: PathBuf, limit: Duration },
    /// It wrote more bytes than the limit.
    #[error("{} wrote more than {limit} bytes", program.display())]
    Output { program: PathBuf, limit: usize },
}

/// Runs the command to its end: writes `stdin` to it, and collects at most `max_output` bytes of
/// each of its outputs. A program that runs longer than `limit`, or writes more, is killed with its
/// children.
pub(crate) fn run(
    mut command: Command,
    stdin: &[u8],
    limit: Duration,
    max_output: usize,
) -> Result<Output, SpawnError> {
    let deadline = Instant::now() + limit;
    let program = PathBuf::from(command.get_program());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(source) => return Err(SpawnError::Start { program, source }),
    };
    let running = Running::new(&child);
    let outcome = Communication::new(&mut child, stdin, max_output).and_then(|mut pipes| {
        let end = pipes.run(deadline)?;
        Ok((end, pipes.stdout.bytes, pipes.stderr.bytes))
    });
    if !matches!(outcome, Ok((End::Exited, ..))) {
        kill(&child);
    }
    // Before it is waited for, its pid is not reused.
    drop(running);
    let waited = child.wait();
    match (outcome, waited) {
        (Ok((End::Exited, stdout, stderr)), Ok(status)) => Ok(Output { status, stdout, stderr }),
        (Ok((End::Timeout, ..)), _) => Err(SpawnError::Timeout { program, limit }),
        (Ok((End::TooMuchOutput, ..)), _) => Err(SpawnError::Output { program, limit: max_output }),
        (Err(source), _) | (_, Err(source)) => Err(SpawnError::Io { program, source }),
    }
}

/// The process groups of the programs that run now.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

fn running() -> MutexGuard<'static, Vec<Pid>> {
    // A panic elsewhere leaves a valid list.
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A program that [`kill_all`] kills, until this is dropped.
#[derive(Debug)]
struct Running(Option<Pid>);

impl Running {
    fn new(child: &Child) -> Self {
        let group = group(child);
        running().extend(group);
        Self(group)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        running().retain(|group| Some(*group) != self.0);
    }
}

/// Kills every running program, with its children; the agent is about to end.
pub(crate) fn kill_all() {
    for group in running().iter() {
        // It fails only if the group does not exist any more.
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

/// Kills the child, which has not been waited for, and its group.
fn kill(child: &Child) {
    if let Some(group) = group(child) {
        // It fails only if the group does not exist any more.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Returns the process group that the child leads.
fn group(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// How the communication with a program ended.
#[derive(Debug)]
enum End {
    Exited,
    Timeout,
    TooMuchOutput,
}

fn set_nonblocking(pipe: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(pipe, FcntlArg::F_GETFL)?);
    fcntl(pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// The three pipes to a program, and its exit.
#[derive(Debug)]
struct Communication<'a> {
    stdin: Option<ChildStdin>,
    unsent: &'a [u8],
    stdout: Collected<ChildStdout>,
    stderr: Collected<ChildStderr>,
    exit: OwnedFd,
    exited: bool,
}

impl<'a> Communication<'a> {
    fn new(child: &mut Child, unsent: &'a [u8], max_output: usize) -> io::Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let exit = pidfd_open(pid.ok_or(io::ErrorKind::InvalidData)?, PidfdFlags::empty())?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        for pipe in [
            stdin.as_ref().map(AsFd::as_fd),
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
        ] {
            set_nonblocking(pipe.ok_or(io::ErrorKind::BrokenPipe)?)?;
        }
        Ok(Self {
            stdin,
            unsent,
            stdout: Collected { pipe: stdout, bytes: Vec::new(), max: max_output },
            stderr: Collected { pipe: stderr, bytes: Vec::new(), max: max_output },
            exit,
            exited: false,
        })
    }

    /// Communicates until the program has ended and all of its output is read.
    fn run(&mut self, deadline: Instant) -> io::Result<End> {
        loop {
            self.send()?;
            if !self.stdout.read()? || !self.stderr.read()? {
                return Ok(End::TooMuchOutput);
            }
            if self.exited && self.stdout.pipe.is_none() && self.stderr.pipe.is_none() {
                return Ok(End::Exited);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(End::Timeout);
            }
            self.wait(left)?;
        }
    }

    /// Waits until a pipe is ready or the program has ended, for `left` at most.
    fn wait(&mut self, left: Duration) -> io::Result<()> {
        let mut fds = Vec::with_capacity(4);
        fds.extend(self.stdin.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)));
        fds.extend(
            self.stdout.pipe.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)),
        );
        fds.extend(
            self.stderr.pipe.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)),
        );
        if !self.exited {
            fds.push(PollFd::new(self.exit.as_fd(), PollFlags::POLLIN));
        }
        // After a signal the caller tries again.
        match ppoll(&mut fds, Some(TimeSpec::from_duration(left)), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let watched = !self.exited;
        let is_exited = watched && fds.last().and_then(PollFd::any) == Some(true);
        self.exited |= is_exited;
        Ok(())
    }

    /// Writes what fits into the pipe; closes it at the end of the input, or if the program has.
    fn send(&mut self) -> io::Result<()> {
        while let Some(pipe) = &mut self.stdin {
            match pipe.write(self.unsent) {
                Ok(count) if count < self.unsent.len() => self.unsent = &self.unsent[count..],
                Ok(_) => self.stdin = None,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::BrokenPipe => self.stdin = None,
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }
}

/// One output of a program.
#[derive(Debug)]
struct Collected<T> {
    pipe: Option<T>,
    bytes: Vec<u8>,
    max: usize,
}

impl<T: Read> Collected<T> {
    /// Reads the available bytes; returns false if there are more than `max` in all.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) if self.bytes.len() + count > self.max => return Ok(false),
                Ok(count) => self.bytes.extend_from_slice(&buffer[..count]),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use nix::fcntl::open;
    use nix::sys::stat::Mode;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = command(Path::new("sh"));
        command.args(["-c", script]);
        command
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn returns_status_and_both_outputs() {
        let output = run(shell("cat; echo oops >&2; exit 3"), b"in\0put", LONG, 100).unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(output.stdout, b"in\0put");
        assert_eq!(output.stderr, b"oops\n");
    }

    /// Input and output that do not fit into the pipes are transferred at the same time.
    #[test]
    fn large_input_and_output_do_not_block_each_other() {
        let input = vec![b'x'; 1 << 20];
        let output = run(shell("cat"), &input, LONG, 1 << 20).unwrap();
        assert_eq!(output.stdout, input);
    }

    #[test]
    fn a_program_that_does_not_read_is_no_error() {
        let output = run(shell("exec 0<&-; echo done"), &vec![b'x'; 1 << 20], LONG, 100).unwrap();
        assert_eq!(output.stdout, b"done\n");
    }

    #[test]
    fn the_environment_is_cleared() {
        let output = run(command(Path::new("env")), b"", LONG, 10_000).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut names: Vec<&str> =
            text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        names.sort_unstable();
        assert_eq!(names, ["LANG", "PATH"]);
    }

    #[test]
    fn a_program_has_a_process_group_of_its_own() {
        let output = run(shell("ps -o pgid= -p $$; echo $$"), b"", LONG, 100).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let numbers: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(numbers[0], numbers[1]);
    }

    #[test]
    fn a_late_program_is_killed() {
        let error = run(shell("exec sleep 1000"), b"", Duration::from_millis(50), 100).unwrap_err();
        assert_eq!(error.to_string(), "sh did not end within 50ms");
    }

    /// The FIFO has no writer any more when the program's own child has ended.
    #[test]
    fn children_of_a_killed_program_die_too() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = run(shell(&format!("mkfifo {}", fifo.display())), b"", LONG, 100).unwrap();
        assert!(made.status.success());
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let reader = open(&fifo, flags, Mode::empty()).unwrap();
        let script = format!("exec 3>{}; sleep 1000 >/dev/null 2>&1 & yes", fifo.display());
        let error = run(shell(&script), b"", LONG, 10_000).unwrap_err();
        assert!(matches!(error, SpawnError::Output { .. }), "{error:?}");
        let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        let ready = ppoll(&mut fds, Some(TimeSpec::from_duration(LONG)), None).unwrap();
        assert_eq!(ready, 1, "a process still has the FIFO open");
        assert!(fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)));
    }

    #[test]
    fn endless_output_is_cut_off() {
        for script in ["yes", "yes >&2"] {
            let error = run(shell(script), b"", LONG, 10_000).unwrap_err();
            assert_eq!(error.to_string(), "sh wrote more than 10000 bytes");
        }
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(command(Path::new("/no/such/program")), b"", LONG, 1).unwrap_err();
        assert_eq!(error.to_string(), "cannot start /no/such/program");
    }
}
