//! Runs a program and counts its effects; kills it at one of them, or makes one fail.
//!
//! The program is the shipped one, without any hooks. Its children are not traced.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

use super::effect::Call;
use super::sys;

/// What to trace, and what to do.
#[derive(Debug, Default)]
pub struct TraceOptions {
    /// The effect, counted from 1, before which the program is killed.
    pub kill: Option<u64>,
    /// The effect, as the log has it, that fails once with `EIO` instead of taking place.
    pub fail: Option<String>,
    /// The log, to which every effect is written before it takes place, one a line.
    pub log: Option<PathBuf>,
    /// The program and its arguments.
    pub command: Vec<OsString>,
}

/// Runs the program to its end; returns its exit code, as a shell does (128 + signal).
///
/// The program is killed if this process ends. SIGTERM to this process kills the program.
///
/// # Errors
/// If the program cannot be started or traced.
pub fn trace(options: &TraceOptions) -> Result<ExitCode> {
    let (program, arguments) = options.command.split_first().context("no program")?;
    let mut signals = Signals::new([SIGTERM])?;
    let mut command = Command::new(program);
    let child = sys::spawn_traced(command.args(arguments)).context("cannot start the program")?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in signals.forever() {
            // It fails only if the program has ended, as intended.
            let _ = kill(pid, Signal::SIGKILL);
        }
    })?;
    let log = options.log.as_ref().map(File::create).transpose().context("no log")?;
    let (kill, fail) = (options.kill, options.fail.clone());
    let known = HashSet::new();
    Tracer { pid, known, count: 0, kill, fail, failing: None, log }.follow()
}

struct Tracer {
    pid: Pid,
    known: HashSet<Pid>,
    count: u64,
    kill: Option<u64>,
    fail: Option<String>,
    /// The thread whose call fails.
    failing: Option<Pid>,
    log: Option<File>,
}

impl Tracer {
    fn follow(mut self) -> Result<ExitCode> {
        loop {
            match waitpid(None, Some(WaitPidFlag::__WALL)).context("cannot wait")? {
                WaitStatus::Exited(pid, code) if pid == self.pid => {
                    return Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from));
                }
                WaitStatus::Signaled(pid, signal, _) if pid == self.pid => {
                    let code = u8::try_from(128 + signal as i32);
                    return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
                }
                WaitStatus::PtraceSyscall(thread) => {
                    self.handle_call(thread)?;
                    proceed(thread, None)?;
                }
                WaitStatus::PtraceEvent(thread, ..) => proceed(thread, None)?,
                WaitStatus::Stopped(thread, signal) => self.pass_on(thread, signal)?,
                // A thread has ended.
                _ => {}
            }
        }
    }

    /// The first stop of the program and of each of its threads comes from tracing; other signals
    /// are passed on.
    fn pass_on(&mut self, thread: Pid, signal: Signal) -> Result<()> {
        if !self.known.insert(thread) {
            return proceed(thread, Some(signal));
        }
        if thread == self.pid {
            let options = Options::PTRACE_O_TRACESYSGOOD
                | Options::PTRACE_O_TRACECLONE
                | Options::PTRACE_O_EXITKILL;
            ptrace::setoptions(thread, options).context("cannot trace")?;
        }
        proceed(thread, None)
    }

    /// Handles the begin or end of a system call.
    fn handle_call(&mut self, thread: Pid) -> Result<()> {
        if self.failing.take_if(|failing| *failing == thread).is_some() {
            let error = -i64::from(libc::EIO);
            return change(thread, |registers| registers.rax = error.cast_unsigned());
        }
        let Some(effect) = call(thread).and_then(|call| call.effect()) else { return Ok(()) };
        self.count += 1;
        if let Some(log) = &mut self.log {
            writeln!(log, "{} {effect}", self.count)?;
        }
        if self.fail.take_if(|fail| *fail == effect).is_some() {
            // A call with this number does not exist, so the kernel does nothing.
            change(thread, |registers| registers.orig_rax = u64::MAX)?;
            self.failing = Some(thread);
        }
        if self.kill == Some(self.count) {
            kill(self.pid, Signal::SIGKILL).context("cannot kill")?;
        }
        Ok(())
    }
}

/// The call that a thread is about to make; `None` if it returns from one, or is being killed.
fn call(thread: Pid) -> Option<Call> {
    let info = ptrace::syscall_info(thread).ok()?;
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return None;
    }
    let registers = ptrace::getregs(thread).ok()?;
    Some(Call {
        thread,
        number: i64::try_from(registers.orig_rax).ok()?,
        arguments: [
            registers.rdi,
            registers.rsi,
            registers.rdx,
            registers.r10,
            registers.r8,
            registers.r9,
        ],
    })
}

/// Changes the registers of a thread that is stopped at a call.
fn change(thread: Pid, change: impl FnOnce(&mut libc::user_regs_struct)) -> Result<()> {
    let mut registers = ptrace::getregs(thread).context("cannot read registers")?;
    change(&mut registers);
    ptrace::setregs(thread, registers).context("cannot change registers")
}

/// Continues a thread until its next call.
fn proceed(thread: Pid, signal: Option<Signal>) -> Result<()> {
    match ptrace::syscall(thread, signal) {
        // It is being killed.
        Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
        Err(errno) => Err(errno).context("cannot let the program go on"),
    }
}
