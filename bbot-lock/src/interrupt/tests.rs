use super::*;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use tempfile::TempDir;

use crate::MachineLock;

/// Longer than any test takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A machine's lock file, and the victim that is to release it.
struct Fixture {
    _folder: TempDir,
    host: HostLock,
    victim: Victim,
}

impl Fixture {
    fn new(pid: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lock_file = folder.path().join("m-public.lock");
        let victim = Victim::new(lock_file, pid.try_into().unwrap());
        Self { _folder: folder, host: HostLock::disabled(), victim }
    }

    /// Takes the lock in this process, for a task.
    fn lock(&self) -> MachineLock {
        let lock = MachineLock::try_acquire(&self.host, &self.victim.lock_file).unwrap();
        let mut lock = lock.into_lock().unwrap();
        lock.write(&self.host, Some(100)).unwrap();
        lock
    }

    /// Returns an interruption as it is after the signal, which is not sent: the victim is this
    /// process in most tests.
    fn interruption(&self, limit: Duration) -> (Interruption<'_>, Receiver<()>) {
        let (sender, changes) = channel();
        let remaining = vec![self.victim.clone()];
        let process = open_process(self.victim.pid).unwrap().unwrap();
        let files = watch_files(&remaining).unwrap();
        let on_change = move || {
            // The test may have ended.
            let _ = sender.send(());
        };
        let interruption = Interruption {
            host: &self.host,
            deadline: Instant::now() + limit,
            remaining,
            signalled: Vec::new(),
            released: Vec::new(),
            withheld: None,
            _watcher: Some(Watcher::start(files, vec![process], on_change).unwrap()),
        };
        (interruption, changes)
    }

    /// Waits for the end of an interruption; `meanwhile` runs once the victim has been seen at
    /// work.
    fn wait(&self, limit: Duration, meanwhile: impl FnOnce()) -> Progress {
        let (mut interruption, changes) = self.interruption(limit);
        assert_eq!(interruption.poll(Instant::now()).unwrap(), Progress::Waiting);
        meanwhile();
        loop {
            let left = interruption.deadline().saturating_duration_since(Instant::now());
            let is_reported = changes.recv_timeout(left).is_ok();
            match interruption.poll(Instant::now()).unwrap() {
                Progress::Waiting => {}
                end => {
                    let is_timed_out = end == self.withheld(WithheldReason::TimedOut);
                    assert_eq!(is_reported, !is_timed_out, "the watch reports every other end");
                    let released = usize::from(end == Progress::Done);
                    assert_eq!(interruption.take_released().len(), released);
                    return end;
                }
            }
        }
    }

    fn withheld(&self, reason: WithheldReason) -> Progress {
        Progress::Withheld(Withheld { victim: self.victim.clone(), reason })
    }

    fn begin(&self, victims: &[&Victim]) -> Interruption<'_> {
        let victims = victims.iter().copied().cloned().collect();
        Interruption::begin(&self.host, victims, Instant::now() + LIMIT, || {}).unwrap()
    }

    /// Returns the state of an interruption that has just begun and must not have sent a signal.
    #[track_caller]
    fn begin_without_signal(&self) -> Progress {
        let mut interruption = self.begin(&[&self.victim]);
        assert_eq!(interruption.signalled(), []);
        interruption.poll(Instant::now()).unwrap()
    }
}

/// A process that SIGUSR1 would end.
fn bystander() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

