use super::*;

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A process that has a machine for a task of priority 7 and ignores interrupts.
struct Uninterruptible {
    _folder: tempfile::TempDir,
    process: Child,
    victim: Victim,
}

impl Uninterruptible {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lock_file = folder.path().join("m/m-public.lock");
        std::fs::create_dir(folder.path().join("m")).unwrap();
        let script = "trap '' USR1; exec 9<>\"$1\"; flock 9; printf '%s 7' $$ >&9; echo; \
                      exec cat 9>&9";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).arg(&lock_file);
        let mut process = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let ready = BufReader::new(process.stdout.take().unwrap()).read_line(&mut String::new());
        assert_eq!(ready.unwrap(), 1);
        let victim = Victim::new(lock_file, process.id().try_into().unwrap());
        Self { _folder: folder, process, victim }
    }

    /// Interrupts it, and waits; `next` is called to wait for an event.
    fn wait(
        &mut self,
        limit: Duration,
        next: impl FnMut(Instant) -> Option<Event>,
        is_terminated: impl Fn() -> bool,
    ) -> Interrupted {
        let host = HostLock::disabled();
        let victims = vec![self.victim.clone()];
        let deadline = Instant::now() + limit;
        let mut interruption = Interruption::begin(&host, victims, deadline, || {}).unwrap();
        assert_eq!(interruption.signalled().len(), 1);
        let end = wait(&mut interruption, next, is_terminated).unwrap();
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        end
    }
}

/// W35, W40: SIGTERM ends the wait.
#[test]
fn sigterm_ends_the_wait() {
    let came = Cell::new(false);
    let next = |_| {
        came.set(true);
        Some(Event::Signal)
    };
    let end = Uninterruptible::start().wait(LIMIT, next, || came.get());
    assert_eq!(end, Interrupted::Terminated);
    assert!(came.get());
}

/// W35: a process that does not release its machine is waited for until the deadline.
#[test]
fn the_deadline_ends_the_wait() {
    let mut holder = Uninterruptible::start();
    let pid = holder.victim.pid;
    let end = holder.wait(Duration::ZERO, |_| panic!("it is over"), || false);
    let reason = format!("process {pid} has not let go of m within 60s");
    assert_eq!(end, Interrupted::Withheld(reason));
}

/// W35: an event that has nothing to do with the locks does not end the wait.
#[test]
fn another_event_does_not_end_the_wait() {
    let events = Cell::new(0);
    let next = |_| {
        events.set(events.get() + 1);
        Some(Event::FileAppeared)
    };
    let end = Uninterruptible::start().wait(LIMIT, next, || events.get() == 3);
    assert_eq!(end, Interrupted::Terminated);
}
