//! A host made for one test: a network namespace with a bridge, a machine's folder and a runtime
//! folder. It is gone with the test's thread and this value.

use std::fs::{self, File, Permissions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use bbot_vm::{
    Error, Guest, GuestConfig, GuestEvent, GuestExit, Network, NetworkConfig, VmUser, VncAddress,
};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

/// More than any step takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Host {
    folder: PathBuf,
    _owned: Option<TempDir>,
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
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let host = Host { folder: folder.path().to_owned(), _owned: Some(folder) };
        for instance in [1, 10] {
            let config = host.config_of(instance);
            fs::create_dir(&config.runtime_dir).unwrap();
            fs::create_dir(&config.directory).unwrap();
            let image = File::create(config.directory.join("disk.img")).unwrap();
            image.set_len(1 << 20).unwrap();
        }
        host
    }

    /// The host that another process has made, and moved this one to.
    pub(crate) fn at(folder: PathBuf) -> Host {
        Host { folder, _owned: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Writes a program that plays the hypervisor.
    pub(crate) fn write_program(&self, name: &str, script: &str) -> PathBuf {
        self.write(name, format!("#!/bin/sh\n{script}\n").as_bytes());
        fs::set_permissions(self.path(name), Permissions::from_mode(0o755)).unwrap();
        self.path(name)
    }

    pub(crate) fn config(&self) -> GuestConfig {
        self.config_of(1)
    }

    pub(crate) fn config_of(&self, instance: u16) -> GuestConfig {
        GuestConfig {
            hypervisor: "qemu-system-x86_64".into(),
            directory: self.path(&format!("machine-{instance}")),
            name: format!("linux-public-{instance}"),
            cpus: 1,
            ram_kib: 64 * 1024,
            mac: bbot_vm::random_mac(),
            options: None,
            vnc: VncAddress { address: IpAddr::V4(Ipv4Addr::LOCALHOST), display: instance },
            user: VmUser::resolve(Some("nobody")).unwrap(),
            runtime_dir: self.path(&format!("public-{instance}")),
            console_limit: 64 * 1024,
        }
    }

    pub(crate) fn start(&self) -> (Network, Guest, Receiver<GuestEvent>) {
        let network = Network::set_up(&network_of(1)).unwrap();
        let (guest, events) = start(&self.config(), &network);
        (network, guest.unwrap(), events)
    }
}

/// Where the guest of an instance is connected.
pub(crate) fn network_of(instance: u16) -> NetworkConfig {
    NetworkConfig {
        bridge: "br0".into(),
        offset: instance,
        instance: format!("public-{instance}"),
        tftp_port: 23400 + instance,
    }
}

/// A start that fails: it must leave no process, no socket, no event.
pub(crate) fn fail(config: &GuestConfig) -> Error {
    let network = Network::set_up(&network_of(1)).unwrap();
    let (guest, events) = start(config, &network);
    let error = guest.unwrap_err();
    assert_eq!(events.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
    network.tear_down().unwrap();
    assert_eq!(bbot_vm::sweep(&network_of(1), &config.runtime_dir).unwrap(), []);
    error
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
            assert_eq!(events.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
            return exit;
        }
    }
}

/// Takes events up to this one.
pub(crate) fn expect(events: &Receiver<GuestEvent>, expected: &GuestEvent) {
    while events.recv_timeout(LIMIT).unwrap() != *expected {}
}

pub(crate) fn ip(arguments: &str) -> String {
    run("ip", arguments)
}

pub(crate) fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}
