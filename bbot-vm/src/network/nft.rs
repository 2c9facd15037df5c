//! Runs the program `nft`.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags};

use crate::process;

/// From exec to exit. `nft` takes some 10 ms, unless it waits for another `nft` of the host.
const NFT_LIMIT: Duration = Duration::from_secs(30);
/// How much of each output of `nft` is read, in bytes.
const OUTPUT_MAX: u64 = 1 << 20;
/// Where distributions install the program. Our own `PATH` does not count.
const PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";
/// What `nft` wrote, and how it ended.
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs `nft` with `script` as its standard input.
///
/// Its streams are files in memory, not pipes: neither process ever waits for the other to read or
/// to write.
pub(super) fn run(arguments: &[&str], script: &str) -> io::Result<Output> {
    let memory = || memfd_create("bbot-nft", MFdFlags::MFD_CLOEXEC).map(File::from);
    let (mut stdin, mut stdout, mut stderr) = (memory()?, memory()?, memory()?);
    stdin.write_all(script.as_bytes())?;
    stdin.rewind()?;
    let mut command = Command::new("nft");
    command.args(arguments).env_clear().env("PATH", PATH);
    command.stdin(stdin).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let status = wait(command.spawn()?)?;
    Ok(Output { status, stdout: text(&mut stdout)?, stderr: text(&mut stderr)? })
}

fn wait(mut child: Child) -> io::Result<ExitStatus> {
    let pidfd = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
    let ended = pidfd.map(|pidfd| process::wait_readable(pidfd.as_fd(), NFT_LIMIT));
    if let Ok(true) = ended {
        return child.wait();
    }
    child.kill()?;
    child.wait()?;
    Err(ended.err().map_or_else(|| io::ErrorKind::TimedOut.into(), io::Error::from))
}

fn text(memory: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    memory.rewind()?;
    memory.take(OUTPUT_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
