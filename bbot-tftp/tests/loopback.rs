//! Server and client over real sockets on the loopback interface.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bbot_tftp::{
    BlockSize, Client, ClientError, ClientParameters, ClientTransfer, DirStore, Direction,
    ErrorCode, Event, Failure, Namespace, Offload, Progress, ReadRequest, Server, ServerConfig,
    ServerHandle, Sink, Source, Status, Store, StoreError, WriteLimits, WritePolicy, WriteRequest,
};
use tempfile::TempDir;

struct Fixture {
    folder: TempDir,
    server: ServerHandle,
    events: Receiver<Event>,
}

impl Fixture {
    fn new(config: ServerConfig) -> Self {
        Self::with(config, |namespace| namespace)
    }

    fn with(config: ServerConfig, adjust: impl FnOnce(Namespace) -> Namespace) -> Self {
        let folder = TempDir::with_prefix("bbot-").unwrap();
        fs::create_dir(folder.path().join("get")).unwrap();
        fs::create_dir(folder.path().join("put")).unwrap();
        let namespace =
            Namespace::new().read(folder.path().join("get")).write(folder.path().join("put"));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(any, adjust(namespace), config).unwrap();
        let (sender, events) = channel();
        let server = server.spawn(move |event| sender.send(event).unwrap()).unwrap();
        Self { folder, server, events }
    }

    fn client(&self) -> Client {
        Client::new(self.server.local_addr())
    }

    fn offer(&self, name: &str, content: &[u8]) {
        fs::write(self.folder.path().join("get").join(name), content).unwrap();
    }

    fn put_folder(&self) -> std::path::PathBuf {
        self.folder.path().join("put")
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(Duration::from_secs(60)).unwrap()
    }
}

fn modes() -> Vec<ServerConfig> {
    let mut configs = Vec::new();
    for single_port in [false, true] {
        for offload in [Offload::ALL, Offload::NONE] {
            let config = ServerConfig::default().with_single_port(single_port);
            configs.push(config.with_offload(offload));
        }
    }
    configs
}

fn bytes(block_size: u16) -> BlockSize {
    BlockSize::new(block_size).unwrap()
}

fn blocks(window_size: u16) -> NonZeroU16 {
    NonZeroU16::new(window_size).unwrap()
}

