//! Other implementations: as clients of this server, and as servers of this client.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod other_servers;

use std::fs;
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroU16};
use std::path::Path;
use std::process::{Command, Stdio};

use bbot_tftp::{BlockSize, Client, Namespace, Server, ServerConfig, ServerHandle};
use tempfile::TempDir;

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i * 7 + i / 253) % 253).unwrap()).collect()
}

/// Lengths around multiples of blocks and windows, and a long one.
const LENGTHS: [usize; 7] = [0, 1, 511, 512, 1428, 22_848, 400_000];

struct Fixture {
    folder: TempDir,
    server: ServerHandle,
}

impl Fixture {
    fn new(single_port: bool) -> Self {
        let folder = TempDir::with_prefix("bbot-").unwrap();
        let config = ServerConfig::default().with_single_port(single_port);
        let namespace = Namespace::new().read(folder.path()).write(folder.path());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(any, namespace, config).unwrap().spawn(drop).unwrap();
        Self { folder, server }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

/// Runs a client program in `folder`; `PORT` in an argument stands for the server's.
fn run(fixture: &Fixture, program: &str, arguments: &[&str]) {
    let port = fixture.server.local_addr().port().to_string();
    let mut command = Command::new(program);
    command.args(arguments.iter().map(|argument| argument.replace("PORT", &port)));
    command.current_dir(fixture.folder.path()).stdin(Stdio::null());
    let output = other_servers::with_sbin(&mut command)
        .output()
        .unwrap_or_else(|e| panic!("cannot run {program}: {e}; `cargo xtask setup` installs it"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// Runs a client that gets the file `offered` as `got`, and one that puts `offered` as `stored`.
fn check(program: &str, lengths: &[usize], get: &[&[&str]], put: &[&[&str]]) {
    for single_port in [false, true] {
        let fixture = Fixture::new(single_port);
        for &length in lengths {
            let data = content(length);
            fs::write(fixture.path("offered"), &data).unwrap();
            for arguments in get {
                run(&fixture, program, arguments);
                let got = fs::read(fixture.path("got")).unwrap_or_default();
                assert!(got == data, "{program} {arguments:?}: {length} {}", got.len());
                drop(fs::remove_file(fixture.path("got")));
            }
            for arguments in put {
                run(&fixture, program, arguments);
                let stored = fs::read(fixture.path("stored")).unwrap();
                assert!(stored == data, "{program} {arguments:?}: {length} {}", stored.len());
                fs::remove_file(fixture.path("stored")).unwrap();
            }
        }
    }
}

#[test]
fn curl() {
    let url = "tftp://127.0.0.1:PORT/offered";
    let up = "tftp://127.0.0.1:PORT/stored";
    check(
        "curl",
        // curl 7.88 (Debian 12) fails with an empty file, with any server.
        &LENGTHS[1..],
        &[
            &["-sS", "-o", "got", url],
            &["-sS", "--tftp-blksize", "1428", "-o", "got", url],
            &["-sS", "--tftp-no-options", "-o", "got", url],
        ],
        &[&["-sS", "-T", "offered", up], &["-sS", "--tftp-blksize", "8192", "-T", "offered", up]],
    );
}

#[test]
fn busybox() {
    check(
        "busybox",
        &LENGTHS,
        &[
            &["tftp", "-g", "-r", "offered", "-l", "got", "127.0.0.1", "PORT"],
            &["tftp", "-g", "-b", "1428", "-r", "offered", "-l", "got", "127.0.0.1", "PORT"],
        ],
        &[
            &["tftp", "-p", "-l", "offered", "-r", "stored", "127.0.0.1", "PORT"],
            &["tftp", "-p", "-b", "65464", "-l", "offered", "-r", "stored", "127.0.0.1", "PORT"],
        ],
    );
}

#[test]
fn tftp_hpa() {
    check(
        "tftp",
        &LENGTHS,
        &[&["-m", "octet", "127.0.0.1", "PORT", "-c", "get", "offered", "got"]],
        &[&["-m", "octet", "127.0.0.1", "PORT", "-c", "put", "offered", "stored"]],
    );
}

#[test]
fn atftp() {
    let get = ["--get", "-r", "offered", "-l", "got", "127.0.0.1", "PORT"];
    let put = ["--put", "-l", "offered", "-r", "stored", "127.0.0.1", "PORT"];
    let with = |plain: &[&'static str; 7], options: &[&'static str]| [options, &plain[..]].concat();
    let block = ["--option", "blksize 1428"];
    let window = ["--option", "blksize 1428", "--option", "windowsize 16"];
    check(
        "atftp",
        &LENGTHS,
        &[&get, &with(&get, &block), &with(&get, &window)],
        &[&put, &with(&put, &block), &with(&put, &window)],
    );
}

/// Runs this client against a server, with more and more options.
fn check_server(server: &other_servers::ServerProcess, root: &Path) {
    let plain = Client::new(server.address);
    let bytes = |block_size| BlockSize::new(block_size).unwrap();
    let (blocks, seconds) = (NonZeroU16::new(16).unwrap(), NonZeroU8::new(2).unwrap());
    let clients = [
        plain.clone(),
        plain.clone().block_size(bytes(1428)).transfer_size(),
        plain.clone().block_size(bytes(1428)).window_size(blocks).timeout(seconds),
        plain.block_size(bytes(16_384)),
    ];
    for (number, length) in LENGTHS.into_iter().enumerate() {
        let data = content(length);
        fs::write(root.join("offered"), &data).unwrap();
        for (which, client) in clients.iter().enumerate() {
            let mut got = Vec::new();
            client.get("offered", &mut got).unwrap();
            assert!(got == data, "{}: get {length} by client {which}", server.name);
            let name = format!("stored-{number}-{which}");
            client.put(&name, &data).unwrap();
            wait_for(&root.join(&name), &data);
        }
    }
    assert!(clients[0].get("missing", &mut Vec::new()).is_err());
}

/// Waits for a file: these servers acknowledge the last block before they have written it.
fn wait_for(path: &Path, data: &[u8]) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while fs::read(path).unwrap_or_default() != data {
        assert!(std::time::Instant::now() < until, "{} is wrong", path.display());
        std::thread::yield_now();
    }
}

#[test]
fn server_tftpd_hpa() {
    let root = TempDir::with_prefix("bbot-").unwrap();
    check_server(&other_servers::tftpd_hpa(root.path()).unwrap(), root.path());
}

#[test]
fn server_atftpd() {
    let root = TempDir::with_prefix("bbot-").unwrap();
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR"));
    check_server(&other_servers::atftpd(root.path(), unpacked).unwrap(), root.path());
}
