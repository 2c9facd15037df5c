//! What a server logs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Mutex;

use bbot_tftp::{BlockSize, Client, Namespace, Server, ServerConfig, WriteLimits};

/// Records all lines that are logged.
struct Lines(Mutex<Vec<(log::Level, String)>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push((record.level(), record.args().to_string()));
    }

    fn flush(&self) {}
}

fn logged() -> Vec<String> {
    let lines = std::mem::take(&mut *LINES.0.lock().unwrap());
    assert!(lines.iter().all(|(level, _)| *level == log::Level::Debug), "{lines:?}");
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Each transfer is logged by one line at debug, with its parameters and its result.
#[test]
fn one_line_for_each_transfer() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let folder = tempfile::TempDir::with_prefix("bbot-").unwrap();
    std::fs::write(folder.path().join("file"), [7; 5000]).unwrap();
    let limits = WriteLimits::default().with_file_bytes(2000);
    let namespace = Namespace::new().read(folder.path()).write(folder.path()).limits(limits);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    // Each server has drained and ended before the log is read, so that its last line is written.
    let block_size = BlockSize::new(1000).unwrap();
    let window_size = NonZeroU16::new(2).unwrap();
    let serve = |work: &dyn Fn(Client)| {
        let server = Server::bind(any, namespace.clone(), ServerConfig::default()).unwrap();
        let server = server.spawn(drop).unwrap();
        work(Client::new(server.local_addr()).block_size(block_size).window_size(window_size));
        server.drain(std::time::Duration::from_secs(60));
        logged()
    };
    let check = |lines: &[String], parts: &[&str]| {
        let [line] = lines else { panic!("not one line: {lines:?}") };
        assert!(parts.iter().all(|part| line.contains(part)), "{line}\n{parts:?}");
    };
    let got = serve(&|client| {
        client.get("file", &mut Vec::new()).unwrap();
    });
    let common =
        ["transfer 1: peer=127.0.0.1:", "blksize=1000 window=2", "seconds=", "retransmits="];
    let get = ["direction=get file=\"file\" bytes=5000", "result=ok"];
    check(&got, &[&common[..], &get].concat());
    let put = serve(&|client| {
        client.put("up", &vec![1; 1500]).unwrap();
    });
    let parts = ["direction=put file=\"up\" bytes=1500", "result=ok"];
    check(&put, &[&common[..], &parts].concat());
    let failed = serve(&|client| drop(client.put("up", &vec![1; 2500]).unwrap_err()));
    let parts = ["direction=put file=\"up\"", "result=disk full or quota exceeded (error 3)"];
    check(&failed, &[&common[..], &parts].concat());
    let refused = serve(&|client| drop(client.get("none\n", &mut Vec::new()).unwrap_err()));
    check(&refused, &["request refused: peer=127.0.0.1:", "file=\"none\" access violation"]);
}
