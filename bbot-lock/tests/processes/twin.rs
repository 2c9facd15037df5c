//! This crate's locks against those of the original agent: `twin.cxx`, compiled with `c++`, does on
//! disk what that agent does, and ends as it does on what that agent does not expect.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Instant;

use bbot_lock::interrupt::{Interruption, Progress, Victim};
use bbot_lock::{Holder, HostLock, MachineState, probe, probe_and_tidy};

use super::peer::Peer;
use super::{Fixture, LIMIT, try_acquire};

const ROUNDS: u32 = 100;

/// A process of the twin, which is killed when this is dropped.
struct Twin {
    child: Child,
    commands: ChildStdin,
    replies: BufReader<ChildStdout>,
}

/// Starts the twin in the fixture's folder.
fn start(directory: &Path, arguments: &[&str]) -> Child {
    let program = directory.join("twin");
    if !program.is_file() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/processes/twin.cxx");
        let mut compiler = Command::new("c++");
        compiler.args(["-std=c++17", "-O1", "-Wall", "-Werror", "-o"]).arg(&program).arg(source);
        let status = compiler.status().expect("c++ runs: apt-get install g++");
        assert!(status.success());
    }
    let mut command = Command::new(program);
    command.arg(directory).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

impl Twin {
    fn new(fixture: &Fixture) -> Self {
        let mut child = start(fixture.directory.path(), &[]);
        let commands = child.stdin.take().unwrap();
        let replies = BufReader::new(child.stdout.take().unwrap());
        Self { child, commands, replies }
    }

    fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    /// Has it carry out a command; returns the state of its machine lock: `locked`, or the holder
    /// that it has read.
    #[track_caller]
    fn tell(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        let mut reply = String::new();
        self.replies.read_line(&mut reply).unwrap();
        assert!(reply.ends_with('\n'), "{command}: the twin has ended");
        reply.trim_end().to_owned()
    }

