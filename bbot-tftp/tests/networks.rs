//! Networks that are not like the loopback interface: link-local addresses, and paths with a
//! smaller MTU. Each host is a thread in a network namespace of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::num::NonZeroU16;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use bbot_tftp::{BlockSize, Client, Namespace, Offload, Server, ServerConfig, ServerHandle};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A host: a thread in a network namespace, which ends with it.
struct Host {
    work: Sender<Box<dyn FnOnce() + Send>>,
    tid: i32,
}

impl Host {
    fn new() -> Self {
        let (work, todo) = channel::<Box<dyn FnOnce() + Send>>();
        let (started, start) = channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("these tests run as root");
            run("ip link set lo up");
            started.send(nix::unistd::gettid().as_raw()).unwrap();
            for work in todo {
                work();
            }
        });
        Self { work, tid: start.recv().unwrap() }
    }

    /// Runs `work` there; threads that it starts are there too.
    fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        self.work.send(Box::new(move || done.send(work()).unwrap())).unwrap();
        result.recv().unwrap()
    }

    fn commands(&self, lines: &'static str) {
        self.run(move || lines.lines().map(str::trim).filter(|l| !l.is_empty()).for_each(run));
    }

    /// Connects an interface `name` of this host to one called `peer` of another.
    fn connect(&self, name: &str, other: &Self, peer: &str) {
        let (name, peer, tid) = (name.to_owned(), peer.to_owned(), other.tid);
        self.run(move || {
            run(&format!("ip link add {name} type veth peer name {peer} netns {tid}"));
        });
    }

    fn serve(&self, address: &str, config: ServerConfig) -> Tftp {
        let folder = TempDir::with_prefix("bbot-").unwrap();
        fs::write(folder.path().join("file"), content()).unwrap();
        let namespace = Namespace::new().read(folder.path()).write(folder.path());
        let address = address.parse().unwrap();
        let server = self
            .run(move || Server::bind(address, namespace, config).unwrap().spawn(drop).unwrap());
        Tftp { folder, server }
    }
}

struct Tftp {
    folder: TempDir,
    server: ServerHandle,
}

impl Tftp {
    fn port(&self) -> u16 {
        self.server.local_addr().port()
    }

    /// Gets the file and puts it back, by a client on `host`.
    fn check(&self, host: &Host, client: Client, what: &str) {
        let got = host.run(move || {
            let mut file = Vec::new();
            client.get("file", &mut file).map(|_| ())?;
            client.put("up", &file).map(|_| file)
        });
        assert!(got.unwrap_or_else(|error| panic!("{what}: {error}")) == content(), "{what}");
        assert!(fs::read(self.folder.path().join("up")).unwrap() == content(), "{what}");
        fs::remove_file(self.folder.path().join("up")).unwrap();
    }
}

fn run(line: &str) {
    let words: Vec<_> = line.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.unwrap_or_else(|e| panic!("{line}: {e}; `cargo xtask setup` installs it"));
    assert!(output.status.success(), "{line}: {output:?}");
}

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i % 251).to_le_bytes()[0]).collect()
}

fn configs() -> impl Iterator<Item = ServerConfig> {
    let modes = [(false, Offload::ALL), (false, Offload::NONE), (true, Offload::ALL)];
    modes.into_iter().map(|(single_port, offload)| {
        ServerConfig::default().with_single_port(single_port).with_offload(offload)
    })
}

fn bytes(block_size: u16) -> BlockSize {
    BlockSize::new(block_size).unwrap()
}

fn clients(server: SocketAddr, block_size: u16) -> [Client; 2] {
    let plain = Client::new(server).block_size(bytes(block_size)).idle_limit(TIME_LIMIT / 4);
    [plain.clone(), plain.window_size(NonZeroU16::new(16).unwrap())]
}

/// T29: a link-local address of the server is used with its interface, whatever address the client
/// has, and however many interfaces have one.
#[test]
fn link_local_addresses() {
    let (server, client) = (Host::new(), Host::new());
    server.connect("other", &client, "other-peer");
    server.connect("near", &client, "far");
    server.commands(
        "ip link set other addrgenmode none up
        ip link set near addrgenmode none up
        ip address add fe80::1/64 dev other nodad
        ip address add fe80::1/64 dev near nodad
        ip address add 2001:db8::1/64 dev near nodad",
    );
    client.commands(
        "ip link set other-peer addrgenmode none up
        ip link set far addrgenmode none up
        ip address add fe80::2/64 dev far nodad
        ip address add 2001:db8::2/64 dev far nodad",
    );
    let scope = client.run(|| if_nametoindex("far").unwrap());
    for config in configs() {
        let tftp = server.serve("[::]:0", config);
        let local = SocketAddrV6::new("fe80::1".parse().unwrap(), tftp.port(), 0, scope);
        for client_of in clients(local.into(), 1000) {
            tftp.check(&client, client_of, "between link-local addresses");
        }
        // A client that sends from a global address.
        let answer = client.run(move || {
            let socket = UdpSocket::bind("[2001:db8::2]:0").unwrap();
            socket.set_read_timeout(Some(TIME_LIMIT)).unwrap();
            socket.send_to(b"\0\x01file\0octet\0", local).unwrap();
            let (length, from) = socket.recv_from(&mut [0; 1000]).unwrap();
            (length, from.ip())
        });
        assert_eq!(answer, (516, IpAddr::V6(*local.ip())));
        let global = SocketAddr::new("2001:db8::1".parse().unwrap(), tftp.port());
        tftp.check(&client, clients(global, 1000)[1].clone(), "between global addresses");
    }
}