fn content(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The reported number of bytes increases up to the length of the file; the size is reported where
/// it is known.
#[test]
fn progress_is_reported() {
    let fixture = Fixture::new(ServerConfig::default());
    let data = content(100_000);
    fixture.offer("file", &data);
    let check = |client: &Client, direction: Direction, size: Option<u64>| {
        let mut reports = Vec::new();
        let progress = |progress: Progress| reports.push(progress);
        match direction {
            Direction::Get => client.get_with_progress("file", Vec::new(), progress).unwrap(),
            Direction::Put => client.put_with_progress("up", &data, progress).unwrap(),
        };
        assert!(reports.iter().all(|report| report.size == size), "{reports:?}");
        assert!(reports.is_sorted_by(|a, b| a.bytes < b.bytes), "{reports:?}");
        assert_eq!(reports.last().unwrap().bytes, 100_000);
        reports.len()
    };
    let client = fixture.client();
    let with_size = client.clone().transfer_size();
    // 195 full blocks and a short one: in lockstep, one report for each.
    assert_eq!(check(&client, Direction::Get, None), 196);
    assert_eq!(check(&with_size, Direction::Get, Some(100_000)), 196);
    assert_eq!(check(&client, Direction::Put, Some(100_000)), 196);
    let windowed = with_size.window_size(blocks(64));
    assert!((4..=196).contains(&check(&windowed, Direction::Get, Some(100_000))));
}

/// T1, T7, T8, T13, T20: transfers of many lengths, with and without options, a single port and
/// offloads.
#[test]
fn gets_and_puts() {
    for config in modes() {
        let fixture = Fixture::new(config);
        let plain = fixture.client().offload(config.offload);
        let windowed =
            plain.clone().block_size(bytes(1428)).window_size(blocks(16)).transfer_size();
        let clients = [
            plain.clone(),
            plain.block_size(bytes(1000)),
            windowed.clone().block_size(BlockSize::MAX),
            windowed,
        ];
        for length in [0, 1, 511, 512, 513, 1428 * 16, 100_000, 1_000_000] {
            let data = content(length);
            fixture.offer("file", &data);
            for client in &clients {
                let mut got = Vec::new();
                let done = client.get("/file", &mut got).unwrap();
                assert!(got == data, "{config:?} {client:?} {length}");
                assert_eq!(done.bytes, length as u64);
                let done = client.put("up", &data).unwrap();
                assert_eq!(done.bytes, length as u64);
                assert!(fs::read(fixture.put_folder().join("up")).unwrap() == data);
            }
        }
        assert_eq!(names(&fixture.put_folder()), ["up"]);
    }
}

#[test]
fn events_are_reported_in_order() {
    let fixture = Fixture::new(ServerConfig::default().with_single_port(true));
    fixture.client().put("result", &b"content".to_vec()).unwrap();
    let Event::FirstRequest { peer, .. } = fixture.event() else { panic!("no first request") };
    let Event::Started { id, direction, file, peer: starter, .. } = fixture.event() else {
        panic!("not started")
    };
    assert_eq!((direction, file.as_str(), starter), (Direction::Put, "result", peer));
    let Event::Finished { id: finished, direction, file, bytes, .. } = fixture.event() else {
        panic!("not finished")
    };
    assert_eq!((finished, direction, file.as_str(), bytes), (id, Direction::Put, "result", 7));
    let missing = fixture.client().get("nothing", &mut Vec::new()).unwrap_err();
    assert!(matches!(
        missing,
        ClientError::Transfer(Failure::Peer { code: ErrorCode::NOT_FOUND, .. })
    ));
    let Event::Refused { code, file, .. } = fixture.event() else { panic!("not refused") };
    assert_eq!((code, file.as_str()), (ErrorCode::NOT_FOUND, "nothing"));
}

#[track_caller]
fn check_get(fixture: &Fixture, name: &str, expected: ErrorCode) {
    match fixture.client().get(name, &mut Vec::new()) {
        Err(ClientError::Transfer(Failure::Peer { code, message, .. })) => {
            assert_eq!(code, expected, "{name}");
            assert!(!message.contains('/'), "a path of the host: {message}");
        }
        other => panic!("{name}: {other:?}"),
    }
}

/// Links do not lead out of the root, which may be a link itself; only regular files are served.
#[test]
fn serves_regular_files_beneath_the_root_only() {
    let folder = TempDir::with_prefix("bbot-").unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join("real/sub")).unwrap();
    symlink("real", path.join("link")).unwrap();
    fs::write(path.join("outside"), "secret").unwrap();
    fs::write(path.join("real/sub/file"), "public").unwrap();
    symlink("sub/file", path.join("real/inside")).unwrap();
    symlink("../outside", path.join("real/leads-out")).unwrap();
    symlink(path.join("real/sub/file"), path.join("real/absolute")).unwrap();
    symlink("/proc/self/fd/0", path.join("real/magic")).unwrap();
    nix::unistd::mkfifo(&path.join("real/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fixture = Fixture::with(ServerConfig::default(), |namespace| {
        namespace.read(path.join("link")).write(path.join("link"))
    });
    for name in ["sub/file", "inside", "/sub//./file"] {
        let mut got = Vec::new();
        fixture.client().get(name, &mut got).unwrap();
        assert_eq!(got, b"public", "{name}");
    }
    for name in ["leads-out", "absolute", "magic", "../outside", "sub/../sub/file", "sub", "fifo"] {
        check_get(&fixture, name, ErrorCode::ACCESS);
    }
    for name in ["missing", "missing/file", "inside/file"] {
        check_get(&fixture, name, ErrorCode::NOT_FOUND);
    }
    for name in ["sub", "inside", "leads-out", "fifo", "../up", ".bbot-tftp-1"] {
        let refused = fixture.client().put(name, &b"x".to_vec()).unwrap_err();
        assert!(
            matches!(refused, ClientError::Transfer(Failure::Peer { code: ErrorCode::ACCESS, .. })),
            "{name}: {refused:?}"
        );
    }
    fixture.client().put("sub/file", &b"new".to_vec()).unwrap();
    assert_eq!(fs::read(path.join("real/sub/file")).unwrap(), b"new");
}

#[track_caller]
fn check_put(fixture: &Fixture, client: &Client, name: &str, length: usize, expected: ErrorCode) {
    match client.put(name, &content(length)) {
        Err(ClientError::Transfer(Failure::Peer { code, .. })) => assert_eq!(code, expected),
        other => panic!("{name}: {other:?}"),
    }
    assert!(names(&fixture.put_folder()).iter().all(|n| !n.starts_with(".bbot")));
}

