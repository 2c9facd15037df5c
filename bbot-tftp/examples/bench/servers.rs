//! The servers that are compared.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::peers::{Peer, atftpd, free_address, tftpd_hpa, with_sbin};

/// A server with the folder that it serves, which lies in memory.
pub(crate) struct Rival {
    pub(crate) peer: Peer,
    pub(crate) root: TempDir,
    meter: Meter,
}

/// Starts a server; `None` if it is not installed and nobody can expect it to be.
pub(crate) type Start = fn() -> io::Result<Option<Rival>>;

pub(crate) const ALL: &[(&str, Start)] = &[
    ("bbot-tftp", ours),
    ("tftpd-hpa", || with(tftpd_hpa)),
    ("atftpd", || with(|root| atftpd(root, &scratch()))),
    ("dnsmasq", dnsmasq),
    ("rs-tftpd", rs_tftpd),
];

impl Rival {
    fn new(peer: Peer, root: TempDir) -> io::Result<Option<Self>> {
        let meter = Meter::new(peer.pid())?;
        Ok(Some(Self { peer, root, meter }))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.peer.name
    }

    /// Bytes resident at the most so far, and CPU seconds used so far, children included.
    pub(crate) fn usage(&self) -> (u64, f64) {
        let status = format!("/proc/{}/status", self.peer.pid());
        let status = std::fs::read_to_string(status).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        (peak.unwrap_or(0) << 10, self.meter.seconds())
    }
}

/// Counts the CPU time of a process and its children, those included that nobody waits for.
pub(crate) struct Meter {
    group: PathBuf,
}

impl Meter {
    fn new(pid: u32) -> io::Result<Self> {
        let first = Path::new("/sys/fs/cgroup/cpuacct");
        let root = if first.try_exists()? { first } else { Path::new("/sys/fs/cgroup") };
        let group = root.join(format!("bbot-tftp-bench-{pid}"));
        std::fs::create_dir(&group)?;
        std::fs::write(group.join("cgroup.procs"), pid.to_string())?;
        Ok(Self { group })
    }

    fn seconds(&self) -> f64 {
        if let Ok(nanoseconds) = std::fs::read_to_string(self.group.join("cpuacct.usage")) {
            return nanoseconds.trim().parse::<f64>().unwrap_or(0.0) / 1e9;
        }
        let stat = std::fs::read_to_string(self.group.join("cpu.stat")).unwrap_or_default();
        let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
        usage.and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        // The group is busy until the kernel has buried its last process.
        for _ in 0..1000 {
            if std::fs::remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::yield_now();
        }
    }
}

/// Each transfer of a server needs up to four descriptors, each client one.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // The old limit is enough for a few hundred transfers.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Where the files are, unless they are kept elsewhere.
const MEMORY: &str = "/dev/shm";

static FOLDER: OnceLock<String> = OnceLock::new();

/// Measures with files in `folder`.
pub(crate) fn keep_files_in(folder: String) {
    FOLDER.get_or_init(|| folder);
}

/// Mounts memory that only this process and its servers see, and that is gone with them. To be
/// called before there are threads.
pub(crate) fn mount_memory() -> nix::Result<()> {
    let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, private, none)?;
    mount(Some("bench"), MEMORY, Some("tmpfs"), MsFlags::empty(), Some("huge=within_size"))
}

fn root() -> io::Result<TempDir> {
    let folder = FOLDER.get().map_or(MEMORY, String::as_str);
    tempfile::Builder::new().prefix("bbot-tftp-bench-").tempdir_in(folder)
}

/// Beside this program, in the target folder.
fn scratch() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.parent().unwrap().to_owned()
}

fn with(start: impl Fn(&Path) -> io::Result<Peer>) -> io::Result<Option<Rival>> {
    let root = root()?;
    Rival::new(start(root.path())?, root)
}

/// The program `tftpd` of this package, built beside the bench.
fn ours() -> io::Result<Option<Rival>> {
    let root = root()?;
    let program = scratch().join("tftpd");
    let mut command = Command::new(&program);
    command.args(["--listen", "127.0.0.1:0", "--write", "overwrite"]);
    command.arg("--root").arg(root.path()).stdout(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|e| {
        io::Error::new(e.kind(), format!("{}: {e}; build all examples", program.display()))
    })?;
    // It takes any port that is free, and says which.
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line)?;
    let address = line.trim().rsplit(' ').next().and_then(|a| a.parse().ok());
    let address = address.ok_or_else(|| io::Error::other(format!("tftpd said {line:?}")))?;
    Rival::new(Peer::adopt("bbot-tftp", address, root.path(), child)?, root)
}

/// dnsmasq serves port 69 only; an address of its own keeps it out of others' way.
fn dnsmasq() -> io::Result<Option<Rival>> {
    let root = root()?;
    let [low, high] = free_address().port().to_be_bytes();
    let host = std::net::Ipv4Addr::new(127, 69, low, high.clamp(1, 254));
    let mut command = Command::new("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root"]);
    command.args(["--bind-interfaces", "--enable-tftp", "--tftp-max=1000", "--pid-file="]);
    command.arg(format!("--listen-address={host}"));
    command.arg(format!("--tftp-root={}", root.path().display()));
    let address = (host, 69).into();
    let peer = Peer::start("dnsmasq", address, root.path(), with_sbin(&mut command))?;
    Rival::new(peer, root)
}

/// The `tftpd` of the Rust registry, where somebody has installed it into the target folder:
/// `cargo install tftpd --root <target folder>/peers`.
fn rs_tftpd() -> io::Result<Option<Rival>> {
    let target = scratch().join("../../peers/bin/tftpd");
    if !target.try_exists()? {
        return Ok(None);
    }
    let root = root()?;
    let address = free_address();
    let mut command = Command::new(target);
    command.args(["--quiet", "--overwrite", "--ip-address", "127.0.0.1", "--port"]);
    command.arg(address.port().to_string()).arg("--directory").arg(root.path());
    Rival::new(Peer::start("rs-tftpd", address, root.path(), &mut command)?, root)
}
