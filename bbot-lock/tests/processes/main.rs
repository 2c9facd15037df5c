//! The locks between real processes: this program starts itself again, see [`Peer`].
#![allow(clippy::unwrap_used, reason = "all of this is test code, also outside of #[test]")]

mod peer;
mod sys;
mod twin;

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::thread::JoinHandleExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bbot_lock::holders::{self, Content, LockTable};
use bbot_lock::interrupt::Interruption;
use bbot_lock::{
    Acquired, Error, Holder, HostLock, InstanceLock, MachineLock, MachineState, probe,
};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::sys::pthread::pthread_kill;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use peer::Peer;

/// The locks can be sent to, and shared with, other threads; so can all that concerns them.
const _: () = {
    const fn check<T: Send + Sync>() {}
    check::<HostLock>();
    check::<InstanceLock>();
    check::<Acquired<MachineLock>>();
    check::<Interruption<'_>>();
    check::<LockTable>();
    check::<Error>();
};

/// Not a test of its own: the entry point of the other process.
#[test]
fn peer() {
    peer::run();
}

/// Longer than any test takes on a heavily loaded host.
const LIMIT: Duration = Duration::from_secs(60);

struct Fixture {
    directory: TempDir,
    toolchain: PathBuf,
    machine: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (toolchain, machine) =
            (directory.path().join("toolchain.lock"), directory.path().join("m.lock"));
        Self { directory, toolchain, machine }
    }

    fn start(&self, job: &str) -> Peer {
        Peer::start(job, self.directory.path())
    }

    fn probe(&self) -> MachineState {
        probe(&HostLock::acquire(&self.toolchain).unwrap(), &self.machine).unwrap()
    }

    fn content(&self) -> String {
        fs::read_to_string(&self.machine).unwrap()
    }

    /// Runs the job in four processes at once; each adds 100 to a counter.
    #[track_caller]
    fn check_count(&self, job: &str) {
        let counter = self.directory.path().join("counter");
        fs::write(&counter, "0").unwrap();
        let peers: Vec<_> = (0..4).map(|_| self.start(job)).collect();
        peers.into_iter().for_each(Peer::join);
        assert_eq!(fs::read_to_string(counter).unwrap(), "400");
    }
}

fn is_busy<L>(acquired: &Acquired<L>) -> bool {
    matches!(acquired, Acquired::Busy(_))
}

fn try_acquire(host: &HostLock, machine: &Path) -> Option<MachineLock> {
    MachineLock::try_acquire(host, machine).unwrap().into_lock()
}

/// `W6`: only one process at a time has the host lock.
#[test]
fn host_lock_excludes() {
    Fixture::new().check_count("count under the host lock");
}

/// `W7`: only one process at a time has a machine, although each removes the lock file.
#[test]
fn machine_lock_excludes() {
    let f = Fixture::new();
    f.check_count("count under a machine lock");
    assert!(!f.machine.try_exists().unwrap());
    assert!(f.toolchain.try_exists().unwrap());
}

/// The unlink race at its worst: without a host lock, the lock file is opened, locked and removed
/// by all processes at once.
#[test]
fn machine_lock_excludes_openers_of_a_removed_file() {
    let f = Fixture::new();
    f.check_count("count under a bare machine lock");
    assert!(!f.machine.try_exists().unwrap());
}

/// `W12`, `W25`, `W27`: what other processes read of a machine, from the bootstrap to the release.
#[test]
fn the_lock_file_names_its_holder() {
    let f = Fixture::new();
    assert_eq!(holders::read(&f.machine).unwrap(), Content::Absent);
    let mut peer = f.start("obey");
    let pid = peer.pid();
    peer.tell("acquire");
    assert_eq!(f.content(), pid.to_string());
    peer.tell("build");
    assert_eq!(f.content(), format!("{pid} {}", u64::MAX));
    let building = Holder::new(pid, Some(u64::MAX)).unwrap();
    assert_eq!(holders::read(&f.machine).unwrap(), Content::Holder(building));

    peer.tell("free the host lock");
    assert_eq!(f.probe(), MachineState::Busy(Some(building)));
    let host = HostLock::acquire(&f.toolchain).unwrap();
    match MachineLock::try_acquire(&host, &f.machine).unwrap() {
        Acquired::Busy(holder) => assert_eq!(holder, Some(building)),
        Acquired::Lock(lock) => panic!("{lock:?}"),
    }
    drop(host);

    peer.tell("suspend");
    assert_eq!(f.content(), pid.to_string());
    assert_eq!(f.probe(), MachineState::Busy(Holder::new(pid, None)));
    peer.tell("suspend");
    assert_eq!(f.content(), pid.to_string());

    peer.tell("release");
    assert_eq!(f.probe(), MachineState::Free);
    assert_eq!(holders::read(&f.machine).unwrap(), Content::Absent);
}

