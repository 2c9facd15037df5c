use super::*;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use bbot_lock::MachineLock;
use tempfile::TempDir;

/// Far more than anything here takes.
const AGES: Duration = Duration::from_secs(60);

/// A machine's lock, and who is to let go of it.
struct Scene {
    _folder: TempDir,
    host: HostLock,
    victim: Victim,
}

impl Scene {
    fn new(pid: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lock_file = folder.path().join("m-public.lock");
        let victim = Victim { machine: "m".into(), lock_file, pid: pid.try_into().unwrap() };
        Self { _folder: folder, host: HostLock::disabled(), victim }
    }

    /// The lock, held by this process for a task.
    fn lock(&self) -> MachineLock {
        let mut lock = MachineLock::acquire(&self.host, &self.victim.lock_file).unwrap().unwrap();
        lock.write(&self.host, Some(100)).unwrap();
        lock
    }

    /// Watches the victim as if it had been told.
    fn watch(&self) -> (Watch, Receiver<Event>) {
        let (sender, events) = channel();
        let process = open_process(self.victim.pid).unwrap().unwrap();
        let changes = watch_files(&[&self.victim]).unwrap();
        (Watch::start(changes, vec![process], sender).unwrap(), events)
    }

    /// Waits; `meanwhile` happens when the victim has been seen at work.
    fn wait(
        &self,
        limit: Duration,
        events: &Receiver<Event>,
        meanwhile: impl FnOnce(),
    ) -> Interrupted {
        let mut meanwhile = Some(meanwhile);
        let next = |deadline: Instant| {
            meanwhile.take().into_iter().for_each(|happens| happens());
            events.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
        };
        wait(&self.host, vec![&self.victim], limit, next, || false).unwrap()
    }

    fn tell(&self) -> Option<String> {
        match tell(&self.host, std::slice::from_ref(&self.victim), channel().0).unwrap() {
            Telling::Told(told, _) => {
                assert!(told.is_empty(), "told");
                None
            }
            Telling::Withheld(reason) => Some(reason),
        }
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

/// W35: what is over is seen at once: a release, a hold, the end of a process that frees its lock.
#[test]
fn a_release_ends_the_wait() {
    let scene = Scene::new(std::process::id());
    let lock = scene.lock();
    // Somebody who has the file open, as its holder's dying child may, keeps it from being deleted.
    let _open = fs::File::open(&scene.victim.lock_file).unwrap();
    let (_watch, events) = scene.watch();
    let end = scene.wait(AGES, &events, || lock.release().unwrap());
    assert_eq!(end, Interrupted::Done);
}

/// W35: a victim whose lock loses its priority is given up at once.
#[test]
fn a_hold_ends_the_wait() {
    let scene = Scene::new(std::process::id());
    let mut lock = scene.lock();
    let (_watch, events) = scene.watch();
    let end = scene.wait(AGES, &events, || lock.suspend().unwrap());
    let Interrupted::Withheld(reason) = end else { panic!("done") };
    assert!(reason.contains(" is locked by "), "{reason}");
    lock.release().unwrap();
}

/// W35: a process that dies lets go, though nobody touches its lock file.
#[test]
fn a_death_ends_the_wait() {
    // It says that it has the lock, and keeps it for as long as it lives.
    let script = "exec 9<>\"$1\"; flock 9; printf '%s 7' $$ >&9; exec cat 9>&9 2>&9";
    let folder = tempfile::tempdir().unwrap();
    let lock_file = folder.path().join("m-public.lock");
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(&lock_file).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    // It answers when it has come to its last step.
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"?\n").unwrap();
    let mut answer = [0; 2];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut answer).unwrap();

    let mut scene = Scene::new(child.id());
    scene.victim.lock_file = lock_file;
    let (_watch, events) = scene.watch();
    let end = scene.wait(AGES, &events, || child.kill().unwrap());
    assert_eq!(end, Interrupted::Done);
    child.wait().unwrap();
    assert!(scene.victim.lock_file.try_exists().unwrap());
}

/// W35: one limit, not a moment earlier.
#[test]
fn the_wait_has_a_limit() {
    let scene = Scene::new(std::process::id());
    let _lock = scene.lock();
    let (_watch, events) = scene.watch();
    let start = Instant::now();
    let limit = Duration::from_millis(100);
    let Interrupted::Withheld(reason) = scene.wait(limit, &events, || ()) else { panic!("done") };
    assert!(start.elapsed() >= limit);
    let expected = format!("process {} has not let go of m within 100ms", std::process::id());
    assert_eq!(reason, expected);
}

/// W35, W40: SIGTERM ends the wait.
#[test]
fn sigterm_ends_the_wait() {
    let scene = Scene::new(std::process::id());
    let _lock = scene.lock();
    let came = std::cell::Cell::new(false);
    let next = |_| {
        came.set(true);
        Some(Event::Signal)
    };
    let end = wait(&scene.host, vec![&scene.victim], AGES, next, || came.get()).unwrap();
    assert_eq!(end, Interrupted::Terminated);
}

/// W35: whoever got a dead holder's pid is left alone: its lock is free.
#[test]
fn a_free_lock_s_pid_gets_no_signal() {
    let child = bystander();
    let scene = Scene::new(child.id());
    fs::write(&scene.victim.lock_file, format!("{} 100", child.id())).unwrap();
    assert_eq!(scene.tell(), None);
    fs::remove_file(&scene.victim.lock_file).unwrap();
    assert_eq!(scene.tell(), None);
    assert_unharmed(child);
}

/// W35: a lock that names another process by now, or no task, is no reason for a signal.
#[test]
fn a_changed_lock_gets_no_signal() {
    let child = bystander();
    let scene = Scene::new(child.id());
    let _lock = scene.lock();
    for content in [format!("{} 100", std::process::id()), child.id().to_string(), "?".into()] {
        fs::write(&scene.victim.lock_file, content).unwrap();
        assert!(scene.tell().unwrap().contains("is locked by"));
    }
    assert_unharmed(child);
}

/// W35: all victims are looked at before the first one is told.
#[test]
fn nobody_is_told_in_vain() {
    let child = bystander();
    let (first, second) = (Scene::new(child.id()), Scene::new(std::process::id()));
    let (_first, mut held) = (first.lock(), second.lock());
    fs::write(&first.victim.lock_file, format!("{} 100", child.id())).unwrap();
    held.suspend().unwrap();
    let victims = [first.victim.clone(), second.victim.clone()];
    let told = tell(&first.host, &victims, channel().0).unwrap();
    assert!(matches!(told, Telling::Withheld(_)));
    assert_unharmed(child);
}

/// W35: the holder itself is told.
#[test]
fn the_holder_gets_the_signal() {
    let mut child = bystander();
    let scene = Scene::new(child.id());
    let _lock = scene.lock();
    fs::write(&scene.victim.lock_file, format!("{} 100", child.id())).unwrap();
    let victims = [scene.victim.clone()];
    let Telling::Told(told, _watch) = tell(&scene.host, &victims, channel().0).unwrap() else {
        panic!("withheld");
    };
    assert_eq!(told, [&scene.victim]);
    let status = child.wait().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(nix::sys::signal::Signal::SIGUSR1 as i32));
}
