//! The serial console of a guest that writes without pause, and turns itself off.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::time::Instant;

use bbot_vm::event::ShutdownCause;
use bbot_vm::{GuestEvent, Network};

use crate::host::{Host, LIMIT, expect_where, last, network_of, start};

/// How many bytes the boot sector writes.
const WRITTEN: u16 = 40_000;

/// What the boot sector writes `left` bytes before its end.
fn letter(left: u16) -> u8 {
    b'A' + (left % 32).to_le_bytes()[0]
}

/// Writes to the first serial port, waiting until it takes a byte; then turns the machine off.
fn boot_sector() -> Vec<u8> {
    let [low, high] = WRITTEN.to_le_bytes();
    #[rustfmt::skip]
    let mut code = vec![
        0xb9, low, high,    //         mov cx, WRITTEN
        0xba, 0xfd, 0x03,   // next:   mov dx, 0x3fd       line status
        0xec,               // full:   in al, dx
        0xa8, 0x20,         //         test al, 0x20       transmitter empty
        0x74, 0xfb,         //         jz full
        0xba, 0xf8, 0x03,   //         mov dx, 0x3f8
        0x88, 0xc8,         //         mov al, cl
        0x24, 0x1f,         //         and al, 31
        0x04, b'A',         //         add al, 'A'
        0xee,               //         out dx, al
        0xe2, 0xec,         //         loop next
        0xba, 0x04, 0x06,   //         mov dx, 0x604       ACPI power management
        0xb8, 0x00, 0x20,   //         mov ax, 0x2000      sleep state 5
        0xef,               //         out dx, ax
        0xf4,               //         hlt
    ];
    code.resize(510, 0);
    code.extend([0x55, 0xaa]);
    code
}

/// W29: a guest that turns itself off is noticed, and all that it wrote before was read.
#[test]
fn the_end_of_the_console_is_kept_and_the_guest_turns_itself_off() {
    let host = Host::new();
    let image = host.path("machine-1/disk.img");
    let mut disk = fs::OpenOptions::new().write(true).open(image).unwrap();
    disk.seek(SeekFrom::Start(0)).unwrap();
    disk.write_all(&boot_sector()).unwrap();
    let mut config = host.config();
    config.console_limit = 10_000;
    let network = Network::set_up(&network_of(1)).unwrap();
    let before = Instant::now();
    let (guest, events) = start(&config, &network);
    let guest = guest.unwrap();
    let shutdown = expect_where(&events, |event| matches!(event, GuestEvent::Shutdown { .. }));
    assert!(
        matches!(&shutdown, GuestEvent::Shutdown { guest: true, reason, .. }
            if *reason == ShutdownCause::GuestShutdown),
        "{shutdown:?}"
    );
    let exit = last(&events);
    println!("boot, {WRITTEN} bytes and off: {:?}", before.elapsed());
    assert_eq!((exit.code, exit.signal), (Some(0), None), "{exit}");
    assert_eq!(guest.wait(LIMIT), Some(exit));

    let log = guest.console_path().to_owned();
    drop(guest);
    let written: Vec<u8> = (1..=WRITTEN).rev().map(letter).collect();
    let kept = fs::read(log).unwrap();
    assert!((5_000..=10_000).contains(&kept.len()), "{}", kept.len());
    assert!(written.ends_with(&kept));
}