/// T10, T25: an upload beyond a limit gets ERROR 3, before any data if its size was declared; the
/// old file is kept.
#[test]
fn limits_keep_the_old_file() {
    let limits =
        WriteLimits::default().with_total_bytes(10_000).with_file_bytes(6_000).with_files(2);
    let fixture = Fixture::with(ServerConfig::default(), |namespace| namespace.limits(limits));
    let plain = fixture.client();
    let declared = fixture.client().transfer_size();
    plain.put("a", &content(5_000)).unwrap();
    check_put(&fixture, &plain, "a", 6_001, ErrorCode::DISK_FULL);
    check_put(&fixture, &declared, "a", 6_001, ErrorCode::DISK_FULL);
    assert_eq!(fs::read(fixture.put_folder().join("a")).unwrap(), content(5_000));
    check_put(&fixture, &plain, "b", 5_001, ErrorCode::DISK_FULL);
    plain.put("b", &content(5_000)).unwrap();
    check_put(&fixture, &plain, "c", 0, ErrorCode::DISK_FULL);
}

#[test]
fn policies() {
    let config = ServerConfig::default();
    let create = Fixture::with(config, |n| n.policy(WritePolicy::Create));
    create.client().put("a", &content(5)).unwrap();
    check_put(&create, &create.client(), "a", 7, ErrorCode::EXISTS);
    assert_eq!(fs::read(create.put_folder().join("a")).unwrap(), content(5));
    let refuse = Fixture::with(config, |n| n.policy(WritePolicy::Refuse));
    check_put(&refuse, &refuse.client(), "a", 7, ErrorCode::ACCESS);
    let nothing = Fixture::with(config, |_| Namespace::new());
    check_put(&nothing, &nothing.client(), "a", 7, ErrorCode::ACCESS);
    check_get(&nothing, "a", ErrorCode::ACCESS);
}

/// T6: a client detects at once that the server has ended, by its closed port.
#[test]
fn closed_port_ends_the_client() {
    let fixture = Fixture::new(ServerConfig::default());
    let client = fixture.client();
    fixture.server.stop();
    let gone = client.get("file", &mut Vec::new()).unwrap_err();
    assert!(matches!(gone, ClientError::Transfer(Failure::Unreachable)), "{gone:?}");
}

/// T3: answers are sent from the address that the request was sent to, of several ones.
#[test]
fn answers_from_the_requested_address() {
    for (single_port, address) in [(false, "0.0.0.0:0"), (true, "0.0.0.0:0"), (false, "[::]:0")] {
        let folder = TempDir::with_prefix("bbot-").unwrap();
        fs::write(folder.path().join("file"), content(5000)).unwrap();
        let config = ServerConfig::default().with_single_port(single_port);
        let namespace = Namespace::new().read(folder.path());
        let server = Server::bind(address.parse().unwrap(), namespace, config).unwrap();
        let server = server.spawn(drop).unwrap();
        let port = server.local_addr().port();
        let v6 = address.starts_with('[');
        for host in ["127.0.0.1", "127.0.0.2", "127.1.2.3", "[::1]"] {
            if host.starts_with('[') && !v6 {
                continue;
            }
            let requested: SocketAddr = format!("{host}:{port}").parse().unwrap();
            let mut got = Vec::new();
            // The client ignores packets from other addresses.
            Client::new(requested).block_size(bytes(100)).get("file", &mut got).unwrap();
            assert!(got == content(5000), "{address} {host}");
        }
    }
}

/// T3: requests to a broadcast address are dropped.
#[test]
fn broadcasts_are_dropped() {
    let config = ServerConfig::default();
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let (sender, events) = channel();
    let server = Server::bind(any, Namespace::new(), config).unwrap();
    let server = server.spawn(move |event| sender.send(event).unwrap()).unwrap();
    let port = server.local_addr().port();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_broadcast(true).unwrap();
    socket.send_to(b"\0\x01broadcast\0octet\0", ("127.255.255.255", port)).unwrap();
    socket.send_to(b"\0\x01unicast\0octet\0", ("127.0.0.1", port)).unwrap();
    events.recv_timeout(Duration::from_secs(60)).unwrap();
    let Event::Refused { file, .. } = events.recv_timeout(Duration::from_secs(60)).unwrap() else {
        panic!("not refused")
    };
    assert_eq!(file, "unicast");
}

