//! The example programs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Cargo builds the examples with the tests, into a folder beside the tests'.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let target: PathBuf = test.ancestors().nth(2).unwrap().to_owned();
    let program = target.join("examples").join(name);
    assert!(program.is_file(), "{} is missing: build the examples", program.display());
    Command::new(program)
}

struct Tftpd {
    process: Child,
    address: String,
}

impl Tftpd {
    fn start(root: &Path, options: &[&str]) -> Self {
        let mut command = example("tftpd");
        command.args(["--listen", "127.0.0.1:0", "--root"]).arg(root).args(options);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ").unwrap().trim().to_owned();
        Self { process, address }
    }

    fn tftp(&self, command: &str, name: &str, file: &Path, options: &[&str]) -> Output {
        let mut client = example("tftp");
        client.args([command, &self.address, name]).arg(file).args(options);
        client.output().unwrap()
    }
}

impl Tftpd {
    /// Begins an upload, of which the server has received a part.
    fn begin_upload(&self, name: &str) {
        let socket = socket();
        let mut answer = [0; 100];
        socket.send_to(format!("\0\x02{name}\0octet\0").as_bytes(), &self.address).unwrap();
        let (_, port) = socket.recv_from(&mut answer).unwrap();
        assert_eq!(answer[..4], [0, 4, 0, 0]);
        socket.send_to(&[&[0, 3, 0, 1][..], &[7; 512]].concat(), port).unwrap();
        socket.recv_from(&mut answer).unwrap();
        assert_eq!(answer[..4], [0, 4, 0, 1]);
    }
}

impl Drop for Tftpd {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    socket
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn files_go_both_ways_with_all_options() {
    let content: Vec<u8> = (0..200_000_u32).map(|i| (i % 251).to_le_bytes()[0]).collect();
    for options in [&["--write", "overwrite"][..], &["--write", "overwrite", "--single-port"]] {
        let (root, own) = (TempDir::with_prefix("bbot-").unwrap(), tempfile::tempdir().unwrap());
        let server = Tftpd::start(root.path(), options);
        let (up, down) = (own.path().join("up"), own.path().join("down"));
        std::fs::write(&up, &content).unwrap();
        for options in [
            &[][..],
            &["--blksize", "1428", "--window", "16", "--tsize"],
            &["--timeout", "2", "--no-offload", "--quiet"],
        ] {
            let put = server.tftp("put", "file", &up, options);
            assert!(put.status.success(), "{put:?}");
            assert!(std::fs::read(root.path().join("file")).unwrap() == content);
            let get = server.tftp("get", "file", &down, options);
            assert!(get.status.success(), "{get:?}");
            assert!(std::fs::read(&down).unwrap() == content);
            let stderr = text(&get.stderr);
            if options.contains(&"--quiet") {
                assert_eq!(stderr, "");
            } else {
                assert!(stderr.contains("200000 bytes in "), "{stderr}");
            }
        }
    }
}

/// On a terminal, a progress bar is shown, and then replaced by the report; with `--quiet`, neither
/// is.
#[test]
fn a_bar_on_a_terminal() {
    let (root, own) = (TempDir::with_prefix("bbot-").unwrap(), tempfile::tempdir().unwrap());
    let server = Tftpd::start(root.path(), &["--write", "overwrite"]);
    std::fs::write(root.path().join("file"), vec![7; 3 << 20]).unwrap();
    let shown = |command: &str, options: &str| {
        let client = example("tftp").get_program().to_owned();
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command"]);
        script.arg(format!("exec \"$CLIENT\" {command} \"$SERVER\" file \"$FILE\" {options}"));
        script.env("CLIENT", client).env("SERVER", &server.address);
        script.env("FILE", own.path().join("file")).arg("/dev/null").stdin(Stdio::null());
        let output = script.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout)
    };
    let bar = |percent: usize| format!("\r[{:<50}] {percent:3} %", "#".repeat(percent / 2));
    for output in [shown("get", "--tsize"), shown("put", "")] {
        for percent in [1, 50, 99, 100] {
            assert!(output.contains(&bar(percent)), "{percent}: {output}");
        }
        let (_, last) = output.rsplit_once(&bar(100)).unwrap();
        assert!(last.starts_with("\r\u{1b}[K3145728 bytes in "), "{last}");
    }
    let unknown = shown("get", "");
    assert!(unknown.contains("\r0 MiB\r1 MiB\r2 MiB\r3 MiB\r\u{1b}[K"), "{unknown}");
    assert_eq!(shown("get", "--quiet"), "");
}

