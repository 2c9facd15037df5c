//! Another process that works with locks: this test program, started again for one job.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::thread;

use bbot_lock::{Acquired, HostLock, InstanceLock, MachineLock, MachineState, probe_and_tidy};

const JOB: &str = "BBOT_LOCK_TEST_JOB";
const DIRECTORY: &str = "BBOT_LOCK_TEST_DIRECTORY";
const ROUNDS: u32 = 100;

/// A process that does a job in a folder, and is killed when this is dropped.
pub(crate) struct Peer {
    child: Child,
    commands: ChildStdin,
    replies: BufReader<ChildStderr>,
}

impl Peer {
    pub(crate) fn start(job: &str, directory: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "peer", "--nocapture"])
            .env(JOB, job)
            .env(DIRECTORY, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let replies = BufReader::new(child.stderr.take().unwrap());
        Self { child, commands, replies }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    /// Has the job `obey` carry out a command.
    #[track_caller]
    pub(crate) fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
        let mut reply = String::new();
        self.replies.read_line(&mut reply).unwrap();
        assert_eq!(reply, "done\n", "{command}");
    }

    /// Kills the process (SIGKILL). Its standard streams stay open in the programs that it started.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end of the job.
    #[track_caller]
    pub(crate) fn join(mut self) {
        let status = self.child.wait().unwrap();
        let complaint = io::read_to_string(&mut self.replies).unwrap();
        assert!(status.success(), "{complaint}");
    }

    /// Waits until a signal has ended the process.
    pub(crate) fn wait_for_end(&mut self) {
        assert!(self.child.wait().unwrap().code().is_none());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The body of the other process; in this one, does nothing.
pub(crate) fn run() {
    let Ok(job) = env::var(JOB) else { return };
    let directory = env::var_os(DIRECTORY).unwrap();
    let directory = Path::new(&directory);
    let (toolchain, machine) = (directory.join("toolchain.lock"), directory.join("m.lock"));
    let counter = directory.join("counter");
    match job.as_str() {
        "count under the host lock" => count_under_host_lock(&toolchain, &counter),
        "count under a machine lock" => {
            count_under_machine_lock(&machine, &counter, || HostLock::acquire(&toolchain).unwrap());
        }
        "count under a bare machine lock" => {
            count_under_machine_lock(&machine, &counter, HostLock::disabled);
        }
        "count like an agent" => count_like_an_agent(&toolchain, &machine, &counter),
        "write" => write(&toolchain, &machine),
        "obey" => obey(directory, &toolchain, &machine),
        job => panic!("no such job: {job}"),
    }
}

fn count_under_host_lock(toolchain: &Path, counter: &Path) {
    for _ in 0..ROUNDS {
        let _host = HostLock::acquire(toolchain).unwrap();
        add_one(counter);
    }
}

fn count_under_machine_lock(machine: &Path, counter: &Path, host: impl Fn() -> HostLock) {
    for _ in 0..ROUNDS {
        let lock = loop {
            match MachineLock::try_acquire(&host(), machine).unwrap() {
                Acquired::Lock(lock) => break lock,
                Acquired::Busy(_) => thread::yield_now(),
            }
        };
        add_one(counter);
        lock.release().unwrap();
    }
}

/// Counts as agents work: the machine is probed and taken under the host lock, and used without it.
fn count_like_an_agent(toolchain: &Path, machine: &Path, counter: &Path) {
    for round in 0..ROUNDS {
        let mut lock = loop {
            let host = HostLock::acquire(toolchain).unwrap();
            if probe_and_tidy(&host, machine).unwrap() == MachineState::Free {
                let lock = MachineLock::try_acquire(&host, machine).unwrap();
                let mut lock = lock.into_lock().expect("it was free, and the host lock is held");
                lock.write(&host, (round % 2 == 0).then_some(u64::MAX)).unwrap();
                break lock;
            }
            drop(host);
            thread::yield_now();
        };
        add_one(counter);
        lock.suspend().unwrap();
        lock.release().unwrap();
    }
}

/// Adds one in a way that loses counts, or fails, if two processes do it at the same time.
fn add_one(counter: &Path) {
    let count: u32 = fs::read_to_string(counter).unwrap().parse().unwrap();
    thread::yield_now();
    fs::write(counter, (count + 1).to_string()).unwrap();
}

/// Takes, writes and releases a machine lock, as agents do, until this process is killed.
fn write(toolchain: &Path, machine: &Path) -> ! {
    loop {
        let host = HostLock::acquire(toolchain).unwrap();
        let lock = MachineLock::try_acquire(&host, machine).unwrap();
        let mut lock = lock.into_lock().expect("no other process locks it");
        drop(host);
        for priority in [Some(u64::MAX), Some(0), None, Some(100)] {
            lock.write(&HostLock::acquire(toolchain).unwrap(), priority).unwrap();
            thread::yield_now();
        }
        lock.suspend().unwrap();
        lock.release().unwrap();
    }
}

/// Takes the host lock and the instance lock, and carries out commands.
fn obey(directory: &Path, toolchain: &Path, machine: &Path) {
    let mut host = Some(HostLock::acquire(toolchain).unwrap());
    let instance = InstanceLock::try_acquire(&directory.join("instance.lock")).unwrap();
    let _instance = instance.into_lock().unwrap();
    let mut lock = None;
    let mut child = None;
    let mut replies = io::stderr();
    for command in io::stdin().lock().lines().map(Result::unwrap) {
        match command.as_str() {
            "acquire" => {
                let host = host.as_ref().unwrap();
                lock = MachineLock::try_acquire(host, machine).unwrap().into_lock();
                assert!(lock.is_some());
            }
            "build" => {
                lock.as_mut().unwrap().write(host.as_ref().unwrap(), Some(u64::MAX)).unwrap();
            }
            "suspend" => lock.as_mut().unwrap().suspend().unwrap(),
            "release" => lock.take().unwrap().release().unwrap(),
            "drop" => drop(lock.take()),
            "free the host lock" => drop(host.take()),
            "start a child" => child = Some(start_child()),
            command => panic!("no such command: {command}"),
        }
        writeln!(replies, "done").unwrap();
    }
    drop(child);
}

/// Starts a program that runs until the test closes the standard input of this process, and so
/// survives this process.
///
/// Returns when the program runs: before its `exec`, it has copies of this process's descriptors,
/// among them those of the locked files.
fn start_child() -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", "echo; exec cat >/dev/null"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    child
}
