//! W3: what is left of an instance that was killed.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bbot_vm::{Network, Swept, sweep};

use crate::host::{Host, LIMIT, ip, last, network_of, run, start};

/// The environment variable in which the instance that will be killed finds its host's folder.
const ROLE: &str = "BBOT_VM_TEST_INSTANCE_OF";

#[test]
fn a_killed_instance_is_swept_and_another_is_not() {
    if let Ok(folder) = env::var(ROLE) {
        return be_killed(&folder);
    }
    let host = Host::new();
    let other_network = Network::set_up(&network_of(10)).unwrap();
    let (other, events) = start(&host.config_of(10), &other_network);
    let other = other.unwrap();

    let (mut instance, pid) = start_instance(&host);
    instance.kill().unwrap();
    instance.wait().unwrap();
    assert!(ip("-brief link show").contains("tap1 "));
    let expected =
        |family: &str| Swept::Table { family: family.into(), name: "bbot-public-1".into() };
    let path = host.path("public-1/monitor.sock");
    assert_eq!(
        sweep(&network_of(1), &host.path("public-1")).unwrap(),
        [Swept::Process { pid }, expected("bridge"), expected("ip"), Swept::Socket { path }]
    );
    assert!(has_ended(pid));
    assert!(!ip("-brief link show").contains("tap1 "));
    assert_eq!(sweep(&network_of(1), &host.path("public-1")).unwrap(), []);
    // It starts again as if it had never been killed.
    let (network, guest, _events) = host.start();
    drop(guest);
    network.tear_down().unwrap();

    assert_eq!(other.wait(Duration::ZERO), None);
    assert_eq!(run("nft", "list tables"), "table bridge bbot-public-10\ntable ip bbot-public-10\n");
    assert_eq!(other.force_down(LIMIT).unwrap().code, Some(0));
    last(&events);
    other_network.tear_down().unwrap();
}

/// Starts an instance in a process of its own. Returns it and the number of its guest's process.
fn start_instance(host: &Host) -> (Child, i32) {
    let this_test = "sweep::a_killed_instance_is_swept_and_another_is_not";
    let mut instance = Command::new(env::current_exe().unwrap())
        .args(["--exact", this_test, "--nocapture"])
        .env(ROLE, host.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(instance.stdout.take().unwrap()).lines().map(Result::unwrap);
    let pid = lines.find_map(|line| line.strip_prefix("guest ").map(str::to_owned));
    (instance, pid.expect("the instance prints a line when its guest has started").parse().unwrap())
}

/// Whether a process has ended, or is a zombie.
fn has_ended(pid: i32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => status.contains("State:\tZ"),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// Has a guest until this process is killed, or the test has ended.
fn be_killed(folder: &str) {
    let host = Host::at(folder.into());
    let (_network, guest, _events) = host.start();
    let mut stdout = std::io::stdout();
    writeln!(stdout, "guest {}", guest.pid()).unwrap();
    std::io::stdin().lines().for_each(drop);
}
