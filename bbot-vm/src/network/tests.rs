//! The rules, tested with real packets, and what is left when they are deleted.

pub(crate) mod lan;
mod restore;
mod watch;

use std::fs::File;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::time::Duration;

use nix::libc;

use super::bridge::{open_socket, settle_mac};
use super::tables::Tables;
use super::*;
use crate::mac_address::MacAddress;
use crate::process;
use lan::{BRIDGE, BRIDGE_ADDRESS, Node, Servers, become_host, bridged_packet_filters, ip, run};

const GUEST_SERVER: Ipv4Addr = Ipv4Addr::new(196, 254, 111, 222);
const LIMIT: Duration = Duration::from_secs(30);
const PORT_A: u16 = 23401;
const PORT_B: u16 = 23410;

pub(crate) fn config(offset: u16, instance: &str) -> NetworkConfig {
    NetworkConfig::new(BRIDGE, offset, instance, 23400 + offset)
}

/// Makes an instance's tables for a guest behind `interface`.
pub(crate) fn route(instance: &str, interface: &str, offset: u16) -> Tables {
    let bridge_mac = settle_mac(&open_socket(BRIDGE).unwrap(), BRIDGE).unwrap();
    let config = config(offset, instance);
    let server = (BRIDGE_ADDRESS, config.tftp_port);
    let mut tables = config.tables().unwrap();
    tables.make(&Route { interface, mark: config.mark(), server, bridge_mac }).unwrap();
    tables
}

/// Two guests, each with an instance, and another host on the bridge.
fn two_guests(gateway: Ipv4Addr) {
    let host = |last| Ipv4Addr::new(10, 23, 0, last);
    let a = Node::connected("guest-a", host(11), gateway);
    let b = Node::connected("guest-b", host(12), gateway);
    let other = Node::connected("other", host(13), gateway);
    let tables_a = route("public-1", "guest-a", 1);
    let tables_b = route("public-10", "guest-b", 10);
    let servers = Servers::bind(&[PORT_A, PORT_B]);
    let reached = |node: &Node, address: Ipv4Addr, port| {
        let client = node.connect(address, port);
        let first = servers.reached(node, &client, b"question");
        // By the connection that the first one made, or did not make; and in six frames.
        assert_eq!(servers.reached(node, &client, &[b'q'; 8000]), first);
        first
    };
    // Each guest finds its own server at the one address, and no other host finds one there.
    assert_eq!(reached(&a, GUEST_SERVER, 69), Some(PORT_A));
    assert_eq!(reached(&b, GUEST_SERVER, 69), Some(PORT_B));
    assert_eq!(reached(&other, GUEST_SERVER, 69), None);
    // That address has no other port.
    assert_eq!(reached(&a, GUEST_SERVER, 70), None);
    assert_eq!(reached(&a, GUEST_SERVER, PORT_A), None);
    // The servers cannot be reached at the host's own address.
    for node in [&a, &b, &other] {
        for port in [PORT_A, PORT_B] {
            assert_eq!(reached(node, BRIDGE_ADDRESS, port), None);
        }
    }
    // All that is the effect of the tables, each for its own instance.
    drop(tables_a);
    assert_eq!(reached(&a, GUEST_SERVER, 69), None);
    assert_eq!(reached(&other, BRIDGE_ADDRESS, PORT_A), Some(PORT_A));
    assert_eq!(reached(&b, GUEST_SERVER, 69), Some(PORT_B));
    assert_eq!(reached(&other, BRIDGE_ADDRESS, PORT_B), None);
    drop(tables_b);
    assert_eq!(run("nft", "list ruleset"), "");
}

#[test]
fn guests_reach_only_their_own_server_through_the_bridge_as_gateway() {
    for filter in bridged_packet_filters() {
        become_host();
        filter.set();
        two_guests(BRIDGE_ADDRESS);
    }
}

#[test]
fn guests_reach_only_their_own_server_beside_another_gateway() {
    for filter in bridged_packet_filters() {
        become_host();
        filter.set();
        let gateway = Ipv4Addr::new(10, 23, 0, 254);
        let _box = Node::connected("gateway", gateway, BRIDGE_ADDRESS);
        two_guests(gateway);
    }
}

