//! A host made for one test: a network namespace with a bridge, a machine's folder and a runtime
//! folder. It is gone with the test's thread and this value.

use std::fs::{self, File, Permissions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use bbot_vm::{
    Error, Guest, GuestConfig, GuestEvent, GuestExit, Network, NetworkConfig, VmUser, VncAddress,
};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

/// More than any step takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Host {
    folder: TempDir,
    pub(crate) network: NetworkConfig,
}

impl Host {
    /// Moves the calling thread, and so all that it starts, into a network namespace of its own.
    pub(crate) fn new() -> Host {
        unshare(CloneFlags::CLONE_NEWNET).expect("these tests run as root");
        ip("link set lo up");
        ip("link add br0 type bridge");
        ip("address add 10.23.0.1/24 dev br0");
        ip("link set br0 up");
        let folder = tempfile::tempdir().unwrap();
        let host = Host {
            folder,
            network: NetworkConfig {
                bridge: "br0".into(),
                offset: 1,
                instance: "public-1".into(),
                tftp_port: 23401,
            },
        };
        for name in ["machine", "private"] {
            fs::create_dir(host.path(name)).unwrap();
        }
        fs::set_permissions(host.folder.path(), Permissions::from_mode(0o755)).unwrap();
        File::create(host.path("machine/disk.img")).unwrap().set_len(1 << 20).unwrap();
        host
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> GuestConfig {
        GuestConfig {
            hypervisor: "qemu-system-x86_64".into(),
            directory: self.path("machine"),
            name: "linux-public-1".into(),
            cpus: 1,
            ram_kib: 64 * 1024,
            mac: bbot_vm::random_mac(),
            options: None,
            vnc: VncAddress { address: IpAddr::V4(Ipv4Addr::LOCALHOST), display: 1 },
            user: VmUser::resolve(Some("nobody")).unwrap(),
            runtime_dir: self.path("private"),
            console_limit: 64 * 1024,
        }
    }

    pub(crate) fn start(&self) -> (Network, Guest, Receiver<GuestEvent>) {
        let network = Network::set_up(&self.network).unwrap();
        let (guest, events) = start(&self.config(), &network);
        (network, guest.unwrap(), events)
    }
}

pub(crate) fn start(
    config: &GuestConfig,
    network: &Network,
) -> (Result<Guest, Error>, Receiver<GuestEvent>) {
    let (sender, events) = mpsc::channel();
    let guest = Guest::start(config, network, move |event| sender.send(event).unwrap());
    (guest, events)
}

/// Takes events up to the last one, which must be the exit and the only one.
pub(crate) fn last(events: &Receiver<GuestEvent>) -> GuestExit {
    loop {
        if let GuestEvent::Exited(exit) = events.recv_timeout(LIMIT).unwrap() {
            // The sender went with the guest's thread.
            assert_eq!(events.recv_timeout(LIMIT), Err(mpsc::RecvTimeoutError::Disconnected));
            return exit;
        }
    }
}

pub(crate) fn expect(events: &Receiver<GuestEvent>, expected: &GuestEvent) {
    while events.recv_timeout(LIMIT).unwrap() != *expected {}
}

pub(crate) fn ip(arguments: &str) -> String {
    run("ip", &arguments.split(' ').collect::<Vec<_>>())
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