/// The answer to a request with the largest block size.
fn oack(client: &Host, server: SocketAddr, opcode: u8) -> String {
    client.run(move || {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        let request = [&[0, opcode][..], b"file\0octet\0blksize\x0065464\0"].concat();
        socket.send_to(&request, server).unwrap();
        let mut answer = [0; 100];
        let length = socket.recv(&mut answer).unwrap();
        String::from_utf8(answer[2..length].to_vec()).unwrap()
    })
}

/// T30: no block is granted that does not fit the interface in one piece, unless fragments are
/// allowed; on the loopback interface, all blocks fit.
#[test]
fn block_sizes_fit_the_interface() {
    let (server, client) = (Host::new(), Host::new());
    server.connect("near", &client, "far");
    server.commands(
        "ip link set near addrgenmode none mtu 1400 up
        ip address add 10.9.0.1/24 dev near
        ip address add 2001:db8::1/64 dev near nodad",
    );
    client.commands(
        "ip link set far addrgenmode none mtu 1400 up
        ip address add 10.9.0.2/24 dev far
        ip address add 2001:db8::2/64 dev far nodad",
    );
    for config in configs() {
        for (any, address, granted) in [
            ("0.0.0.0:0", "10.9.0.1", 1368),
            ("[::]:0", "10.9.0.1", 1368),
            ("[::]:0", "2001:db8::1", 1348),
        ] {
            let address = address.parse::<IpAddr>().unwrap();
            for opcode in [1, 2] {
                let tftp = server.serve(any, config);
                let to = SocketAddr::new(address, tftp.port());
                assert_eq!(oack(&client, to, opcode), format!("blksize\0{granted}\0"), "{any}");
                let tftp = server.serve(any, config.with_fragments(true));
                let to = SocketAddr::new(address, tftp.port());
                assert_eq!(oack(&client, to, opcode), "blksize\x0065464\0");
                let tftp = server.serve(any, config.with_max_block_size(bytes(1300)));
                let to = SocketAddr::new(address, tftp.port());
                assert_eq!(oack(&client, to, opcode), "blksize\x001300\0");
            }
            let tftp = server.serve(any, config);
            let to = SocketAddr::new(address, tftp.port());
            for client_of in clients(to, 65464) {
                tftp.check(&client, client_of, "a block as large as the interface takes");
            }
        }
        let tftp = server.serve("[::]:0", config);
        for host in ["127.0.0.1", "::1"] {
            let to = SocketAddr::new(host.parse().unwrap(), tftp.port());
            assert_eq!(oack(&server, to, 1), "blksize\x0065464\0");
        }
    }
}

/// T30: a link on the way has a smaller MTU, and no report of packets that are too long arrives:
/// routers fragment. IPv6 routers do not, so that their reports must arrive.
#[test]
fn a_tunnel_on_the_way() {
    let (server, router, client) = (Host::new(), Host::new(), Host::new());
    server.connect("near", &router, "left");
    router.connect("right", &client, "far");
    router.commands(
        "ip link set left addrgenmode none up
        ip link set right addrgenmode none mtu 1400 up
        ip address add fe80::a/64 dev left nodad
        ip address add fe80::b/64 dev right nodad
        ip address add 10.9.1.2/24 dev left
        ip address add 10.9.2.1/24 dev right
        ip address add 2001:db8:1::2/64 dev left nodad
        ip address add 2001:db8:2::1/64 dev right nodad
        sysctl -q -w net.ipv4.ip_forward=1
        sysctl -q -w net.ipv6.conf.all.forwarding=1
        nft add table ip hole
        nft add chain ip hole out { type filter hook output priority 0 ; }
        nft add rule ip hole out icmp type destination-unreachable drop",
    );
    server.commands(
        "ip link set near addrgenmode none up
        ip address add 10.9.1.1/24 dev near
        ip address add 2001:db8:1::1/64 dev near nodad
        ip route add default via 10.9.1.2
        ip -6 route add default via 2001:db8:1::2",
    );
    client.commands(
        "ip link set far addrgenmode none mtu 1400 up
        ip address add 10.9.2.2/24 dev far
        ip address add 2001:db8:2::2/64 dev far nodad
        ip route add default via 10.9.2.1
        ip -6 route add default via 2001:db8:2::1",
    );
    for config in configs() {
        for (any, address) in
            [("0.0.0.0:0", "10.9.1.1"), ("[::]:0", "10.9.1.1"), ("[::]:0", "2001:db8:1::1")]
        {
            let tftp = server.serve(any, config);
            let to = SocketAddr::new(address.parse().unwrap(), tftp.port());
            for client_of in clients(to, 1448) {
                tftp.check(&client, client_of, &format!("{any} {address} {config:?}"));
            }
        }
    }
}
