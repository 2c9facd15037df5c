//! What a guest's process may do, seen from outside.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use bbot_vm::Network;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::host::{Host, LIMIT, fail, last, network_of, start};

struct Process(String);

impl Process {
    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(format!("{}/{name}", self.0)).unwrap()
    }

    fn status(&self) -> BTreeMap<String, String> {
        let text = String::from_utf8(self.file("status")).unwrap();
        let line = |line: &str| line.split_once(':').map(|(k, v)| (k.into(), v.trim().into()));
        text.lines().filter_map(line).collect()
    }

    fn fds(&self) -> BTreeMap<i32, String> {
        let entries = fs::read_dir(format!("{}/fd", self.0)).unwrap().map(Result::unwrap);
        entries
            .map(|entry| {
                let target = fs::read_link(entry.path()).unwrap().display().to_string();
                (entry.file_name().to_str().unwrap().parse().unwrap(), target)
            })
            .collect()
    }
}

#[test]
fn a_guest_has_no_more_than_it_needs() {
    let host = Host::new();
    host.write("machine-1/manifest", b"");
    // A file that every child process inherits, as some libraries leave them.
    let decoy = File::create(host.path("decoy")).unwrap();
    fcntl(&decoy, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let (_network, guest, events) = host.start();
    let process = Process(format!("/proc/{}", guest.pid()));

    let status = process.status();
    for (name, expected) in [
        ("Uid", "65534\t65534\t65534\t65534"),
        ("Gid", "65534\t65534\t65534\t65534"),
        ("Groups", "65534"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        assert_eq!(status[name], expected, "{name}");
    }
    // W40: a session and group of its own.
    let stat = String::from_utf8(process.file("stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let pid = guest.pid().to_string();
    assert_eq!(fields[2..4], [&pid, &pid]);

    assert_eq!(process.file("environ"), b"");
    let working_folder = fs::read_link(format!("{}/cwd", process.0)).unwrap();
    assert_eq!(working_folder, host.path("machine-1"));

    let owner = |name| host.path(name).metadata().unwrap().uid();
    assert_eq!(owner("machine-1/disk.img"), 65534);
    for other in ["machine-1", "machine-1/manifest", "public-1", "public-1/monitor.sock"] {
        assert_eq!(owner(other), 0, "{other}");
    }
    guest.force_down(LIMIT).unwrap();
    last(&events);
}

#[test]
fn a_guest_inherits_no_other_file() {
    let host = Host::new();
    let decoy = File::create(host.path("decoy")).unwrap();
    fcntl(&decoy, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let (_network, guest, events) = host.start();
    let mut fds = Process(format!("/proc/{}", guest.pid())).fds();
    let [stdin, stdout, stderr] = [0, 1, 2].map(|fd| fds.remove(&fd).unwrap());
    assert_eq!((&*stdin, &*stdout), ("/dev/null", "/dev/null"));
    assert!(stderr.starts_with("pipe:"), "{stderr}");
    let image = host.path("machine-1/disk.img").display().to_string();
    let mut sockets = 0;
    for (fd, target) in fds {
        match target.split_once(':') {
            // Monitors and console, and the screen's.
            Some(("socket", _)) => sockets += 1,
            // QEMU's own events, timers and signals.
            Some(("anon_inode" | "/memfd", _)) => {}
            _ => assert!(target == image || target == "/dev/net/tun", "{fd}: {target}"),
        }
    }
    assert_eq!(sockets, 4);
    guest.force_down(LIMIT).unwrap();
    last(&events);
}

/// The guest's process opens its image by a path relative to its working folder.
#[test]
fn a_machine_may_be_in_a_closed_folder() {
    let host = Host::new();
    let mut config = host.config();
    let closed = host.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::rename(&config.directory, closed.join("machine")).unwrap();
    config.directory = closed.join("machine");
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(&config.directory, Permissions::from_mode(0o711)).unwrap();
    let network = Network::set_up(&network_of(1)).unwrap();
    let (guest, _events) = start(&config, &network);
    assert_eq!(guest.unwrap().force_down(LIMIT).unwrap().code, Some(0));
}

/// The confinement does not depend on QEMU's own sandbox.
#[test]
fn a_hypervisor_is_confined_from_its_first_instruction() {
    let host = Host::new();
    let mut config = host.config();
    config.hypervisor = host.write_program("program", "cat /proc/self/status >&2; exit 1");
    // A signal that is blocked where it is started is not blocked in it.
    nix::sys::signal::SigSet::from(nix::sys::signal::Signal::SIGUSR1).thread_block().unwrap();
    let text = fail(&config).to_string();
    let capabilities = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    for line in capabilities
        .map(|name| format!("{name}:\t{:016}", 0))
        .iter()
        .map(String::as_str)
        .chain(["Uid:\t65534\t65534\t65534\t65534", "NoNewPrivs:\t1", "SigBlk:\t0000000000000000"])
    {
        assert!(text.lines().any(|said| said == line), "{line:?} in {text}");
    }
}
