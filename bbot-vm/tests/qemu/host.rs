//! A host made for one test: a network namespace with a bridge, a machine's folder and a runtime
//! folder. It ends with the test's thread and this value.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use bbot_vm::{
    Error, Guest, GuestConfig, GuestEvent, GuestExit, Network, NetworkAttachment, NetworkConfig,
    VmUser, VncAddress,
};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

/// Longer than any step takes on a busy host.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Host {
    folder: PathBuf,
    _owned: Option<TempDir>,
}

impl Host {
    /// Moves the calling thread, and so all processes that it starts, into a network namespace of
    /// its own.
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

    /// The host that another process has made, and in whose namespace this process runs.
    pub(crate) fn at(folder: PathBuf) -> Host {
        Host { folder, _owned: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Writes a program to be executed as the hypervisor.
    pub(crate) fn write_program(&self, name: &str, script: &str) -> PathBuf {
        self.write(name, format!("#!/bin/sh\n{script}\n").as_bytes());
        fs::set_permissions(self.path(name), Permissions::from_mode(0o755)).unwrap();
        self.path(name)
    }

    pub(crate) fn config(&self) -> GuestConfig {
        self.config_of(1)
    }

    pub(crate) fn config_of(&self, instance: u16) -> GuestConfig {
        let directory = self.path(&format!("machine-{instance}"));
        let runtime_dir = self.path(&format!("public-{instance}"));
        GuestConfig::new(directory, VmUser::resolve(Some("nobody")).unwrap(), runtime_dir)
            .name(format!("linux-public-{instance}"))
            .ram_kib(64 * 1024)
            .vnc(VncAddress::new([127, 0, 0, 1].into(), instance))
            .console_limit(64 * 1024)
    }

    pub(crate) fn start(&self) -> (Network, Guest, Receiver<GuestEvent>) {
        let network = Network::set_up(&network_of(1)).unwrap();
        let (guest, events) = start(&self.config(), &network);
        (network, guest.unwrap(), events)
    }
}

/// Where the guest of an instance is connected.
pub(crate) fn network_of(instance: u16) -> NetworkConfig {
    NetworkConfig::new("br0", instance, format!("public-{instance}"), 23400 + instance)
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

pub(crate) fn start<'a>(
    config: &GuestConfig,
    network: impl Into<NetworkAttachment<'a>>,
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
    expect_where(events, |event| event == expected);
}

/// Takes events up to the first one that `is_expected`, and returns that one.
pub(crate) fn expect_where(
    events: &Receiver<GuestEvent>,
    is_expected: impl Fn(&GuestEvent) -> bool,
) -> GuestEvent {
    loop {
        let event = events.recv_timeout(LIMIT).unwrap();
        if is_expected(&event) {
            return event;
        }
    }
}

/// Returns the answer of the operator's monitor to `command`, which ends the connection.
pub(crate) fn ask_monitor(guest: &Guest, command: &str) -> String {
    let mut monitor = UnixStream::connect(guest.monitor_path()).unwrap();
    monitor.set_read_timeout(Some(LIMIT)).unwrap();
    monitor.write_all(command.as_bytes()).unwrap();
    let mut answer = Vec::new();
    monitor.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
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
