//! Other TFTP servers, started as programs. The tests and the bench share this file.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bbot_tftp::Client;

/// A running server; killed, with its children, when it is dropped.
pub(crate) struct ServerProcess {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
}

impl ServerProcess {
    /// Starts `command` in a process group of its own, and waits until it answers.
    ///
    /// `root` is the folder that it serves, where a file `ready` is made.
    pub(crate) fn start(
        name: &'static str,
        address: SocketAddr,
        root: &Path,
        command: &mut Command,
    ) -> io::Result<Self> {
        use std::os::unix::process::CommandExt;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().map_err(|e| {
            let program = command.get_program().display().to_string();
            io::Error::new(e.kind(), format!("cannot run {program}: {e}; `cargo xtask setup`"))
        })?;
        Self::adopt(name, address, root, child)
    }

    /// Waits until a server answers that was started in a process group of its own.
    pub(crate) fn adopt(
        name: &'static str,
        address: SocketAddr,
        root: &Path,
        child: Child,
    ) -> io::Result<Self> {
        let server = Self { name, address, child };
        std::fs::write(root.join("ready"), "ready")?;
        let client = Client::new(address).idle_limit(Duration::from_millis(200));
        let until = Instant::now() + Duration::from_secs(60);
        // A closed port is reported at once, so that each attempt is short.
        while client.get("ready", &mut Vec::new()).is_err() {
            if Instant::now() > until {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{name} does not answer"),
                ));
            }
            std::thread::yield_now();
        }
        Ok(server)
    }

    /// The process that was started.
    #[allow(dead_code, reason = "only the bench uses it")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        // The process may have ended.
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        drop(self.child.wait());
    }
}

/// A UDP address on the loopback interface that was free a moment ago. These programs do not report
/// the port that they are bound to, so that they must be given one.
pub(crate) fn free_address() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a loopback interface");
    socket.local_addr().expect("a bound socket")
}

/// Debian's tftpd-hpa.
pub(crate) fn tftpd_hpa(root: &Path) -> io::Result<ServerProcess> {
    let address = free_address();
    let mut command = Command::new("in.tftpd");
    command.args(["--foreground", "--permissive", "--create", "--user", "root", "--address"]);
    command.arg(address.to_string()).arg("--secure").arg(root);
    ServerProcess::start("tftpd-hpa", address, root, with_sbin(&mut command))
}

/// Debian's atftpd. Its package conflicts with tftpd-hpa's, so that it is unpacked into `folder`.
pub(crate) fn atftpd(root: &Path, folder: &Path) -> io::Result<ServerProcess> {
    let address = free_address();
    let mut command = Command::new(atftpd_program(folder)?);
    command.args(["--daemon", "--no-fork", "--user", "root", "--group", "root"]);
    command.args(["--maxthread", "1000", "--logfile", "/dev/null", "--prevent-sas"]);
    command.arg("--bind-address").arg(address.ip().to_string());
    command.arg("--port").arg(address.port().to_string()).arg(root);
    ServerProcess::start("atftpd", address, root, &mut command)
}

/// Adds the folders of system programs to the search path of a command.
pub(crate) fn with_sbin(command: &mut Command) -> &mut Command {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"))
}

fn atftpd_program(folder: &Path) -> io::Result<PathBuf> {
    let installed = PathBuf::from("/usr/sbin/atftpd");
    if installed.try_exists()? {
        return Ok(installed);
    }
    let unpacked = folder.join("atftpd");
    let program = unpacked.join("usr/sbin/atftpd");
    if program.try_exists()? {
        return Ok(program);
    }
    // Several processes may do this at once: each in its own folder, then one of them renames it.
    let scratch = tempfile::Builder::new().prefix("bbot-atftpd-").tempdir_in(folder)?;
    let script = "apt-get -qq download atftpd && dpkg -x atftpd_*.deb . && rm atftpd_*.deb";
    let done = Command::new("sh").args(["-c", script]).current_dir(scratch.path()).output()?;
    if !done.status.success() {
        let why = String::from_utf8_lossy(&done.stderr).into_owned();
        return Err(io::Error::other(format!("`{script}` failed: {why}")));
    }
    let scratch = scratch.keep();
    if std::fs::rename(&scratch, &unpacked).is_err() {
        std::fs::remove_dir_all(&scratch)?;
    }
    Ok(program)
}
