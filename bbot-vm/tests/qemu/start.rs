//! Starts, and why they fail.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, symlink};

use bbot_vm::{Error, GuestExit, Network, QmpError};

use crate::host::{Host, LIMIT, ask_monitor, fail, last, network_of, start};

/// Returns how the hypervisor ended, and what failed on its monitor connection.
fn ended(error: Error) -> (GuestExit, QmpError) {
    match error {
        Error::Start { exit, source, .. } => (exit, source),
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_started_guest_shows_its_screen() {
    let host = Host::new();
    let (_network, guest, events) = host.start();
    assert_eq!(guest.vnc().to_string(), "127.0.0.1:5901");
    TcpStream::connect(guest.vnc().socket()).unwrap();
    guest.force_down(LIMIT).unwrap();
    last(&events);
}

/// With `options`, the guest's interface still has the guest's MAC address.
#[test]
fn options_are_what_qemu_takes() {
    let host = Host::new();
    let network = Network::set_up(&network_of(1)).unwrap();
    for options in [
        "-device e1000,netdev=net0,mac=? -device ide-hd,drive=disk0",
        "-machine q35 -device e1000,netdev=net0 -device ide-hd,drive=disk0",
        "-M pc,accel=tcg -device virtio-net-pci,netdev=net0 -device virtio-blk-pci,drive=disk0",
        "-accel tcg -device virtio-net-pci,netdev=net0 -device virtio-blk-pci,drive=disk0",
    ] {
        let mut config = host.config();
        config.options = Some(options.split(' ').map(str::to_owned).collect());
        let (guest, _events) = start(&config, &network);
        let guest = guest.unwrap();
        let answer = ask_monitor(&guest, "info network\nquit\n");
        assert!(answer.contains(&format!("macaddr={}", guest.mac())), "{options}: {answer}");
        assert_eq!(guest.wait(LIMIT).unwrap().code, Some(0));
    }
}

/// QEMU sends its greeting before it binds this port.
#[test]
fn a_vnc_port_in_use_is_reported_in_qemus_words() {
    let host = Host::new();
    let in_use = TcpListener::bind("127.0.0.1:5901").unwrap();
    let error = fail(&host.config());
    let text = error.to_string();
    assert!(text.contains("/qemu-system-x86_64 did not start a guest: exit code 1: "), "{text}");
    assert!(text.contains("Address already in use"), "{text}");
    assert!(matches!(ended(error).1, QmpError::Closed));
    drop(in_use);
    let (_network, guest, _events) = host.start();
    drop(guest);
}

#[test]
fn options_that_qemu_refuses_are_reported_in_its_words() {
    let host = Host::new();
    let mut config = host.config();
    config.options = Some(vec!["-device".into(), "no-such-device".into()]);
    let (exit, _) = ended(fail(&config));
    assert_eq!((exit.code, exit.signal), (Some(1), None));
    assert!(exit.stderr.contains("no-such-device"), "{exit}");
}

#[test]
fn a_program_that_is_not_a_hypervisor() {
    let host = Host::new();
    let mut config = host.config();
    for (script, code, signal, stderr) in [
        ("echo no >&2; exit 3", Some(3), None, "no\n"),
        ("echo dead >&2; kill -TERM $$", None, Some(15), "dead\n"),
        ("exit 0", Some(0), None, ""),
    ] {
        config.hypervisor = host.write_program("program", script);
        let (exit, source) = ended(fail(&config));
        assert!(matches!(source, QmpError::Closed), "{source:?}");
        assert_eq!((exit.code, exit.signal, exit.stderr.as_str()), (code, signal, stderr));
    }
}

/// A pipe that is not read would block the program; to keep all of it would fill our memory.
#[test]
fn of_much_standard_error_the_end_is_kept() {
    let host = Host::new();
    let mut config = host.config();
    let script = "head -c 1000000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1";
    config.hypervisor = host.write_program("program", script);
    let (exit, _) = ended(fail(&config));
    assert_eq!(exit.code, Some(1), "{exit}");
    assert_eq!(exit.stderr.len(), 16 * 1024);
    assert!(exit.stderr.ends_with("xxend\n"));
}

#[test]
fn a_program_that_cannot_be_executed() {
    let host = Host::new();
    let mut config = host.config();
    host.write("data", b"");
    for (program, text) in [
        ("/nonexistent/qemu", "cannot execute /nonexistent/qemu as user \"nobody\""),
        ("no-such-qemu", "cannot find no-such-qemu"),
    ] {
        config.hypervisor = program.into();
        assert_eq!(fail(&config).to_string(), text);
    }
    config.hypervisor = host.path("data");
    assert!(matches!(fail(&config), Error::Exec { source, .. }
        if source.kind() == std::io::ErrorKind::PermissionDenied));
}

#[test]
fn a_disk_image_is_a_file_of_the_machine() {
    let host = Host::new();
    let image = host.path("machine-1/disk.img");
    fs::remove_file(&image).unwrap();
    let text = |host: &Host| fail(&host.config()).to_string();
    assert_eq!(text(&host), format!("cannot open disk image {}", image.display()));
    // A file outside of the folder does not change its owner.
    host.write("other", b"");
    symlink(host.path("other"), &image).unwrap();
    assert_eq!(text(&host), format!("cannot open disk image {}", image.display()));
    assert_eq!(host.path("other").metadata().unwrap().uid(), 0);
    fs::remove_file(&image).unwrap();
    fs::create_dir(&image).unwrap();
    assert_eq!(
        text(&host),
        format!("disk image {:?} is not a regular file", image.display().to_string())
    );
}

#[test]
fn a_runtime_folder_is_there_and_its_path_is_short() {
    let host = Host::new();
    let mut config = host.config();
    config.runtime_dir = host.path("absent");
    let text = format!("cannot find runtime folder {}", config.runtime_dir.display());
    assert_eq!(fail(&config).to_string(), text);
    config.runtime_dir = host.path(&"long".repeat(25));
    fs::create_dir(&config.runtime_dir).unwrap();
    let text = fail(&config).to_string();
    assert!(text.ends_with("monitor.sock\" is longer than 107 bytes"), "{text}");
}