#[track_caller]
fn assert_unharmed(mut child: Child) {
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// Has a process that SIGUSR1 would end hold the fixture's lock, as the victim. The lock stays
/// until the file is dropped, too.
fn lock_by_other(fixture: &mut Fixture) -> (Child, fs::File) {
    let file = fs::File::create(&fixture.victim.lock_file).unwrap();
    file.lock().unwrap();
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(file.try_clone().unwrap());
    let child = command.spawn().unwrap();
    fixture.victim.pid = child.id().try_into().unwrap();
    (&file).write_all(format!("{} 100", child.id()).as_bytes()).unwrap();
    (child, file)
}

/// W47: without inotify, changes are looked for.
#[test]
fn without_inotify_a_release_ends_the_wait() {
    let fixture = Fixture::new(std::process::id());
    let lock = fixture.lock();
    let (interruption, changes) = fixture.interruption(LIMIT);
    let process = open_process(fixture.victim.pid).unwrap().unwrap();
    let (sender, looked) = channel();
    let on_change = move || {
        // The test may have ended.
        let _ = sender.send(());
    };
    let watcher = Some(Watcher::start(None, vec![process], on_change).unwrap());
    let mut interruption = Interruption { _watcher: watcher, ..interruption };
    assert_eq!(interruption.poll(Instant::now()).unwrap(), Progress::Waiting);
    lock.release().unwrap();
    looked.recv_timeout(LIMIT).unwrap();
    assert_eq!(interruption.poll(Instant::now()).unwrap(), Progress::Done);
    drop((interruption, changes));
    looked.iter().for_each(drop);
}

/// W45: the process that a lock file names is not signalled if it has not locked the file, though
/// it exists: the holder may be in another pid namespace, where the pid is its own.
#[test]
fn a_process_without_the_lock_is_not_signalled() {
    let other = bystander();
    let fixture = Fixture::new(other.id());
    let lock = fixture.lock();
    fs::write(&fixture.victim.lock_file, format!("{} 100", other.id())).unwrap();
    let end = fixture.begin_without_signal();
    assert_eq!(end, fixture.withheld(WithheldReason::Unconfirmed));
    assert_unharmed(other);
    drop(lock);
}

/// W35: a release ends the wait at once, even if another process has the lock file open.
#[test]
fn a_release_ends_the_wait() {
    let fixture = Fixture::new(std::process::id());
    let lock = fixture.lock();
    // As a child of the holder may have; it keeps the inode from being deleted.
    let _open = fs::File::open(&fixture.victim.lock_file).unwrap();
    assert_eq!(fixture.wait(LIMIT, || lock.release().unwrap()), Progress::Done);
}

/// W35: a victim whose lock loses its priority is given up at once.
#[test]
fn a_suspended_task_ends_the_wait() {
    let fixture = Fixture::new(std::process::id());
    let mut lock = fixture.lock();
    let end = fixture.wait(LIMIT, || lock.suspend().unwrap());
    let holder = Holder::new(fixture.victim.pid, None);
    assert_eq!(end, fixture.withheld(WithheldReason::Changed(holder)));
    lock.release().unwrap();
}

/// W35: the end of a process releases its machine, though its lock file does not change.
#[test]
fn a_death_ends_the_wait() {
    // It names itself in the lock file, and holds the lock until it ends.
    let script = "exec 9<>\"$1\"; flock 9; printf '%s 7' $$ >&9; exec cat 9>&9 2>&9";
    let folder = tempfile::tempdir().unwrap();
    let lock_file = folder.path().join("m-public.lock");
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(&lock_file).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    // It answers when it has reached its last command.
    child.stdin.as_mut().unwrap().write_all(b"?\n").unwrap();
    let mut answer = [0; 2];
    child.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();

    let mut fixture = Fixture::new(child.id());
    fixture.victim.lock_file = lock_file;
    assert_eq!(fixture.wait(LIMIT, || child.kill().unwrap()), Progress::Done);
    child.wait().unwrap();
    assert!(fixture.victim.lock_file.try_exists().unwrap());
}

/// W35: the wait ends at the deadline, and not before.
#[test]
fn the_wait_has_a_limit() {
    let fixture = Fixture::new(std::process::id());
    let _lock = fixture.lock();
    let start = Instant::now();
    let limit = Duration::from_millis(500);
    let timed_out = fixture.withheld(WithheldReason::TimedOut);
    assert_eq!(fixture.wait(limit, || ()), timed_out);
    assert!(start.elapsed() >= limit);
}

/// A release that is found only at the deadline counts; an end is final.
#[test]
fn the_deadline_counts_for_those_that_remain() {
    let fixture = Fixture::new(std::process::id());
    let lock = fixture.lock();
    let (mut interruption, _changes) = fixture.interruption(Duration::ZERO);
    let (mut late, _changes) = fixture.interruption(LIMIT);
    let timed_out = fixture.withheld(WithheldReason::TimedOut);
    assert_eq!(interruption.poll(Instant::now()).unwrap(), timed_out);
    lock.release().unwrap();
    assert_eq!(interruption.poll(Instant::now()).unwrap(), timed_out);
    let deadline = late.deadline();
    assert_eq!(late.poll(deadline).unwrap(), Progress::Done);
    assert_eq!(late.take_released(), std::slice::from_ref(&fixture.victim));
    assert_eq!(late.take_released(), []);
}

/// W35: a process that got a dead holder's pid gets no signal: the lock is free.
#[test]
fn the_pid_in_a_free_lock_gets_no_signal() {
    let child = bystander();
    let fixture = Fixture::new(child.id());
    fs::write(&fixture.victim.lock_file, format!("{} 100", child.id())).unwrap();
    assert_eq!(fixture.begin_without_signal(), Progress::Done);
    fs::remove_file(&fixture.victim.lock_file).unwrap();
    assert_eq!(fixture.begin_without_signal(), Progress::Done);
    assert_unharmed(child);
}

/// W35: a process that has ended is not waited for.
#[test]
fn a_dead_process_is_left_out() {
    let mut child = bystander();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(Fixture::new(child.id()).begin_without_signal(), Progress::Done);
}

/// A pid that no process can have is left out, and not taken for a group of processes.
#[test]
fn a_pid_that_is_not_positive_is_left_out() {
    let mut fixture = Fixture::new(std::process::id());
    for pid in [0, -1, i32::MIN] {
        fixture.victim.pid = pid;
        assert_eq!(fixture.begin_without_signal(), Progress::Done);
    }
}

/// W35: if the lock names another process by now, or no task, no signal is sent.
#[test]
fn a_changed_lock_gets_no_signal() {
    let child = bystander();
    let fixture = Fixture::new(child.id());
    let _lock = fixture.lock();
    for content in [format!("{} 100", std::process::id()), child.id().to_string(), "?".into()] {
        fs::write(&fixture.victim.lock_file, &content).unwrap();
        let changed = WithheldReason::Changed(content.parse().ok());
        assert_eq!(fixture.begin_without_signal(), fixture.withheld(changed));
    }
    assert_unharmed(child);
}

/// W35: all victims are examined before the first signal is sent.
#[test]
fn no_signal_is_sent_in_vain() {
    let (mut first, second) = (Fixture::new(1), Fixture::new(std::process::id()));
    let (child, _file) = lock_by_other(&mut first);
    let mut held = second.lock();
    held.suspend().unwrap();
    let mut interruption = first.begin(&[&first.victim, &second.victim]);
    assert_eq!(interruption.signalled(), []);
    let end = interruption.poll(Instant::now()).unwrap();
    let changed = WithheldReason::Changed(Holder::new(second.victim.pid, None));
    assert_eq!(end, second.withheld(changed));
    assert_unharmed(child);
}

/// W35: the holder gets the signal.
#[test]
fn the_holder_gets_the_signal() {
    let mut fixture = Fixture::new(1);
    let (mut child, _file) = lock_by_other(&mut fixture);
    let mut interruption = fixture.begin(&[&fixture.victim]);
    assert_eq!(interruption.signalled(), std::slice::from_ref(&fixture.victim));
    assert_eq!(interruption.poll(Instant::now()).unwrap(), Progress::Waiting);
    assert_eq!(child.wait().unwrap().signal(), Some(SIGNAL));
}

/// The watch ends with the interruption: the function is dropped.
#[test]
fn a_dropped_interruption_ends_its_thread() {
    let fixture = Fixture::new(std::process::id());
    let _lock = fixture.lock();
    let (interruption, changes) = fixture.interruption(LIMIT);
    drop(interruption);
    // The function, and the sender in it, are dropped at the end of the thread.
    assert_eq!(changes.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
}
