//! What is put right while a guest runs, and what cannot be.

use std::time::Duration;

use super::lan::{BRIDGE, become_host, ip, run};
use super::{Network, config};
use crate::error::{BridgeProblem, Error};
use crate::network::{Interface, Restored, TapUse};

fn set_up() -> Network {
    become_host();
    Network::set_up(&config(1, "public-1")).unwrap()
}

fn is_attached() -> bool {
    let [tap, bridge] = ["tap1", BRIDGE].map(|name| Interface::find(name).unwrap().unwrap());
    tap.is_up && tap.master == Some(bridge.index)
}

/// Damages the network by each command, and expects that to be put right, once.
#[track_caller]
fn check(program: &str, commands: &[(&str, &[Restored])]) {
    let mut network = set_up();
    let rules = || run("nft", "list ruleset");
    let before = rules();
    assert_eq!(network.restore().unwrap(), []);
    for (command, expected) in commands {
        run(program, command);
        assert_eq!(network.restore().unwrap(), *expected, "{command}");
        assert_eq!(network.restore().unwrap(), [], "{command}");
        assert_eq!(rules(), before, "{command}");
        assert!(is_attached(), "{command}");
    }
    network.tear_down().unwrap();
    assert_eq!(rules(), "");
}

#[test]
fn tables_are_restored_whatever_was_done_to_them() {
    let tables = &[Restored::Tables][..];
    check(
        "nft",
        &[
            ("flush ruleset", tables),
            ("delete table ip bbot-public-1", tables),
            ("delete table bridge bbot-public-1", tables),
            ("flush table ip bbot-public-1", tables),
            ("flush chain ip bbot-public-1 input", tables),
            ("flush chain bridge bbot-public-1 prerouting", tables),
            ("add table ip bbot-public-1 { flags dormant ; }", tables),
            ("insert rule ip bbot-public-1 input udp dport 69 drop", tables),
            ("add chain ip bbot-public-1 another", tables),
            ("chain ip bbot-public-1 input { policy drop ; }", tables),
        ],
    );
}

#[test]
fn the_tap_is_put_back() {
    check(
        "ip",
        &[
            ("link set tap1 nomaster", &[Restored::Port]),
            ("link set tap1 down", &[Restored::Up]),
            ("link set tap1 nomaster down", &[Restored::Port, Restored::Up]),
        ],
    );
}

#[test]
fn the_tap_is_taken_back_from_another_bridge() {
    let mut network = set_up();
    ip("link add br9 type bridge");
    ip("link set tap1 master br9");
    assert_eq!(network.restore().unwrap(), [Restored::Port]);
    assert!(is_attached());
}

/// With its address it serves as well as the first one, though its MAC address is another.
#[test]
fn a_bridge_that_was_made_anew_will_do() {
    let mut network = set_up();
    ip(&format!("link delete {BRIDGE}"));
    ip(&format!("link add {BRIDGE} type bridge"));
    ip(&format!("address add 10.23.0.1/24 dev {BRIDGE}"));
    ip(&format!("link set {BRIDGE} up"));
    assert_eq!(network.restore().unwrap(), [Restored::Port, Restored::Tables]);
    assert_eq!(network.restore().unwrap(), []);
    let mac = Interface::find(BRIDGE).unwrap().unwrap().mac.unwrap().to_string();
    assert!(run("nft", "list ruleset").contains(&mac), "{mac}");
}

#[test]
fn what_is_the_operators_is_not_restored() {
    let problem = |commands: &[&str]| {
        let mut network = set_up();
        for command in commands {
            ip(command);
        }
        match network.restore() {
            Err(Error::Bridge { problem, .. }) => problem,
            other => panic!("{commands:?}: {other:?}"),
        }
    };
    assert_eq!(problem(&["link set br0 down"]), BridgeProblem::Down);
    assert_eq!(problem(&["link delete br0"]), BridgeProblem::Missing);
    assert_eq!(problem(&["address flush dev br0"]), BridgeProblem::NoAddress);
    let moved = ["address flush dev br0", "address add 10.23.0.2/24 dev br0"];
    assert_eq!(problem(&moved), BridgeProblem::OtherAddress([10, 23, 0, 2].into()));
    let replaced = ["link delete br0", "link add br0 type veth peer name cable"];
    assert_eq!(problem(&replaced), BridgeProblem::OtherKind);
}

#[test]
fn a_tap_that_is_gone_is_not_replaced() {
    for commands in [
        &["link delete tap1"][..],
        &["link set tap1 down", "link set tap1 name other"],
        &["link delete tap1", "tuntap add dev tap1 mode tap"],
    ] {
        let mut network = set_up();
        for command in commands {
            ip(command);
        }
        let error = network.restore().unwrap_err();
        assert!(matches!(error, Error::TapGone { .. }), "{commands:?}: {error}");
    }
}

#[test]
fn a_tap_of_another_program_is_told_from_our_own() {
    become_host();
    let config = config(1, "public-1");
    assert_eq!(config.tap_use().unwrap(), TapUse::Free);
    let network = Network::set_up(&config).unwrap();
    assert_eq!(config.tap_use().unwrap(), TapUse::Own);
    network.tear_down().unwrap();
    for command in ["tuntap add dev tap1 mode tap", "link add tap1 type veth peer name cable"] {
        ip(command);
        assert_eq!(config.tap_use().unwrap(), TapUse::Foreign, "{command}");
        ip("link delete tap1");
    }
}

/// Only with the spanning tree protocol does a new port wait before it forwards.
#[test]
fn a_forwarding_delay_is_read() {
    become_host();
    let delay = || Interface::find(BRIDGE).unwrap().unwrap().forward_delay;
    assert_eq!(delay(), None);
    ip(&format!("link set {BRIDGE} type bridge stp_state 1 forward_delay 400"));
    assert_eq!(delay(), Some(Duration::from_secs(4)));
    assert_eq!(Interface::find("lo").unwrap().unwrap().forward_delay, None);
    assert_eq!(Interface::find("no-such").unwrap(), None);
    assert!(Interface::find("a-name-of-16-byt").is_err());
}
