//! The holder: the process that owns a farm's namespaces and removes everything at the end.
//!
//! ```text
//! owner (test, demo) --pipe--> holder (own mount and network namespace) --> init (pid namespace)
//! ```
//!
//! The holder waits for the end of its standard input, which comes when the owner ends, however
//! that happens. It then kills the init, and with it the kernel kills every process of the pid
//! namespace; unmounts the volume; removes the scratch folder. If the holder itself is killed, the
//! kernel kills init, and the namespaces end with their last process; only the scratch folder is
//! left, for a later farm to sweep.

use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::layout;
use super::scratch::{self, Scratch};

/// What the owner writes to the holder to make the farm outlive it.
pub(super) const KEEP: u8 = b'k';
/// The volume's size in bytes; the file is sparse.
const VOLUME_BYTES: u64 = 32 << 30;

/// Makes a farm below `base`, announces it in one line on standard output, and holds it until
/// standard input ends or a signal arrives.
///
/// # Errors
/// If a part of the farm cannot be made or removed; what was made until then is removed.
pub fn hold(base: &Path) -> Result<()> {
    let own = std::env::current_exe().context("cannot tell the path of this program")?;
    // Blocked before the first thing is made: a signal ends the farm, but in order.
    let mut signals = SigSet::empty();
    signals.extend([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    signals.thread_block().context("cannot block signals")?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;
    scratch::sweep(base)?;
    let scratch = Scratch::create(base)?;
    let held = hold_in(&own, scratch.path(), &signals);
    let unmounted = unmount(&layout::volume(scratch.path()));
    let removed = scratch.remove();
    held.and(unmounted).and(removed)
}

fn hold_in(own: &Path, scratch: &Path, signals: &SignalFd) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
        .context("cannot make a mount and a network namespace")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .context("cannot make the mounts private")?;
    make_folders(scratch)?;
    make_volume(scratch)?;
    make_network(scratch)?;
    // Last, as the next child is the namespace's init.
    unshare(CloneFlags::CLONE_NEWPID).context("cannot make a pid namespace")?;
    let mut init = spawn_init(own, scratch)?;
    let result = announce(scratch, &init).and_then(|()| wait_for_the_end(signals));
    init.kill().context("cannot kill the farm's init")?;
    init.wait().context("cannot wait for the farm's init")?;
    result
}

fn make_folders(scratch: &Path) -> Result<()> {
    for folder in layout::folders(scratch) {
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    // Locks and sockets have their usual paths, but are the farm's own.
    let run = layout::run(scratch);
    mount(Some(&run), "/run", None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .context("cannot mount the farm's /run")?;
    // The interfaces of the farm's network, not of the host's.
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>)
        .context("cannot mount the farm's /sys")
}

fn make_volume(scratch: &Path) -> Result<()> {
    let image = layout::volume_image(scratch);
    let file = std::fs::File::create_new(&image)
        .with_context(|| format!("cannot make {}", image.display()))?;
    file.set_len(VOLUME_BYTES).context("cannot size the volume")?;
    run(command("mkfs.btrfs", scratch).arg("-q").arg(&image))?;
    let volume = layout::volume(scratch);
    run(command("mount", scratch).args(["-t", "btrfs", "-o", "loop"]).arg(image).arg(volume))
}

fn make_network(scratch: &Path) -> Result<()> {
    let address = format!("{}/{}", layout::BRIDGE_ADDRESS, layout::BRIDGE_PREFIX);
    let bridge = layout::BRIDGE;
    let ip = |arguments: &[&str]| run(command("ip", scratch).args(arguments));
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "add", bridge, "type", "bridge"])?;
    ip(&["address", "add", &address, "dev", bridge])?;
    ip(&["link", "set", bridge, "up"])
}

/// A command whose environment names the farm in `scratch`.
fn command(program: impl AsRef<OsStr>, scratch: &Path) -> Command {
    let mut command = Command::new(program);
    command.env(layout::ENVIRONMENT, scratch).stdin(Stdio::null());
    command
}

/// Runs a program to its end; its failure is an error with its standard error.
fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let output = command.output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}: {}", program.display(), output.status, stderr.trim_end());
    }
    Ok(())
}

fn spawn_init(own: &Path, scratch: &Path) -> Result<Child> {
    let mut child = command(own, scratch)
        .arg("init")
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the farm's init")?;
    // One line when it is ready; nothing if it fails.
    let mut out = child.stdout.take().expect("piped above");
    let output = std::io::read_to_string(&mut out).context("cannot read from the farm's init")?;
    if output != "ready\n" {
        let status = child.wait().context("cannot wait for the farm's init")?;
        bail!("the farm's init did not start: {status}");
    }
    Ok(child)
}

fn announce(scratch: &Path, init: &Child) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} {}", init.id(), scratch.display())?;
    Ok(out.flush()?)
}

/// Returns when a signal arrives, or when standard input ends without [`KEEP`] before.
fn wait_for_the_end(signals: &SignalFd) -> Result<()> {
    let stdin = std::io::stdin();
    let mut kept = false;
    loop {
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        if !kept {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        poll(&mut fds, PollTimeout::NONE).context("cannot wait for the owner")?;
        if fds[0].any().unwrap_or(true) {
            return Ok(());
        }
        let mut word = [0; 1];
        let count = nix::unistd::read(&stdin, &mut word).context("cannot read from the owner")?;
        if count == 0 {
            return Ok(());
        }
        kept |= word[0] == KEEP;
    }
}

/// Unmounts the volume, if it was mounted. When this returns its loop device is free.
fn unmount(volume: &Path) -> Result<()> {
    match umount2(volume, MntFlags::empty()) {
        // Not mounted: the farm failed before.
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => Ok(()),
        // A thread of an owner that is being killed may still hold a file: the kernel unmounts as
        // soon as the thread has ended.
        Err(nix::Error::EBUSY) => {
            umount2(volume, MntFlags::MNT_DETACH).context("cannot detach the volume")
        }
        Err(errno) => Err(errno).context("cannot unmount the volume"),
    }
}

/// The first process of a farm's pid namespace: mounts `/proc`, then reaps orphans until it is
/// killed.
///
/// # Errors
/// If it cannot be set up, or cannot wait.
pub fn init() -> Result<()> {
    // The farm does not outlive its holder.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("cannot tie init to its holder")?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>)
        .context("cannot mount the farm's /proc")?;
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children.thread_block().context("cannot block signals")?;
    {
        let mut out = std::io::stdout().lock();
        out.write_all(b"ready\n")?;
        out.flush()?;
    }
    nix::unistd::dup2_stdout(std::fs::File::open("/dev/null")?)
        .context("cannot close standard output")?;
    loop {
        while !matches!(
            waitpid(None, Some(WaitPidFlag::WNOHANG)),
            Ok(WaitStatus::StillAlive) | Err(nix::Error::ECHILD)
        ) {}
        children.wait().context("cannot wait for a child")?;
    }
}
