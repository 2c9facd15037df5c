//! Makes other instances give up their tasks, and waits until they have (W35).
//!
//! The host lock is held all the while: nobody else takes what becomes free, and nobody else's
//! signal can be meant for the task that comes next.

use std::io::{PipeReader, PipeWriter, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use bbot_lock::{Holder, HostLock, MachineState};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::agent::Agent;
use crate::diag;
use crate::event_loop::Event;

/// How long all of them together may take to let go of their machines. It takes them milliseconds.
const LIMIT: Duration = Duration::from_secs(60);

/// An instance that is to give up its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Victim {
    /// The machine that it has.
    pub(crate) machine: String,
    /// The machine's lock file.
    pub(crate) lock_file: PathBuf,
    /// The process, as the lock file names it.
    pub(crate) pid: i32,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// All their machines are free.
    Done,
    /// One of them does not give up its task, for this reason.
    Withheld(String),
    /// This agent is being stopped.
    Terminated,
}

/// Interrupts all the victims, then waits for all of them.
///
/// # Errors
///
/// The host's trouble.
pub(crate) fn interrupt(
    agent: &mut Agent,
    host: &HostLock,
    victims: &[Victim],
) -> anyhow::Result<Interrupted> {
    let signals = agent.events.signals.clone();
    if signals.terminated() {
        return Ok(Interrupted::Terminated);
    }
    let (told, _watch) = match tell(host, victims, agent.events.sender())? {
        Telling::Told(told, watch) => (told, watch),
        Telling::Withheld(reason) => return Ok(Interrupted::Withheld(reason)),
    };
    wait(host, told, LIMIT, |deadline| agent.next_event(deadline), || signals.terminated())
}

/// What a victim's lock says now.
enum Seen {
    /// It has the machine, for a task.
    AtWork,
    /// It has let go.
    Gone,
    /// It began a hold, or is somebody else: no signal would help.
    Withheld(String),
}

fn look(host: &HostLock, victim: &Victim) -> Result<Seen, bbot_lock::Error> {
    Ok(match bbot_lock::probe(host, &victim.lock_file)? {
        MachineState::Free => Seen::Gone,
        MachineState::Busy(Some(Holder { pid, priority: Some(_) })) if pid == victim.pid => {
            Seen::AtWork
        }
        MachineState::Busy(holder) => {
            let holder = holder.map_or_else(|| "nobody knows whom".to_owned(), |h| h.to_string());
            let Victim { machine, pid, .. } = victim;
            Seen::Withheld(format!("{machine}, which {pid} had, is locked by {holder} now"))
        }
    })
}

/// What came of telling the victims.
enum Telling<'a> {
    /// These are told; the watch reports what becomes of them.
    Told(Vec<&'a Victim>, Watch),
    /// One of them cannot be interrupted, for this reason.
    Withheld(String),
}

/// Looks at all the victims once more and, if all are still at work, tells them.
///
/// A process is opened before its lock is read: if the lock still names it then, whoever gets the
/// signal is the holder, and nobody who got its pid afterwards.
fn tell<'a>(
    host: &HostLock,
    victims: &'a [Victim],
    events: Sender<Event>,
) -> anyhow::Result<Telling<'a>> {
    let (mut told, mut processes) = (Vec::new(), Vec::new());
    for victim in victims {
        let Some(process) = open_process(victim.pid)? else { continue };
        match look(host, victim)? {
            Seen::AtWork => {
                told.push(victim);
                processes.push(process);
            }
            Seen::Gone => {}
            Seen::Withheld(reason) => return Ok(Telling::Withheld(reason)),
        }
    }
    // Watched first: whatever they do after the signal is seen.
    let changes = watch_files(&told)?;
    for (victim, process) in told.iter().zip(&processes) {
        let Victim { machine, pid, .. } = victim;
        match pidfd_send_signal(process, Signal::USR1) {
            Ok(()) => diag::info(format_args!("interrupted process {pid} on machine {machine}")),
            // It has just ended.
            Err(Errno::SRCH) => {}
            Err(error) => {
                let reason = format!("cannot signal process {pid}: {error}");
                diag::warn(format_args!("{reason}"));
                return Ok(Telling::Withheld(reason));
            }
        }
    }
    Ok(Telling::Told(told, Watch::start(changes, processes, events)?))
}