    /// The same for several commands; returns the last state.
    #[track_caller]
    fn tell_all(&mut self, commands: &[&str]) -> String {
        commands.iter().map(|command| self.tell(command)).last().unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `W47`: what the original agent holds is read with its priority, and what this crate holds is
/// read by it, through bootstrap, task and suspension.
#[test]
fn holders_are_read_both_ways() {
    let f = Fixture::new();
    let mut twin = Twin::new(&f);
    let host = HostLock::disabled();
    let state = |priority| MachineState::Busy(Holder::new(twin_pid(&f), priority));
    fs::write(f.directory.path().join("pid"), twin.pid().to_string()).unwrap();
    twin.tell_all(&["host", "lock", "bootstrap"]);
    assert!(HostLock::try_acquire(&f.toolchain).unwrap().into_lock().is_none());
    assert_eq!(probe(&host, &f.machine).unwrap(), state(None));
    twin.tell_all(&["unlock", "lock", "perform 19999"]);
    assert_eq!(probe(&host, &f.machine).unwrap(), state(Some(19_999)));
    twin.tell("suspend");
    assert_eq!(probe(&host, &f.machine).unwrap(), state(None));
    twin.tell_all(&["unlock", "free host"]);
    assert!(!f.machine.is_file());

    let pid = std::process::id();
    let host = HostLock::acquire(&f.toolchain).unwrap();
    let mut lock = try_acquire(&host, &f.machine).unwrap();
    assert_eq!(twin.tell("lock"), pid.to_string());
    for priority in [u64::MAX, 0, 1100] {
        lock.write(&host, Some(priority)).unwrap();
        assert_eq!(twin.tell("lock"), format!("{pid} {priority}"));
    }
    lock.suspend().unwrap();
    assert_eq!(twin.tell("lock"), pid.to_string());
    lock.release().unwrap();
    assert_eq!(twin.tell("lock"), "locked");
}

fn twin_pid(f: &Fixture) -> i32 {
    fs::read_to_string(f.directory.path().join("pid")).unwrap().parse().unwrap()
}

/// `W47`: processes of both kinds exclude each other, and never does the original agent find what
/// would end it, such as a machine that is locked with an empty file.
#[test]
fn both_kinds_exclude_each_other() {
    let f = Fixture::new();
    fs::write(f.directory.path().join("counter"), "0").unwrap();
    let rounds = ROUNDS.to_string();
    let twins = [0, 1].map(|_| start(f.directory.path(), &["count", &rounds]));
    let ours = [0, 1].map(|_| Peer::start("count like an agent", f.directory.path()));
    for mut twin in twins {
        assert!(twin.wait().unwrap().success());
    }
    for peer in ours {
        peer.join();
    }
    let counted = fs::read_to_string(f.directory.path().join("counter")).unwrap();
    assert_eq!(counted.trim(), (4 * ROUNDS).to_string());
    assert!(!f.machine.is_file());
}

/// `W47`: a lock file that a killed process left, of either kind, is removed by an enumeration, so
/// that the original agent, which does not truncate it, mixes its content with no other.
#[test]
fn what_killed_processes_leave_is_removed() {
    let f = Fixture::new();
    let mut ours = f.start("obey");
    ours.tell("acquire");
    ours.tell("build");
    ours.kill();
    let mut twin = Twin::new(&f);
    // Without the enumeration, the end of the old content would be a part of the new one.
    twin.tell_all(&["host", "lock", "perform 7", "free host"]);
    let mixed = f.content();
    assert!(mixed.len() > format!("{} 7", twin.pid()).len(), "{mixed}");
    twin.kill();

    let host = HostLock::acquire(&f.toolchain).unwrap();
    assert_eq!(probe_and_tidy(&host, &f.machine).unwrap(), MachineState::Free);
    assert!(!f.machine.is_file(), "the file is left");
    drop(host);
    let mut twin = Twin::new(&f);
    twin.tell_all(&["host", "lock", "perform 7", "free host"]);
    let host = HostLock::acquire(&f.toolchain).unwrap();
    let holder = Holder::new(twin.pid(), Some(7));
    assert_eq!(probe_and_tidy(&host, &f.machine).unwrap(), MachineState::Busy(holder));
    assert!(f.machine.is_file(), "the file of a holder was removed");

    // Where processes do without the host lock, another one may be opening the file.
    twin.kill();
    let disabled = HostLock::disabled();
    assert_eq!(probe_and_tidy(&disabled, &f.machine).unwrap(), MachineState::Free);
    assert!(f.machine.is_file());
}

/// `W47`, `W35`: an interrupt reaches the original agent, and its signal reaches the holder that a
/// lock of this crate names.
#[test]
fn interrupts_go_both_ways() {
    let f = Fixture::new();
    let mut twin = Twin::new(&f);
    twin.tell_all(&["host", "lock", "perform 100", "free host"]);
    let host = HostLock::acquire(&f.toolchain).unwrap();
    let (sender, changes) = channel();
    let victims = vec![Victim::new(&f.machine, twin.pid())];
    let on_change = move || {
        // The receiver lives as long as the interruption.
        let _ = sender.send(());
    };
    let deadline = Instant::now() + LIMIT;
    let mut interruption = Interruption::begin(&host, victims, deadline, on_change).unwrap();
    assert_eq!(interruption.signalled().len(), 1);
    twin.tell_all(&["wait for interrupt", "unlock"]);
    while interruption.poll(Instant::now()).unwrap() == Progress::Waiting {
        changes.recv_timeout(LIMIT).unwrap();
    }
    assert_eq!(interruption.poll(Instant::now()).unwrap(), Progress::Done);
    drop(interruption);
    drop(host);

    // SIGUSR1 ends the other process, as it has no handler.
    let mut ours = f.start("obey");
    ours.tell("acquire");
    ours.tell("build");
    assert_eq!(twin.tell("lock"), format!("{} {}", ours.pid(), u64::MAX));
    twin.tell("interrupt");
    ours.wait_for_end();
    assert_eq!(twin.tell("lock"), "locked");
}
