//! Which changes are reported.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::config;
use super::lan::{BRIDGE, become_host, ip, run};
use crate::network::{Network, NetworkWatch};

/// Longer than a notification takes on a busy host.
const LIMIT: Duration = Duration::from_secs(30);

fn watched() -> (NetworkWatch, Receiver<()>) {
    let (sender, changes) = channel();
    let watch =
        NetworkWatch::start(&config(1, "public-1"), move || sender.send(()).unwrap_or(())).unwrap();
    (watch, changes)
}

#[test]
fn changes_of_the_network_are_reported() {
    become_host();
    let (_watch, changes) = watched();
    let _network = Network::set_up(&config(1, "public-1")).unwrap();
    changes.recv_timeout(LIMIT).expect("the set-up is a change");
    for (program, command) in [
        ("nft", "flush ruleset"),
        ("ip", "link set tap1 nomaster"),
        ("ip", "link set tap1 down"),
        ("ip", "address add 10.23.0.9/24 dev br0"),
        ("ip", "address flush dev br0"),
        ("ip", "link set br0 down"),
        ("ip", "link set br0 name br7"),
        ("ip", "link set br7 up"),
        ("ip", "link delete br7"),
        ("ip", "link delete tap1"),
    ] {
        while changes.try_recv().is_ok() {}
        run(program, command);
        changes.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

/// Other instances come and go meanwhile: their interfaces and tables are none of this one's.
#[test]
fn changes_of_others_are_not_reported() {
    become_host();
    let (watch, changes) = watched();
    run("nft", "add table ip bbot-public-10");
    run("nft", "delete table ip bbot-public-10");
    ip("tuntap add dev tap10 mode tap");
    ip("link delete tap10");
    drop(watch);
    assert_eq!(changes.iter().count(), 0);
}

/// To end a watch takes no notification, and a bridge that does not exist yet is watched as well.
#[test]
fn a_bridge_that_appears_is_reported() {
    become_host();
    ip(&format!("link delete {BRIDGE}"));
    let (watch, changes) = watched();
    ip(&format!("link add {BRIDGE} type bridge"));
    changes.recv_timeout(LIMIT).unwrap();
    drop(watch);
}