/// Opens a process; `None` if there is none: the kernel has freed its locks.
fn open_process(pid: i32) -> anyhow::Result<Option<OwnedFd>> {
    let Some(raw) = Pid::from_raw(pid) else { return Ok(None) };
    match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(process) => Ok(Some(process)),
        Err(Errno::SRCH) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot open process {pid}")),
    }
}

/// Notes every change of the victims' lock files: that one is cut short (a hold) or removed (a
/// release).
fn watch_files(victims: &[&Victim]) -> anyhow::Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC).context("cannot watch files")?;
    // A file that is removed has one link less, at once; it is deleted when nobody has it open.
    let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ATTRIB;
    for victim in victims {
        match inotify.add_watch(&victim.lock_file, flags) {
            // It has let go just now; that is looked at before anybody waits.
            Ok(_) | Err(nix::Error::ENOENT) => {}
            Err(error) => {
                let path = victim.lock_file.display();
                return Err(error).with_context(|| format!("cannot watch {path}"));
            }
        }
    }
    Ok(inotify)
}

/// Reports changes on the event channel for as long as it exists.
#[derive(Debug)]
struct Watch {
    /// Its end is the thread's end.
    _stop: PipeWriter,
}

impl Watch {
    /// A process that is killed frees its lock without a change of the file: its end is a change.
    fn start(
        files: Inotify,
        processes: Vec<OwnedFd>,
        events: Sender<Event>,
    ) -> anyhow::Result<Self> {
        let (stopped, stop) = pipe().context("cannot make a pipe")?;
        thread::Builder::new()
            .name("victims".into())
            .spawn(move || report_changes(&files, processes, &stopped, &events))
            .context("cannot start a thread")?;
        Ok(Self { _stop: stop })
    }
}

fn report_changes(
    files: &Inotify,
    mut processes: Vec<OwnedFd>,
    stopped: &PipeReader,
    events: &Sender<Event>,
) {
    loop {
        let watched = [stopped.as_fd(), files.as_fd()];
        let watched = watched.into_iter().chain(processes.iter().map(AsFd::as_fd));
        let mut polled: Vec<_> = watched.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => {}
            Err(nix::Error::EINTR) => continue,
            Err(_) => return,
        }
        let mut ready =
            polled.iter().map(|fd| fd.any() == Some(true)).collect::<Vec<_>>().into_iter();
        if ready.next() == Some(true) {
            return;
        }
        if ready.next() == Some(true) {
            // What has changed does not matter: the locks are looked at.
            drop(files.read_events());
        }
        // One that has ended stays so.
        processes.retain(|_| ready.next() != Some(true));
        if events.send(Event::LocksChanged).is_err() {
            return;
        }
    }
}

/// Waits until all victims have let go, until `limit` from now at most.
fn wait(
    host: &HostLock,
    mut victims: Vec<&Victim>,
    limit: Duration,
    mut next: impl FnMut(Instant) -> Option<Event>,
    is_terminated: impl Fn() -> bool,
) -> anyhow::Result<Interrupted> {
    let deadline = Instant::now() + limit;
    loop {
        let mut at_work = Vec::new();
        for victim in victims {
            match look(host, victim)? {
                Seen::AtWork => at_work.push(victim),
                Seen::Gone => {
                    let Victim { machine, pid, .. } = victim;
                    diag::trace(2, format_args!("process {pid} has let go of {machine}"));
                }
                Seen::Withheld(reason) => return Ok(Interrupted::Withheld(reason)),
            }
        }
        let Some(Victim { machine, pid, .. }) = at_work.first() else {
            return Ok(Interrupted::Done);
        };
        if is_terminated() {
            return Ok(Interrupted::Terminated);
        }
        if next(deadline).is_none() {
            let reason = format!("process {pid} has not let go of {machine} within {limit:?}");
            return Ok(Interrupted::Withheld(reason));
        }
        victims = at_work;
    }
}

#[cfg(test)]
mod tests;
