//! Real QEMU processes, whose guest is the firmware on an empty disk.

#![allow(clippy::unwrap_used, reason = "a test ends with the first surprise")]

mod host;

use std::time::Instant;

use bbot_vm::GuestEvent;
use host::{Host, LIMIT, expect, last};

#[test]
fn start_suspend_resume_and_force_down() {
    let host = Host::new();
    let before = Instant::now();
    let (network, mut guest, events) = host.start();
    println!("network to running: {:?}", before.elapsed());
    println!("exec to running: {:?}", guest.executed().elapsed());
    guest.suspend().unwrap();
    expect(&events, &GuestEvent::Stopped);
    guest.resume().unwrap();
    expect(&events, &GuestEvent::Resumed);
    let before = Instant::now();
    let exit = guest.force_down(LIMIT).unwrap();
    println!("force down: {:?}", before.elapsed());
    assert_eq!((exit.code, exit.signal), (Some(0), None), "{exit}");
    assert_eq!(last(&events), exit);
    let before = Instant::now();
    network.tear_down().unwrap();
    println!("tear down: {:?}", before.elapsed());
}
