//! The way out: in order if that is possible, in any case within ten seconds (W40).

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::diag;
use crate::event_loop::Events;

/// How long after SIGTERM the process may still be there. What is late by then (a file system that
/// hangs, a hypervisor that does not come up) is put right by the next start, as after a crash.
const LIMIT: Duration = Duration::from_secs(9);

/// What the main thread waits for.
enum News {
    /// The work is over, or has panicked.
    Over,
    /// SIGTERM or SIGINT came.
    Terminated,
}

/// Tells that the work is over, whatever the manner.
struct TellOver(Sender<News>);

impl Drop for TellOver {
    fn drop(&mut self) {
        // Nobody waits any more if the limit has passed.
        drop(self.0.send(News::Over));
    }
}

/// Does `work` in a thread of its own, to its end, but not beyond the limit after a SIGTERM.
pub(crate) fn run(
    work: impl FnOnce(Events) -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<()> {
    let (sender, news) = channel();
    let over = TellOver(sender.clone());
    // Nobody waits any more if the limit has passed.
    let terminated = move || drop(sender.send(News::Terminated));
    let events = Events::new(terminated).context("cannot install signal handlers")?;
    let worker = thread::Builder::new().name("work".into()).spawn(move || {
        let _over = over;
        work(events)
    })?;
    let mut limit = None;
    loop {
        let heard = match limit {
            None => news.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(limit) => news.recv_timeout(limit),
        };
        match heard {
            Ok(News::Terminated) => limit = Some(LIMIT),
            Ok(News::Over) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                diag::error("cannot stop in order: the next start has to clean up");
                return Ok(());
            }
        }
    }
    // The panic itself has been printed.
    worker.join().map_err(|_| anyhow!("the agent has a bug"))?
}
