//! The hypervisors that a killed process of an instance has left.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use crate::command;
use crate::error::Error;
use crate::process::{self, KILL_LIMIT};

/// How much of a process's command line is read, in bytes. The mark comes before the words that a
/// machine's options add.
const COMMAND_LINE_MAX: u64 = 1 << 20;

/// Kills the hypervisors that are marked with a monitor beneath `runtime_dir`: first all of them,
/// then it waits for each. Returns their numbers.
pub(super) fn kill(runtime_dir: &Path) -> Result<Vec<i32>, Error> {
    let failed = Error::io("read process list", "/proc");
    // The path that marks a process is a resolved one. A folder that cannot be resolved is not the
    // one in which a guest was started.
    let Ok(runtime_dir) = runtime_dir.canonicalize() else { return Ok(Vec::new()) };
    let mut killed = Vec::new();
    for entry in fs::read_dir("/proc").map_err(&failed)? {
        let name = entry.map_err(&failed)?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { continue };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // The process has ended meanwhile.
            Err(Errno::SRCH | Errno::INVAL) => continue,
            Err(error) => return Err(failed(error.into())),
        };
        // The pidfd stands for the process that had the number when it was opened. If another
        // process has the number by now, the signal goes to the one that has ended.
        if is_marked(pid, &runtime_dir) {
            process::signal(pidfd.as_fd(), Signal::KILL);
            killed.push((pid, pidfd));
        }
    }
    for (pid, pidfd) in &killed {
        if !process::wait_readable(pidfd.as_fd(), KILL_LIMIT) {
            return Err(Error::StillAlive { pid: pid.as_raw_nonzero().get(), limit: KILL_LIMIT });
        }
    }
    Ok(killed.iter().map(|(pid, _)| pid.as_raw_nonzero().get()).collect())
}

fn is_marked(pid: Pid, runtime_dir: &Path) -> bool {
    // A command line that cannot be read is that of a process that has ended, or none of ours.
    let Ok(arguments) = read_command_line(pid) else { return false };
    let marked = command::marked_monitor(arguments.split(|&byte| byte == 0));
    // By whole components: `public-1` is not beneath `public-10`, nor the reverse.
    marked.is_some_and(|monitor| monitor.starts_with(runtime_dir))
}

/// The crate `procfs` would read without a limit, and refuse a path that is not UTF-8.
fn read_command_line(pid: Pid) -> io::Result<Vec<u8>> {
    let file = File::open(format!("/proc/{}/cmdline", pid.as_raw_nonzero()))?;
    let mut arguments = Vec::new();
    file.take(COMMAND_LINE_MAX).read_to_end(&mut arguments)?;
    Ok(arguments)
}
