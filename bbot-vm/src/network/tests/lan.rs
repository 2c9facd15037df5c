//! A bridge and the hosts connected to it, made of network namespaces that end with their threads.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};

pub(crate) const BRIDGE: &str = "br0";
pub(crate) const BRIDGE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 23, 0, 1);
/// A port of the host that no rule refers to.
pub(crate) const OPEN_PORT: u16 = 4711;
/// Longer than a packet takes on a busy host.
const LIMIT: Duration = Duration::from_secs(30);

/// Moves the calling thread into a network namespace with a bridge.
pub(crate) fn become_host() {
    unshare(CloneFlags::CLONE_NEWNET).expect("these tests run as root");
    ip("link set lo up");
    ip(&format!("link add {BRIDGE} type bridge"));
    ip(&format!("address add {BRIDGE_ADDRESS}/24 dev {BRIDGE}"));
    ip(&format!("link set {BRIDGE} up"));
}

/// Whether the rules for IP see the packets that the host's bridge forwards.
pub(crate) struct BridgedPacketFilter(&'static str);

/// Returns both, if the kernel has `br_netfilter`; without it, they never see them.
pub(crate) fn bridged_packet_filters() -> Vec<BridgedPacketFilter> {
    let has_switch = fs::exists(BridgedPacketFilter::SWITCH).unwrap();
    let values: &[_] = if has_switch { &["0", "1"] } else { &[""] };
    values.iter().copied().map(BridgedPacketFilter).collect()
}

impl BridgedPacketFilter {
    const SWITCH: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

    /// Sets it in the network namespace of the calling thread.
    pub(crate) fn set(&self) {
        if !self.0.is_empty() {
            fs::write(BridgedPacketFilter::SWITCH, self.0).unwrap();
        }
    }
}

/// Another host: a thread in a network namespace of its own.
pub(crate) struct Node {
    work: Sender<Box<dyn FnOnce() + Send>>,
    tid: i32,
}

impl Node {
    /// Returns a new node that is connected to the bridge. The bridge's end of the link is called
    /// `port`.
    pub(crate) fn connected(port: &str, address: Ipv4Addr, gateway: Ipv4Addr) -> Node {
        let node = Node::new();
        ip(&format!("link add {port} type veth peer name {port}-peer"));
        ip(&format!("link set {port}-peer netns {}", node.tid));
        ip(&format!("link set {port} master {BRIDGE} up"));
        let peer = format!("{port}-peer");
        node.run(move || {
            ip(&format!("address add {address}/24 dev {peer}"));
            ip(&format!("link set {peer} up"));
            ip(&format!("route add default via {gateway}"));
        });
        node
    }

    fn new() -> Node {
        let (work, todo) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (started, start) = mpsc::channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            started.send(nix::unistd::gettid().as_raw()).unwrap();
            for work in todo {
                work();
            }
        });
        Node { work, tid: start.recv().unwrap() }
    }

    /// Runs `work` there.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        self.work.send(Box::new(move || done.send(work()).unwrap())).unwrap();
        result.recv().unwrap()
    }

    /// Opens a socket there that takes packets of its peer only, as a strict TFTP client does.
    pub(crate) fn connect(&self, address: Ipv4Addr, port: u16) -> UdpSocket {
        self.run(move || {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
            socket.set_read_timeout(Some(LIMIT)).unwrap();
            socket.connect((address, port)).unwrap();
            socket
        })
    }
}

/// UDP servers at the bridge's address, whose answers the test itself sends.
pub(crate) struct Servers {
    guarded: Vec<(u16, UdpSocket)>,
    open: UdpSocket,
}

impl Servers {
    pub(crate) fn bind(ports: &[u16]) -> Servers {
        let bind = |port| {
            let socket = UdpSocket::bind((BRIDGE_ADDRESS, port)).unwrap();
            socket.set_read_timeout(Some(LIMIT)).unwrap();
            socket
        };
        let guarded = ports.iter().map(|&port| (port, bind(port)));
        Servers { guarded: guarded.collect(), open: bind(OPEN_PORT) }
    }

    /// Sends `question` from `node`, and returns the port of the server that receives it, after
    /// that server's answer has been received. That none receives it is known without waiting: a
    /// later packet to another port has been received.
    pub(crate) fn reached(&self, node: &Node, client: &UdpSocket, question: &[u8]) -> Option<u16> {
        client.send(question).unwrap();
        node.connect(BRIDGE_ADDRESS, OPEN_PORT).send(b"later").unwrap();
        let mut buffer = vec![0; 65536];
        assert_eq!(self.open.recv_from(&mut buffer).unwrap().0, 5);
        let mut reached = None;
        for (port, server) in &self.guarded {
            server.set_nonblocking(true).unwrap();
            match server.recv_from(&mut buffer) {
                Ok((length, peer)) => {
                    assert_eq!((&buffer[..length], reached), (question, None));
                    answer(server, peer, client, question);
                    reached = Some(*port);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        reached
    }
}

fn answer(server: &UdpSocket, peer: SocketAddr, client: &UdpSocket, question: &[u8]) {
    let answer: Vec<u8> = question.iter().rev().copied().collect();
    server.send_to(&answer, peer).unwrap();
    let mut buffer = vec![0; 65536];
    let length = client.recv(&mut buffer).unwrap();
    assert_eq!(buffer[..length], answer);
}

pub(crate) fn ip(arguments: &str) -> String {
    run("ip", arguments)
}

/// Runs a program, and returns what it wrote.
pub(crate) fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}
