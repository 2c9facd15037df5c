//! The agent's TFTP, as programs in a guest see it: through its kernel and its firewall, the tap,
//! the bridge and the agent's rules.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;

use bbot_manifest::{Manifest, ResultRequest, ResultStatus};
use bbot_tests::harness::controller::{Exchange, Outcome, Verdict};
use bbot_tests::harness::farm::layout;
use bbot_tests::harness::hypervisor::lz4_frame;
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::namespace_guest::{Gateway, GuestListener, NamespaceGuest};
use bbot_tests::harness::testbed::Testbed;

/// A guest whose build is done elsewhere.
const PLUGGED: &str = "fresh\nfirst: put-bootstrap 0.16.0\nfirst: install\nlater: plug /run/plug\n";
const SERVER: &str = "196.254.111.222";
const RESULT: &str = ": 1\nname: libfoo\nversion: 1.0.0\nstatus: success\n\
    update-status: success\nupdate-log: by curl\n";

/// A socket of the guest that nothing has asked for anything: what comes to it is no answer.
struct Unasked {
    namespaces: UdpSocket,
    outside: UdpSocket,
}

impl Unasked {
    fn new(testbed: &Testbed, station: &NamespaceGuest) -> Self {
        let namespaces = station.socket().unwrap();
        namespaces.set_read_timeout(Some(LIMIT)).unwrap();
        let bind = || UdpSocket::bind((layout::BRIDGE_ADDRESS, 0));
        let outside = testbed.farm.namespaces().run(bind).unwrap().unwrap();
        let port = namespaces.local_addr().unwrap().port();
        outside.connect((station.address(), port)).unwrap();
        Self { namespaces, outside }
    }

    fn send(&self) {
        self.outside.send(b"let me in").unwrap();
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i * 31 + i / 251) % 251).unwrap()).collect()
}

/// Gets and puts by programs in the guest; the agent's folders are `get` and `put`.
fn transfer(station: &NamespaceGuest, get: &Path, put: &Path) {
    let own = tempfile::tempdir().unwrap();
    let run = |words: &str| station.program(own.path(), words).unwrap();
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
    let testbed = Testbed::new(PLUGGED, &["libfoo"]).unwrap();
    let plug = GuestListener::new(&testbed.farm.run().join("plug")).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    let station = plug.wait(LIMIT, gateway).unwrap();
    let unasked = Unasked::new(&testbed, &station);
    unasked.send();
    unasked.namespaces.recv(&mut [0; 16]).unwrap();
    station.close_firewall().unwrap();
    unasked.send();

    let build = testbed.farm.tftp().join("build/default-1");
    transfer(&station, &build.join("get"), &build.join("put"));
    unasked.namespaces.set_nonblocking(true).unwrap();
    assert!(unasked.namespaces.recv(&mut [0; 16]).is_err(), "the firewall is open");

    let own = tempfile::tempdir().unwrap();
    let file = own.path().join("result.manifest.lz4");
    fs::write(&file, lz4_frame(RESULT.as_bytes()).unwrap()).unwrap();
    let url = format!("tftp://{SERVER}/result.manifest.lz4");
    station.program(own.path(), &format!("curl -sS -m 60 -T {} {url}", file.display())).unwrap();
    let stored = |exchanges: &[Exchange]| {
        exchanges.iter().find_map(|exchange| match &exchange.outcome {
            Outcome::Result { verdict, .. } => {
                Some((verdict.clone(), ResultRequest::parse(&exchange.request.body, "r").unwrap()))
            }
            _ => None,
        })
    };
    let (verdict, result) = testbed.controller.wait(LIMIT, stored).expect("no result came");
    assert_eq!(verdict, Verdict::Stored(ResultStatus::Success));
    assert_eq!(result.result.results[0].log.trim_end(), "by curl");
    drop(station);
    agent.end().unwrap();
}

/// T1, T3: curl and busybox in a guest whose firewall lets only answers in, gateway the bridge.
#[test]
fn a_firewall_lets_answers_in_through_the_bridge_as_gateway() {
    build_behind_a_firewall(Gateway::Bridge);
}

/// T1, T3: the same where the guest's gateway is another box.
#[test]
fn a_firewall_lets_answers_in_beside_another_gateway() {
    build_behind_a_firewall(Gateway::Other);
}