/// The options of the server: write policies, and limits on the granted options.
#[test]
fn the_server_applies_its_options() {
    let (root, own) = (TempDir::with_prefix("bbot-").unwrap(), tempfile::tempdir().unwrap());
    let file = own.path().join("file");
    std::fs::write(&file, "content").unwrap();
    let failed = |server: &Tftpd, expected: &str| {
        let output = server.tftp("put", "file", &file, &[]);
        let stderr = text(&output.stderr);
        assert!(!output.status.success() && stderr.contains(expected), "{stderr}");
    };
    failed(&Tftpd::start(root.path(), &[]), "access violation");
    failed(&Tftpd::start(root.path(), &["--write", "refuse"]), "access violation");
    let create = Tftpd::start(root.path(), &["--write", "create"]);
    assert!(create.tftp("put", "file", &file, &[]).status.success());
    failed(&create, "file already exists");
    let options = ["--max-blksize", "512", "--max-window", "3", "--no-offload", "--no-spin"];
    let server = Tftpd::start(root.path(), &options);
    let socket = socket();
    let request = b"\0\x01file\0octet\0blksize\x001428\0windowsize\x0016\0";
    socket.send_to(request, &server.address).unwrap();
    let mut answer = [0; 100];
    let length = socket.recv(&mut answer).unwrap();
    assert_eq!(text(&answer[..length]), "\0\u{6}blksize\x00512\0windowsize\x003\0");
}

