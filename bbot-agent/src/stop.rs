//! How the process ends: in order if that is possible, in any case within ten seconds (W40).

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::diag;
use crate::event_loop::EventChannel;

/// How long after SIGTERM the process may still run. What is not done by then (a file system that
/// hangs, a hypervisor that does not start) is left to the next start, as after a crash.
const LIMIT: Duration = Duration::from_secs(9);

/// What the main thread waits for.
enum Notice {
    /// The work has ended, or has panicked.
    Ended,
    Terminated,
}

/// Sends [`Notice::Ended`] when dropped, be it by a panic.
struct EndNotice(Sender<Notice>);

impl Drop for EndNotice {
    fn drop(&mut self) {
        // The main thread has stopped waiting if the limit has passed.
        drop(self.0.send(Notice::Ended));
    }
}

/// Does `work` in a thread of its own, to its end, but not beyond the limit after a SIGTERM.
pub(crate) fn run(
    work: impl FnOnce(EventChannel) -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<()> {
    let (sender, notices) = channel();
    let end_notice = EndNotice(sender.clone());
    // The main thread has stopped waiting if the limit has passed.
    let on_terminate = move || drop(sender.send(Notice::Terminated));
    let events = EventChannel::open(on_terminate).context("cannot install signal handlers")?;
    let worker = thread::Builder::new().name("work".into()).spawn(move || {
        let _end_notice = end_notice;
        work(events)
    })?;
    let mut limit = None;
    loop {
        let notice = match limit {
            None => notices.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(limit) => notices.recv_timeout(limit),
        };
        match notice {
            Ok(Notice::Terminated) => limit = Some(LIMIT),
            Ok(Notice::Ended) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                diag::error("cannot stop in order: the next start has to clean up");
                return Ok(());
            }
        }
    }
    // The panic itself has been printed.
    worker.join().map_err(|_| anyhow!("the agent has a bug"))?
}