/// Dropping a machine lock removes its file and frees it.
#[test]
fn drop_releases() {
    let f = Fixture::new();
    let mut peer = f.start("obey");
    peer.tell("acquire");
    peer.tell("drop");
    assert!(!f.machine.try_exists().unwrap());
}

/// `W41`: SIGKILL frees all locks of a process, although a program that it started still runs.
#[test]
fn a_killed_process_holds_nothing() {
    let f = Fixture::new();
    let instance = f.directory.path().join("instance.lock");
    let mut peer = f.start("obey");
    let pid = peer.pid();
    for command in ["acquire", "build", "start a child"] {
        peer.tell(command);
    }
    assert!(is_busy(&HostLock::try_acquire(&f.toolchain).unwrap()));
    assert!(is_busy(&InstanceLock::try_acquire(&instance).unwrap()));
    peer.kill();

    let host = HostLock::try_acquire(&f.toolchain).unwrap();
    let host = host.into_lock().expect("the host lock is free");
    assert!(!is_busy(&InstanceLock::try_acquire(&instance).unwrap()));
    // The lock file still exists, with its content; the dead process has no lock any more.
    let dead = Holder::new(pid, Some(u64::MAX)).unwrap();
    assert_eq!(holders::read(&f.machine).unwrap(), Content::Holder(dead));
    assert_eq!(probe(&host, &f.machine).unwrap(), MachineState::Free);
    assert_eq!(holders::read(&f.machine).unwrap(), Content::Holder(dead));

    // Nothing of the former, longer content is left in the next holder's.
    let mut lock = try_acquire(&host, &f.machine).expect("the machine is free");
    assert_eq!(f.content(), std::process::id().to_string());
    lock.write(&host, Some(7)).unwrap();
    assert_eq!(f.content(), format!("{} 7", std::process::id()));
    lock.write(&host, None).unwrap();
    assert_eq!(f.content(), std::process::id().to_string());
}

/// A reader like the C++ agent, which aborts on a content that it cannot parse, never reads one.
#[test]
fn a_cxx_reader_understands_every_content() {
    let f = Fixture::new();
    let mut peer = f.start("write");
    let mut seen = [0; 2];
    let deadline = Instant::now() + LIMIT;
    while seen.iter().any(|n| *n < 20) {
        assert!(peer.is_running() && Instant::now() < deadline, "{seen:?}");
        let _host = HostLock::acquire(&f.toolchain).unwrap();
        if let Some((pid, priority)) = cxx_read(&f.machine) {
            assert_eq!(pid, i64::from(peer.pid()));
            seen[usize::from(priority.is_some())] += 1;
        }
    }
}

/// Reads the holder as the C++ agent does when its attempt to lock fails; each `expect` here is an
/// assertion there. `None`: the lock is free.
fn cxx_read(path: &Path) -> Option<(i64, Option<u64>)> {
    // The C++ agent creates a missing file and removes it again. This reader does not: the writer's
    // own attempt would find the file locked.
    let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Err((file, Errno::EWOULDBLOCK)) => file,
        Ok(_) => return None,
        Err((_, errno)) => panic!("{errno}"),
    };
    let mut buffer = [0; 64];
    let n = file.read(&mut buffer).unwrap();
    assert!(n > 0 && n < buffer.len());
    let content = std::str::from_utf8(&buffer[..n]).expect("ASCII");
    let (pid, priority) = content.split_once(' ').map_or((content, None), |(a, b)| (a, Some(b)));
    Some((pid.parse().expect("a pid"), priority.map(|p| p.parse().expect("a priority"))))
}