/// A guest that comes back under another instance reaches that instance's server, though the kernel
/// still remembers the connection to the other's.
#[test]
fn a_guest_follows_its_instance() {
    become_host();
    let guest = Node::connected("guest", Ipv4Addr::new(10, 23, 0, 11), BRIDGE_ADDRESS);
    let servers = Servers::bind(&[PORT_A, PORT_B]);
    let client = guest.connect(GUEST_SERVER, 69);
    for (instance, offset, port) in [("public-1", 1, PORT_A), ("public-10", 10, PORT_B)] {
        let _tables = route(instance, "guest", offset);
        assert_eq!(servers.reached(&guest, &client, b"question"), Some(port));
    }
}

/// A packet through a real tap, there and back.
#[test]
fn a_tap_leads_to_the_server() {
    become_host();
    let network = Network::set_up(&config(7, "public-7")).unwrap();
    let bridge_mac = open_socket(BRIDGE).unwrap().mac(BRIDGE).unwrap();
    let guest_mac = MacAddress::new([2, 0, 0, 0, 0, 7]);
    ip("neighbor add 10.23.0.77 lladdr 02:00:00:00:00:07 dev br0");
    let server = UdpSocket::bind((network.bridge_address(), 23407)).unwrap();
    server.set_read_timeout(Some(LIMIT)).unwrap();

    // There is no QEMU here: the other end of the tap is its file descriptor.
    let mut tap = File::from(network.tap().try_clone_to_owned().unwrap());
    let frame = frame::udp(bridge_mac, guest_mac, [10, 23, 0, 77], GUEST_SERVER.octets(), 69);
    tap.write_all(&frame).unwrap();
    let mut buffer = [0; 2048];
    let (length, peer) = server.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], peer.ip()), (&b"hello"[..], [10, 23, 0, 77].into()));
    server.send_to(b"answer", peer).unwrap();
    let answer = loop {
        assert!(process::wait_readable(tap.as_fd(), LIMIT), "the answer did not come");
        let length = tap.read(&mut buffer).unwrap();
        // The bridge sends other frames, too: router solicitations, group reports.
        if frame::is_udp_from(&buffer[..length], GUEST_SERVER.octets(), 69) {
            break &buffer[..length];
        }
    };
    assert!(answer.ends_with(b"answer"));
    drop(tap);
    network.tear_down().unwrap();
}

/// Returns names and addresses of the interfaces; their flags change a moment later.
fn links() -> Vec<String> {
    let lines = ip("-brief link show");
    let words = lines.lines().map(|line| line.split_whitespace().step_by(2).take(2));
    words.flatten().map(str::to_owned).collect()
}

#[test]
fn nothing_is_left_of_a_network() {
    become_host();
    let before = links();
    let network = Network::set_up(&config(1, "public-1")).unwrap();
    let tap = ip("-details -oneline link show tap1");
    for part in ["master br0", "tun type tap", "persist off", "fe:bb:00:00:00:01", "UP"] {
        assert!(tap.contains(part), "{part}: {tap}");
    }
    assert_eq!(run("nft", "list tables"), "table bridge bbot-public-1\ntable ip bbot-public-1\n");
    network.tear_down().unwrap();
    assert_eq!((links(), run("nft", "list tables")), (before.clone(), String::new()));

    drop(Network::set_up(&config(1, "public-1")).unwrap());
    assert_eq!((links(), run("nft", "list tables")), (before, String::new()));
}

