//! The agent's TFTP, as programs in a guest see it: through its kernel and its firewall, the tap,
//! the bridge and the agent's rules.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;

use bbot_manifest::ResultStatus;
use bbot_tests::harness::controller::Verdict;
use bbot_tests::harness::farm::layout;
use bbot_tests::harness::hypervisor::lz4_frame;
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::namespace_guest::{Gateway, GuestListener, NamespaceGuest};
use bbot_tests::harness::testbed::Testbed;

/// A guest whose frames are forwarded in a build.
const FORWARDED: &str =
    "fresh\nfirst: put-bootstrap 0.16.0\nfirst: install\nlater: forward /run/guest\n";
const SERVER: &str = "196.254.111.222";
const RESULT: &str = ": 1\nname: libfoo\nversion: 1.0.0\nstatus: success\n\
    update-status: success\nupdate-log: by curl\n";

/// A socket in the guest that sends nothing, and one outside that sends to it: no datagram is an
/// answer.
struct Unsolicited {
    inside: UdpSocket,
    outside: UdpSocket,
}

impl Unsolicited {
    fn new(testbed: &Testbed, guest: &NamespaceGuest) -> Self {
        let inside = guest.socket().unwrap();
        inside.set_read_timeout(Some(LIMIT)).unwrap();
        let bind = || UdpSocket::bind((layout::BRIDGE_ADDRESS, 0));
        let outside = testbed.farm.namespaces().run(bind).unwrap().unwrap();
        let port = inside.local_addr().unwrap().port();
        outside.connect((guest.address(), port)).unwrap();
        Self { inside, outside }
    }

    fn send(&self) {
        self.outside.send(b"let me in").unwrap();
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i * 31 + i / 251) % 251).unwrap()).collect()
}

/// Downloads and uploads by programs in the guest; the agent's folders are `get` and `put`.
fn transfer(guest: &NamespaceGuest, get: &Path, put: &Path) {
    let own = tempfile::tempdir().unwrap();
    let run = |words: &str| guest.program(own.path(), words).unwrap();
    let big = content(300_000);
    fs::write(get.join("big"), &big).unwrap();
    fs::write(own.path().join("up"), &big).unwrap();
    let task = fs::read(get.join("task.manifest")).unwrap();
    for program in [
        "curl -sS -m 60 -o FILE.got tftp://SERVER/FILE",
        "curl -sS -m 60 --tftp-blksize 1428 -o FILE.got tftp://SERVER/FILE",
        "busybox tftp -g -r FILE -l FILE.got SERVER",
        "busybox tftp -g -b 8192 -r FILE -l FILE.got SERVER",
    ] {
        for (file, expected) in [("task.manifest", &task), ("big", &big)] {
            run(&program.replace("FILE", file).replace("SERVER", SERVER));
            let got = own.path().join(format!("{file}.got"));
            assert!(fs::read(&got).unwrap() == *expected, "{program} {file}");
            fs::remove_file(got).unwrap();
        }
    }
    for program in [
        "curl -sS -m 60 -T up tftp://SERVER/stored",
        "curl -sS -m 60 --tftp-blksize 8192 -T up tftp://SERVER/stored",
        "busybox tftp -p -l up -r stored SERVER",
        "busybox tftp -p -b 1428 -l up -r stored SERVER",
    ] {
        run(&program.replace("SERVER", SERVER));
        assert!(fs::read(put.join("stored")).unwrap() == big, "{program}");
        fs::remove_file(put.join("stored")).unwrap();
    }
}

fn build_behind_a_firewall(gateway: Gateway) {
    let testbed = Testbed::new(FORWARDED, &["libfoo"]).unwrap();
    let listener = GuestListener::new(&testbed.farm.run().join("guest")).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    let guest = listener.wait(LIMIT, gateway).unwrap();
    let unsolicited = Unsolicited::new(&testbed, &guest);
    unsolicited.send();
    unsolicited.inside.recv(&mut [0; 16]).unwrap();
    guest.close_firewall().unwrap();
    unsolicited.send();

    let build = testbed.farm.tftp().join("build/default-1");
    transfer(&guest, &build.join("get"), &build.join("put"));
    unsolicited.inside.set_nonblocking(true).unwrap();
    assert!(unsolicited.inside.recv(&mut [0; 16]).is_err(), "the firewall is open");

    let own = tempfile::tempdir().unwrap();
    let file = own.path().join("result.manifest.lz4");
    fs::write(&file, lz4_frame(RESULT.as_bytes()).unwrap()).unwrap();
    let url = format!("tftp://{SERVER}/result.manifest.lz4");
    guest.program(own.path(), &format!("curl -sS -m 60 -T {} {url}", file.display())).unwrap();
    let (verdict, result) = testbed.result(1).unwrap();
    assert_eq!(verdict, Verdict::Stored(ResultStatus::Success));
    assert_eq!(result.result.results[0].log.trim_end(), "by curl");
    drop(guest);
    agent.end().unwrap();
}

/// T1, T3: curl and busybox in a guest whose firewall accepts only answers; its gateway is the
/// bridge.
#[test]
fn a_firewall_lets_answers_in_through_the_bridge_as_gateway() {
    build_behind_a_firewall(Gateway::Bridge);
}

/// T1, T3: the same where the guest's gateway is another host.
#[test]
fn a_firewall_lets_answers_in_beside_another_gateway() {
    build_behind_a_firewall(Gateway::Other);
}