/// A store whose commits wait for the test.
struct SlowStore {
    inner: DirStore,
    begun: Sender<()>,
    released: Arc<Mutex<Receiver<()>>>,
}

struct SlowSink {
    inner: Box<dyn Sink>,
    begun: Sender<()>,
    released: Arc<Mutex<Receiver<()>>>,
}

impl Store for SlowStore {
    fn open(&self, request: &ReadRequest<'_>) -> Result<Box<dyn Source>, StoreError> {
        self.inner.open(request)
    }

    fn create(&self, request: &WriteRequest<'_>) -> Result<Box<dyn Sink>, StoreError> {
        let inner = self.inner.create(request)?;
        let (begun, released) = (self.begun.clone(), Arc::clone(&self.released));
        Ok(Box::new(SlowSink { inner, begun, released }))
    }
}

impl Sink for SlowSink {
    fn write_at(
        &mut self,
        buffers: &mut [std::io::IoSlice<'_>],
        offset: u64,
    ) -> Result<(), StoreError> {
        self.inner.write_at(buffers, offset)
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.begun.send(()).unwrap();
        self.released.lock().unwrap().recv().unwrap();
        self.inner.commit()
    }
}

/// T25: a slow commit delays its own upload only; a drain waits for it.
#[test]
fn slow_commits_and_draining() {
    let folder = TempDir::with_prefix("bbot-").unwrap();
    fs::write(folder.path().join("file"), content(100_000)).unwrap();
    let namespace = Namespace::new().read(folder.path()).write(folder.path());
    let (begun, commits) = channel();
    let (release, released) = channel();
    let released = Arc::new(Mutex::new(released));
    let store = SlowStore { inner: DirStore::new(namespace).unwrap(), begun, released };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = ServerConfig::default().with_single_port(true);
    let server = Server::with_store(any, store, config).unwrap().spawn(drop).unwrap();
    let client = Client::new(server.local_addr());
    std::thread::scope(|scope| {
        let upload = scope.spawn(|| client.put("up", &content(70_000)).unwrap());
        commits.recv_timeout(Duration::from_secs(60)).unwrap();
        let mut got = Vec::new();
        client.get("file", &mut got).unwrap();
        assert!(got == content(100_000));
        assert!(!upload.is_finished() && !folder.path().join("up").try_exists().unwrap());
        let drained = scope.spawn(move || server.drain(Duration::from_secs(60)));
        release.send(()).unwrap();
        drained.join().unwrap();
        assert!(fs::read(folder.path().join("up")).unwrap() == content(70_000));
        assert_eq!(upload.join().unwrap().bytes, 70_000);
    });
    assert_eq!(names(folder.path()).len(), 2);
}

/// Many uploads at once are each complete, under their own names.
#[test]
fn many_uploads_at_once() {
    for config in modes() {
        let fixture = Fixture::new(config);
        let clients: Vec<_> = (0..32).collect();
        std::thread::scope(|scope| {
            for number in &clients {
                let client = fixture.client().block_size(bytes(1428)).window_size(blocks(8));
                let folder = fixture.put_folder();
                scope.spawn(move || {
                    let data = content(20_000 + number);
                    client.put(&format!("up-{number}"), &data).unwrap();
                    let stored = fs::read(folder.join(format!("up-{number}")));
                    assert!(stored.unwrap() == data);
                });
            }
        });
        assert_eq!(names(&fixture.put_folder()).len(), clients.len());
    }
}

/// T36: a name that no request can have is refused before anything is sent.
#[test]
fn impossible_names() {
    let fixture = Fixture::new(ServerConfig::default());
    let long = "a".repeat(2000);
    for name in ["", "file\0octet\0blksize\08", "\0", "file\0", long.as_str()] {
        let refused = fixture.client().get(name, &mut Vec::new()).unwrap_err();
        assert!(matches!(&refused, ClientError::Name(refused) if refused == name), "{refused:?}");
        let refused = fixture.client().put(name, &content(5)).unwrap_err();
        assert!(matches!(refused, ClientError::Name(_)), "{refused:?}");
        let now = std::time::Instant::now();
        let mut transfer = ClientTransfer::get(name, ClientParameters::default(), now);
        assert!(matches!(transfer.status(), Status::Failed(Failure::Local { .. })), "{name:?}");
        assert_eq!(transfer.poll_transmit(now), None);
    }
    assert!(fixture.events.try_recv().is_err());
}