#[test]
fn tear_down_says_that_a_guest_still_holds_the_tap() {
    become_host();
    let network = Network::set_up(&config(1, "public-1")).unwrap();
    let held = network.tap().try_clone_to_owned().unwrap();
    let error = network.tear_down().unwrap_err();
    assert_eq!(error.to_string(), r#"cannot remove network interface "tap1""#);
    assert_eq!(run("nft", "list tables"), "");
    drop(held);
    assert!(!tap::is_there("tap1"));
}

#[test]
fn a_failed_set_up_says_why_and_leaves_nothing() {
    become_host();
    ip("link add bare up type bridge");
    ip("link add br-down type bridge");
    ip("address add 10.25.0.1/24 dev br-down");
    ip("link add cable type veth peer name tap3");
    ip("address add 10.24.0.1/24 dev cable");
    let before = links();
    let failed = |bridge: &str, offset, instance: &str| {
        let config = NetworkConfig { bridge: bridge.into(), ..config(offset, instance) };
        let error = Network::set_up(&config).unwrap_err();
        assert_eq!(links(), before, "{error}");
        assert_eq!(run("nft", "list tables"), "", "{error}");
        let errno = match &error {
            Error::Interface { source, .. } => source.raw_os_error().unwrap(),
            _ => 0,
        };
        (error.to_string(), errno)
    };
    for (bridge, offset, instance, text, errno) in [
        ("nothing", 1, "x-1", r#"bridge "nothing" does not exist"#, 0),
        ("br-down", 1, "x-1", r#"bridge "br-down" is down"#, 0),
        ("bare", 1, "x-1", r#"bridge "bare" has no IPv4 address"#, 0),
        ("cable", 1, "x-1", r#"bridge "cable" is not a bridge"#, 0),
        (BRIDGE, 3, "x-3", r#"cannot create network interface "tap3""#, libc::EBUSY),
        ("a/b", 1, "x-1", r#"bridge "a/b" is not the name of a network interface"#, 0),
        (
            "a-name-of-16-byt",
            1,
            "x-1",
            r#"bridge "a-name-of-16-byt" is not the name of a network interface"#,
            0,
        ),
    ] {
        assert_eq!(failed(bridge, offset, instance), (text.into(), errno));
    }
}

/// Both tables, or neither.
#[test]
fn an_error_of_nft_is_quoted() {
    become_host();
    let mut tables = config(1, "public-1").tables().unwrap();
    let server = (Ipv4Addr::LOCALHOST, 0);
    let route = Route { interface: "\" \"", mark: 1, server, bridge_mac: MacAddress::new([2; 6]) };
    let Error::Nft { stderr, .. } = tables.make(&route).unwrap_err() else { panic!("no nft") };
    assert!(stderr.contains("Error: "), "{stderr}");
    assert_eq!(run("nft", "list ruleset"), "");
}

#[test]
fn a_tap_of_that_name_is_not_taken_over() {
    become_host();
    let first = Network::set_up(&config(1, "public-1")).unwrap();
    let error = Network::set_up(&config(1, "public-2")).unwrap_err();
    assert_eq!(error.to_string(), r#"cannot create network interface "tap1""#);
    assert!(tap::is_there("tap1"));
    first.tear_down().unwrap();
}

/// Other instances' rules and the guests' ARP caches contain it.
#[test]
fn the_bridge_keeps_its_mac_address() {
    become_host();
    let mac = || open_socket(BRIDGE).unwrap().mac(BRIDGE).unwrap();
    let first = Network::set_up(&config(9, "public-9")).unwrap();
    let settled = mac();
    let second = Network::set_up(&config(2, "public-2")).unwrap();
    assert_eq!(mac(), settled);
    drop(first);
    assert_eq!(mac(), settled);
    drop(second);
    assert_eq!(mac(), settled);
}

#[test]
fn the_bridges_address_is_read() {
    become_host();
    assert_eq!(bridge_address(BRIDGE).unwrap(), BRIDGE_ADDRESS);
    assert!(bridge_address("no-such").is_err());
    assert!(bridge_address("").is_err());
}

/// Ethernet frames as a tap with a virtio header takes and gives them.
mod frame {
    use crate::mac_address::MacAddress;

    const VIRTIO_HEADER: usize = 10;
    const ETHERNET_HEADER: usize = 14;
    const IP_HEADER: usize = 20;

    /// A UDP packet whose content is `hello`.
    pub(super) fn udp(
        to: MacAddress,
        from: MacAddress,
        source: [u8; 4],
        destination: [u8; 4],
        port: u8,
    ) -> Vec<u8> {
        let text = b"hello";
        let mut packet = vec![0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend([source, destination].concat());
        let sum = checksum(&packet).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
        // From port 1025, with a length of 13 and no checksum.
        packet.extend([4, 1, 0, port, 0, 13, 0, 0]);
        packet.extend(text);
        let ethernet = [&to.octets()[..], &from.octets()[..], &[8, 0][..]].concat();
        [&[0; VIRTIO_HEADER][..], &ethernet, &packet].concat()
    }

    pub(super) fn is_udp_from(frame: &[u8], source: [u8; 4], port: u8) -> bool {
        let Some(packet) = frame.get(VIRTIO_HEADER + ETHERNET_HEADER..) else { return false };
        packet.len() > IP_HEADER + 8
            && packet[0] == 0x45
            && packet[9] == 17
            && packet[12..16] == source
            && packet[IP_HEADER..IP_HEADER + 2] == [0, port]
    }

    fn checksum(header: &[u8]) -> u16 {
        let words = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
        let sum: u32 = words.sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
    }
}