/// An invalid argument is named in the message, with the usage.
#[test]
fn wrong_arguments() {
    for (program, arguments, expected) in [
        ("tftpd", &["--root", "/"][..], "--listen is missing"),
        ("tftpd", &["--listen", "127.0.0.1:0"], "--root is missing"),
        ("tftpd", &["--listen", "nowhere", "--root", "/"], "--listen: invalid value nowhere"),
        ("tftpd", &["--write", "sometimes"], "--write: invalid value sometimes"),
        ("tftpd", &["--fast"], "unknown argument --fast"),
        ("tftpd", &["--listen", "127.0.0.1:0", "--root", "/no/such"], "/no/such"),
        ("tftpd", &["--rollover", "2"], "--rollover: invalid value 2"),
        ("tftp", &["fetch"], "usage: tftp get|put"),
        ("tftp", &["get", "127.0.0.1:1", "a", "b", "--blksize"], "--blksize wants a value"),
    ] {
        let output = example(program).args(arguments).output().unwrap();
        let stderr = text(&output.stderr);
        assert!(!output.status.success() && stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}

/// Moves the calling thread to a mount namespace with a file system of 64 KiB at `folder`.
fn mount_small_disk(folder: &Path) {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).expect("this test runs as root");
    let (nothing, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    mount(nothing, "/", nothing, private, nothing).unwrap();
    mount(Some("small"), folder, Some("tmpfs"), MsFlags::empty(), Some("size=64k")).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// T28: a get that fails, for whatever reason, leaves the local file as it was; of a full disk it
/// is said that it is full.
#[test]
fn a_failed_get_keeps_the_local_file() {
    let (root, own) = (TempDir::with_prefix("bbot-").unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(root.path().join("large"), vec![7; 100_000]).unwrap();
    std::fs::write(root.path().join("larger"), vec![7; 3 << 20]).unwrap();
    mount_small_disk(own.path());
    let server = Tftpd::start(root.path(), &[]);
    let file = own.path().join("file");
    std::fs::write(&file, "old").unwrap();
    for (name, options, expected) in [
        ("missing", &[][..], "file not found"),
        ("large", &[], "file: disk full: No space left on device"),
        ("large", &["--window", "8", "--tsize"], "file: disk full: No space left on device"),
        ("larger", &[], "file: disk full: No space left on device"),
    ] {
        let output = server.tftp("get", name, &file, options);
        let stderr = text(&output.stderr);
        assert!(!output.status.success() && stderr.contains(expected), "{stderr}");
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
        let new = own.path().join("new");
        assert!(!server.tftp("get", name, &new, options).status.success());
        assert_eq!(names(own.path()), ["file"]);
    }
    std::fs::write(root.path().join("small"), "new").unwrap();
    assert!(server.tftp("get", "small", &file, &[]).status.success());
    assert_eq!(std::fs::read(&file).unwrap(), b"new");
}

/// T27: nothing is left of the uploads of a server that is killed; what an earlier version has left
/// is removed by the next start, and its names do not collide with new ones.
#[test]
fn a_killed_server_leaves_nothing() {
    let root = TempDir::with_prefix("bbot-").unwrap();
    std::fs::create_dir(root.path().join("sub")).unwrap();
    std::fs::write(root.path().join("old"), "old").unwrap();
    for options in [&["--write", "overwrite"][..], &["--write", "create", "--single-port"]] {
        for name in [".bbot-tftp-1-0", "sub/.bbot-tftp-4194304-7"] {
            std::fs::write(root.path().join(name), "left by an earlier version").unwrap();
        }
        let server = Tftpd::start(root.path(), options);
        for name in ["new", "sub/new"] {
            server.begin_upload(name);
        }
        if options.contains(&"overwrite") {
            server.begin_upload("old");
        }
        drop(server);
        let mut left = names(root.path());
        left.sort();
        assert_eq!(left, ["old", "sub"]);
        assert_eq!(names(&root.path().join("sub")), [] as [&str; 0]);
        assert_eq!(std::fs::read(root.path().join("old")).unwrap(), b"old");
    }
}

/// T31, T14: the server takes backslashes unless it is told not to; both ends roll over to 1 if
/// they are told to.
#[test]
fn flags_for_clients_in_the_field() {
    let (root, own) = (TempDir::with_prefix("bbot-").unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(root.path().join("boot")).unwrap();
    let content: Vec<u8> = (0..8 * 66_000_u32).map(|i| (i % 251).to_le_bytes()[0]).collect();
    std::fs::write(root.path().join("boot/file"), &content).unwrap();
    let got = own.path().join("got");
    let options = ["--write", "overwrite", "--rollover", "1"];
    let server = Tftpd::start(root.path(), &options);
    let blocks = ["--blksize", "8", "--rollover", "1"];
    assert!(server.tftp("get", "\\boot\\file", &got, &blocks).status.success());
    assert!(std::fs::read(&got).unwrap() == content);
    assert!(server.tftp("put", "boot\\up", &got, &blocks).status.success());
    assert!(std::fs::read(root.path().join("boot/up")).unwrap() == content);
    let server = Tftpd::start(root.path(), &["--no-backslashes"]);
    assert!(!server.tftp("get", "\\boot\\file", &got, &[]).status.success());
}

/// T34: the server tells its clients that it ends, on SIGTERM and on SIGINT; with `--drain`,
/// downloads finish first.
#[test]
fn signals_end_the_server() {
    let root = TempDir::with_prefix("bbot-").unwrap();
    std::fs::write(root.path().join("file"), [7; 600]).unwrap();
    for (signal, options) in [
        (Signal::SIGTERM, &[][..]),
        (Signal::SIGINT, &["--single-port"]),
        (Signal::SIGTERM, &["--drain", "60"]),
    ] {
        let mut server = Tftpd::start(root.path(), options);
        let (client, late, mut answer) = (socket(), socket(), [0; 600]);
        for socket in [&client, &late] {
            socket.send_to(b"\0\x01file\0octet\0", &server.address).unwrap();
        }
        let (_, port) = client.recv_from(&mut answer).unwrap();
        client.send_to(&[0, 4, 0, 1], port).unwrap();
        client.recv_from(&mut answer).unwrap();
        assert_eq!(answer[..4], [0, 3, 0, 2]);
        late.recv_from(&mut answer).unwrap();
        kill(Pid::from_raw(server.process.id().cast_signed()), signal).unwrap();
        let mut told = [0, 3, 0, 1];
        while told == [0, 3, 0, 1] {
            late.recv_from(&mut told).unwrap();
        }
        assert_eq!(told, [0, 5, 0, 0]);
        if options.contains(&"--drain") {
            client.send_to(&[0, 4, 0, 2], port).unwrap();
        } else {
            // On a busy host, the server's timer may expire before.
            let mut told = [0, 3, 0, 2];
            while told == [0, 3, 0, 2] {
                client.recv_from(&mut told).unwrap();
            }
            assert_eq!(told, [0, 5, 0, 0]);
        }
        assert!(server.process.wait().unwrap().success());
    }
}
