//! What is removed, and what is not.

use std::os::unix::net::UnixListener;

use super::*;
use crate::network::Network;
use crate::network::tests::lan::{BRIDGE, become_host, ip, run};
use crate::network::tests::{config, route};

fn is_there(interface: &str) -> bool {
    nix::net::if_::if_nametoindex(interface).is_ok()
}

/// W3: the monitor's socket, and nothing else of that name.
#[test]
fn sockets_are_removed_where_guests_make_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["private", "file", "deep", "deep/er"] {
        fs::create_dir(path(name)).unwrap();
    }
    let sockets = ["monitor.sock", "private/monitor.sock"].map(path);
    let removed = sockets.clone().map(|path| Swept::Socket { path });
    for socket in &sockets {
        UnixListener::bind(socket).unwrap();
    }
    UnixListener::bind(path("deep/er/monitor.sock")).unwrap();
    UnixListener::bind(path("private/other.sock")).unwrap();
    fs::write(path("file/monitor.sock"), "").unwrap();
    std::os::unix::fs::symlink(path("deep/er"), path("link")).unwrap();
    assert_eq!(sweep_guests(folder.path()).unwrap(), removed);
    assert!(remove_sockets(folder.path()).unwrap().is_empty());
    for kept in ["deep/er/monitor.sock", "private/other.sock", "file/monitor.sock"] {
        assert!(path(kept).symlink_metadata().is_ok(), "{kept}");
    }
    assert!(remove_sockets(&path("absent")).unwrap().is_empty());
}

#[test]
fn swept_things_are_displayed_by_name() {
    for (swept, expected) in [
        (Swept::Process { pid: 7 }, "hypervisor process 7"),
        (Swept::Tap { name: "tap1".into() }, "tap tap1"),
        (
            Swept::Table { family: "ip".into(), name: "bbot-public-1".into() },
            "nft table ip bbot-public-1",
        ),
        (Swept::Socket { path: "/run/x".into() }, "socket /run/x"),
    ] {
        assert_eq!(swept.to_string(), expected);
    }
}

/// W3: what has the instance's name is removed, what has a similar name stays.
#[test]
fn sweep_removes_a_dead_instances_tap_and_tables() {
    become_host();
    let runtime_dir = tempfile::tempdir().unwrap();
    let names = ["public", "public-1", "public-10", "public-1-1", "c++-1"];
    let tables = |name: &str| {
        let name = name.replace('+', "/");
        format!("table bridge bbot-{name}\ntable ip bbot-{name}\n")
    };
    for (offset, name) in (1..).zip(names) {
        let interface = format!("tap{offset}");
        // The tables stay, as those of a killed process do.
        std::mem::forget(route(name, &interface, offset));
        ip(&format!("tuntap add {interface} mode tap"));
        ip(&format!("link set {interface} address fe:bb:00:00:00:0{offset}"));
        ip(&format!("link set {interface} master {BRIDGE}"));
    }
    ip("tuntap add tap22 mode tap");
    for (offset, name) in [(2, "public-1"), (5, "c++-1"), (1, "public"), (3, "public-10")] {
        let config = config(offset, name);
        let before = run("nft", "list tables");
        let swept = sweep(&config, runtime_dir.path()).unwrap();
        let [family_1, family_2] = ["bridge", "ip"].map(|family| Swept::Table {
            family: family.into(),
            name: format!("bbot-{}", name.replace('+', "/")),
        });
        let tap = Swept::Tap { name: config.tap() };
        assert_eq!(swept, [tap, family_1, family_2]);
        assert!(!is_there(&config.tap()));
        let mut gone: Vec<&str> = before.lines().collect();
        gone.retain(|line| !tables(name).lines().any(|deleted| deleted == *line));
        assert_eq!(run("nft", "list tables").lines().collect::<Vec<_>>(), gone);
        assert_eq!(sweep(&config, runtime_dir.path()).unwrap(), []);
    }
    assert_eq!(run("nft", "list tables"), tables("public-1-1"));
    assert!(is_there("tap22") && is_there("tap4"));
}

/// W3, W69: an interface that has the name of the instance's tap, but was made by another program,
/// stays.
#[test]
fn sweep_leaves_a_foreign_tap() {
    become_host();
    let runtime_dir = tempfile::tempdir().unwrap();
    for command in [
        "tuntap add tap1 mode tap",
        "tuntap add tap1 mode tun",
        "link add tap1 type veth peer name cable",
        // Only its address makes a tap of this number ours.
        "link add tap1 address fe:bb:00:00:00:01 type bridge",
    ] {
        ip(command);
        assert_eq!(sweep(&config(1, "public-1"), runtime_dir.path()).unwrap(), [], "{command}");
        assert!(is_there("tap1"), "{command}");
        ip("link delete tap1");
    }
}

/// W3: a tap that another process holds is not removed.
#[test]
fn sweep_reports_a_tap_in_use() {
    become_host();
    let runtime_dir = tempfile::tempdir().unwrap();
    let network = Network::set_up(&config(1, "other-1")).unwrap();
    let error = sweep(&config(1, "public-1"), runtime_dir.path()).unwrap_err();
    assert_eq!(error.to_string(), r#"cannot remove network interface "tap1""#);
    network.tear_down().unwrap();
}
