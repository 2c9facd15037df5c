//! The servers that are compared.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::other_servers::{ServerProcess, atftpd, free_address, tftpd_hpa, with_sbin};

/// A server that is measured, and the folder that it serves.
pub(crate) struct MeasuredServer {
    pub(crate) process: ServerProcess,
    pub(crate) root: TempDir,
    meter: Meter,
}

/// Starts a server; returns `None` if it is optional and not installed.
pub(crate) type Start = fn() -> io::Result<Option<MeasuredServer>>;

pub(crate) const ALL: &[(&str, Start)] = &[
    ("bbot-tftp", bbot_tftp),
    ("tftpd-hpa", || with(tftpd_hpa)),
    ("atftpd", || with(|root| atftpd(root, &scratch()))),
    ("dnsmasq", dnsmasq),
    ("rs-tftpd", rs_tftpd),
];

impl MeasuredServer {
    fn new(process: ServerProcess, root: TempDir) -> io::Result<Option<Self>> {
        let meter = Meter::new(process.pid())?;
        Ok(Some(Self { process, root, meter }))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.process.name
    }

    /// The maximum of resident bytes so far, and the CPU seconds used so far, with children.
    pub(crate) fn usage(&self) -> (u64, f64) {
        let status = format!("/proc/{}/status", self.process.pid());
        let status = std::fs::read_to_string(status).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        (peak.unwrap_or(0) << 10, self.meter.seconds())
    }
}

/// Counts the CPU time of a process and its children, including those that are not waited for.
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
        // The group is busy until the kernel has removed its last process.
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
    // The default limit is enough for a few hundred transfers.
    let _ = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
}

/// The folder of the files, unless another one is given.
const MEMORY: &str = "/dev/shm";

static FOLDER: OnceLock<String> = OnceLock::new();

/// Measures with files in `folder`.
pub(crate) fn keep_files_in(folder: String) {
    FOLDER.get_or_init(|| folder);
}

/// Mounts a tmpfs in a mount namespace of this process and its children, which ends with them. It
/// must be called before there are threads.
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

/// The folder of this program, in the target folder.
fn scratch() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.parent().unwrap().to_owned()
}

fn with(start: impl Fn(&Path) -> io::Result<ServerProcess>) -> io::Result<Option<MeasuredServer>> {
    let root = root()?;
    MeasuredServer::new(start(root.path())?, root)
}

/// The program `tftpd` of this package, built beside the bench.
fn bbot_tftp() -> io::Result<Option<MeasuredServer>> {
    let root = root()?;
    let program = scratch().join("tftpd");
    let mut command = Command::new(&program);
    command.args(["--listen", "127.0.0.1:0", "--write", "overwrite"]);
    command.arg("--root").arg(root.path()).stdout(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|e| {
        io::Error::new(e.kind(), format!("{}: {e}; build all examples", program.display()))
    })?;
    // It binds any free port, and prints which.
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line)?;
    let address = line.trim().rsplit(' ').next().and_then(|a| a.parse().ok());
    let address = address.ok_or_else(|| io::Error::other(format!("tftpd said {line:?}")))?;
    MeasuredServer::new(ServerProcess::adopt("bbot-tftp", address, root.path(), child)?, root)
}

/// dnsmasq serves port 69 only; it gets an address of its own, so that several can run at once.
fn dnsmasq() -> io::Result<Option<MeasuredServer>> {
    let root = root()?;
    let [low, high] = free_address().port().to_be_bytes();
    let host = std::net::Ipv4Addr::new(127, 69, low, high.clamp(1, 254));
    let mut command = Command::new("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root"]);
    command.args(["--bind-interfaces", "--enable-tftp", "--tftp-max=1000", "--pid-file="]);
    command.arg(format!("--listen-address={host}"));
    command.arg(format!("--tftp-root={}", root.path().display()));
    let address = (host, 69).into();
    let process = ServerProcess::start("dnsmasq", address, root.path(), with_sbin(&mut command))?;
    MeasuredServer::new(process, root)
}

/// The crate `tftpd`, if it is installed in the target folder:
/// `cargo install tftpd --root <target folder>/peers`.
fn rs_tftpd() -> io::Result<Option<MeasuredServer>> {
    let target = scratch().join("../../peers/bin/tftpd");
    if !target.try_exists()? {
        return Ok(None);
    }
    let root = root()?;
    let address = free_address();
    let mut command = Command::new(target);
    command.args(["--quiet", "--overwrite", "--ip-address", "127.0.0.1", "--port"]);
    command.arg(address.port().to_string()).arg("--directory").arg(root.path());
    MeasuredServer::new(ServerProcess::start("rs-tftpd", address, root.path(), &mut command)?, root)
}
