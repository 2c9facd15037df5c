//! What can be done with a guest, and how it ends.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bbot_vm::event::ShutdownCause;
use bbot_vm::{GuestEvent, GuestExit, Network};
use rustix::process::{Pid, Signal, kill_process};

use crate::host::{Host, LIMIT, expect, expect_where, ip, last, network_of, start};

fn assert_killed(exit: &GuestExit) {
    assert_eq!((exit.code, exit.signal), (None, Some(9)), "{exit}");
}

fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[test]
fn suspend_resume_power_button_and_quit() {
    let host = Host::new();
    let (network, mut guest, events) = host.start();
    guest.suspend().unwrap();
    expect(&events, &GuestEvent::Stopped);
    guest.resume().unwrap();
    expect(&events, &GuestEvent::Resumed);
    guest.power_down().unwrap();
    expect(&events, &GuestEvent::PoweredDown);
    // The firmware ignores its power button.
    assert_eq!(guest.wait(Duration::ZERO), None);
    let exit = guest.force_down(LIMIT).unwrap();
    assert_eq!((exit.code, exit.signal), (Some(0), None), "{exit}");
    let shutdown = expect_where(&events, |event| matches!(event, GuestEvent::Shutdown { .. }));
    assert!(
        matches!(&shutdown, GuestEvent::Shutdown { guest: false, reason, .. }
            if *reason == ShutdownCause::HostQuit),
        "{shutdown:?}"
    );
    assert_eq!(last(&events), exit);
    network.tear_down().unwrap();
}

/// W27: stopped processors do not delay it.
#[test]
fn a_suspended_guest_is_forced_down() {
    let host = Host::new();
    let (_network, mut guest, events) = host.start();
    guest.suspend().unwrap();
    assert_eq!(guest.force_down(LIMIT).unwrap().code, Some(0));
    last(&events);
}

/// W13, W26: a boot that failed is repeated, on the same tap.
#[test]
fn guests_follow_each_other_on_one_network() {
    let host = Host::new();
    let network = Network::set_up(&network_of(1)).unwrap();
    for _ in 0..3 {
        let (guest, events) = start(&host.config(), &network);
        assert_eq!(guest.unwrap().force_down(LIMIT).unwrap().code, Some(0));
        last(&events);
    }
    network.tear_down().unwrap();
}

#[test]
fn a_hypervisor_that_does_not_answer_is_killed() {
    let host = Host::new();
    let (_network, guest, events) = host.start();
    let monitor = guest.monitor_path().to_owned();
    send(guest.pid(), Signal::STOP);
    let exit = guest.force_down(Duration::from_millis(20)).unwrap();
    assert_killed(&exit);
    assert_eq!(last(&events), exit);
    assert!(!monitor.try_exists().unwrap());
}

/// W29: the end is seen at once, with its signal.
#[test]
fn a_killed_hypervisor_is_reported_once() {
    let host = Host::new();
    let (_network, mut guest, events) = host.start();
    send(guest.pid(), Signal::KILL);
    let exit = last(&events);
    assert_killed(&exit);
    assert_eq!(guest.wait(Duration::ZERO), Some(exit.clone()));
    let error = guest.suspend().unwrap_err();
    assert_eq!(error.to_string(), "monitor command stop failed");
    assert_eq!(guest.force_down(LIMIT).unwrap(), exit);
}

#[test]
fn a_dropped_guest_is_killed() {
    let host = Host::new();
    let (network, guest, events) = host.start();
    let process = format!("/proc/{}", guest.pid());
    drop(guest);
    assert_killed(&last(&events));
    assert!(!std::fs::exists(process).unwrap());
    network.tear_down().unwrap();
    assert!(!ip("-brief link show").contains("tap"));
}

/// W27: by the monitor commands `cont` and `quit`.
#[test]
fn the_operator_ends_a_guest() {
    let host = Host::new();
    let (_network, mut guest, events) = host.start();
    guest.suspend().unwrap();
    expect(&events, &GuestEvent::Stopped);
    assert_eq!(guest.monitor_path(), host.path("public-1/monitor.sock"));
    let mut monitor = UnixStream::connect(guest.monitor_path()).unwrap();
    monitor.write_all(b"cont\n").unwrap();
    expect(&events, &GuestEvent::Resumed);
    monitor.write_all(b"quit\n").unwrap();
    // The connection ends with the guest.
    let mut answer = Vec::new();
    monitor.set_read_timeout(Some(LIMIT)).unwrap();
    monitor.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"QEMU "), "{answer:?}");
    assert_eq!(last(&events).code, Some(0));
    let path = guest.monitor_path().to_owned();
    drop(guest);
    assert!(!path.try_exists().unwrap());
}
