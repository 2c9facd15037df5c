//! Starting a program that is traced.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::sys::ptrace;

/// Starts a program that the calling thread traces: it stops after its own `execve`.
#[expect(unsafe_code, reason = "a child must ask for it between fork and exec")]
pub(super) fn spawn_traced(command: &mut Command) -> io::Result<Child> {
    // SAFETY: the closure makes one system call, which is allowed between fork and exec.
    unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
    command.spawn()
}