/// `W7`: contents that the C++ agent writes, and contents that are malformed.
#[test]
fn every_content_is_read() {
    let f = Fixture::new();
    for (content, holder) in [
        ("4242", Holder::new(4242, None)),
        ("4242 100", Holder::new(4242, Some(100))),
        ("", None),
        ("4242 100\n", None),
        ("-1 100", None),
        ("neither pid nor priority", None),
        ("4242 10000000000000000000000000000000000000000000000000000000000000", None),
    ] {
        fs::write(&f.machine, content).unwrap();
        let file = File::open(&f.machine).unwrap();
        let other = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
        assert_eq!(f.probe(), MachineState::Busy(holder), "{content:?}");
        assert_eq!(f.content(), content);
        drop(other);
        assert_eq!(f.probe(), MachineState::Free, "{content:?}");
        assert_eq!(f.content(), content);
    }
}

/// `W6`: a signal does not end the wait for the host lock.
#[test]
fn a_signal_does_not_end_the_wait() {
    static SIGNALS: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count(_: libc::c_int) {
        SIGNALS.fetch_add(1, Ordering::SeqCst);
    }
    sys::handle_without_restart(Signal::SIGUSR1, count);

    let f = Fixture::new();
    let host = HostLock::acquire(&f.toolchain).unwrap();
    let inode = fs::metadata(&f.toolchain).unwrap().ino();
    let path = f.toolchain.clone();
    let waiter = thread::spawn(move || HostLock::acquire(&path).map(drop));
    for n in 1..=3 {
        until(|| waits_for_flock(inode));
        pthread_kill(waiter.as_pthread_t(), Signal::SIGUSR1).unwrap();
        until(|| SIGNALS.load(Ordering::SeqCst) == n);
    }
    until(|| waits_for_flock(inode));
    drop(host);
    waiter.join().unwrap().unwrap();
}

/// Returns whether a thread is blocked in flock(2) on the file.
fn waits_for_flock(inode: u64) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap();
    locks.lines().any(|line| line.contains("-> FLOCK") && line.contains(&format!(":{inode} ")))
}

/// Yields to other threads until the condition holds.
#[track_caller]
fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long");
        thread::yield_now();
    }
}

/// The host lock's file may belong to an agent that runs as another user, and be read-only for this
/// process.
#[test]
fn a_host_lock_needs_no_right_to_write() {
    let f = Fixture::new();
    fs::write(&f.toolchain, "").unwrap();
    let mut rights = fs::metadata(&f.toolchain).unwrap().permissions();
    rights.set_readonly(true);
    fs::set_permissions(&f.toolchain, rights).unwrap();
    assert!(!is_busy(&HostLock::try_acquire(&f.toolchain).unwrap()));
}

/// Locking can be disabled; no file is created.
#[test]
fn disabled_host_lock_is_no_lock() {
    let f = Fixture::new();
    let (one, two) = (HostLock::disabled(), HostLock::disabled());
    assert_eq!(probe(&one, &f.machine).unwrap(), MachineState::Free);
    assert_eq!(probe(&two, &f.machine).unwrap(), MachineState::Free);
    assert_eq!(fs::read_dir(&f.directory).unwrap().count(), 0);
}

/// If another process removes a lock file, against the protocol, the lock is still released, and
/// the next holder's file is left as it is.
#[test]
fn release_leaves_the_next_holders_file() {
    let f = Fixture::new();
    let host = HostLock::disabled();
    let first = try_acquire(&host, &f.machine).unwrap();
    fs::remove_file(&f.machine).unwrap();
    let next = try_acquire(&host, &f.machine).expect("its file was removed");
    first.release().unwrap();
    assert!(matches!(probe(&host, &f.machine).unwrap(), MachineState::Busy(Some(_))));
    next.release().unwrap();
    assert!(!f.machine.try_exists().unwrap());
}

/// An error names the operation and the file.
#[test]
fn errors_name_the_file() {
    let f = Fixture::new();
    let path = f.directory.path().join("no-such-folder/x.lock");
    for error in [
        HostLock::acquire(&path).map(drop).unwrap_err(),
        HostLock::try_acquire(&path).map(drop).unwrap_err(),
        InstanceLock::try_acquire(&path).map(drop).unwrap_err(),
    ] {
        let text = format!("cannot create lock file {}", path.display());
        assert_eq!(error.to_string(), text);
        assert!(matches!(error, Error::Io { operation: "create", .. }));
    }
    let error = MachineLock::try_acquire(&HostLock::disabled(), &path).map(drop).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot open lock file {}", path.display()));

    fs::create_dir(&f.machine).unwrap();
    let error = MachineLock::try_acquire(&HostLock::disabled(), &f.machine).map(drop).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot open lock file {}", f.machine.display()));
}
