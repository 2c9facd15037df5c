//! Hands results to their controllers, on a thread of its own: nobody waits for a controller.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::controller::auth::Signer;
use crate::controller::client::{Client, Delivery};
use crate::diag;
use crate::event::Event;
use crate::outbox::{self, EntryId, Outbox, OutboxError, RequestError};

/// What became of an outbox entry.
#[derive(Debug)]
pub(crate) enum Posting {
    /// The controller has it; the entry is gone.
    Taken,
    /// It could not be posted now and stays in the outbox.
    Kept(String),
    /// Its challenge could not be signed; it stays in the outbox (W37).
    Unsigned(String),
    /// It never will be taken; it is among the dead letters.
    Dead(String),
}

/// Gives entries to the posting thread.
#[derive(Debug)]
pub(crate) struct Poster {
    queue: Sender<EntryId>,
    on_its_way: HashSet<EntryId>,
}

/// What the thread works with.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    /// Where the entries are.
    pub(crate) outbox: Arc<Outbox>,
    /// How controllers are reached.
    pub(crate) client: Arc<Client>,
    /// How challenges are answered.
    pub(crate) signer: Option<Arc<Signer>>,
    /// How long one post may take.
    pub(crate) limit: Duration,
}

impl Poster {
    /// Starts the thread, which reports each entry by [`Event::Posted`].
    pub(crate) fn start(means: Means, events: Sender<Event>) -> io::Result<Self> {
        let (queue, entries) = channel();
        thread::Builder::new()
            .name("poster".into())
            .spawn(move || serve(&means, &entries, &events))?;
        Ok(Self { queue, on_its_way: HashSet::new() })
    }

    /// Hands over an entry, unless it is on its way already.
    pub(crate) fn post(&mut self, entry: EntryId) {
        if !self.on_its_way.contains(&entry) && self.queue.send(entry.clone()).is_ok() {
            self.on_its_way.insert(entry);
        }
    }

    /// Notes that an entry was reported.
    pub(crate) fn reported(&mut self, entry: &EntryId) {
        self.on_its_way.remove(entry);
    }

    /// Returns whether nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.on_its_way.is_empty()
    }
}

fn serve(means: &Means, entries: &Receiver<EntryId>, events: &Sender<Event>) {
    for entry in entries {
        let posting = deliver(means, &entry);
        if events.send(Event::Posted { entry, posting }).is_err() {
            return;
        }
    }
}

/// Posts one entry. Whatever happens, the result is on disk afterwards or at its controller.
fn deliver(means: &Means, id: &EntryId) -> Posting {
    let entry = match means.outbox.load(id) {
        Ok(entry) => entry,
        Err(error @ OutboxError::Damaged { .. }) => return bury(means, id, &chain(error)),
        Err(error) => return Posting::Kept(chain(error)),
    };
    let body = match outbox::result_request(&entry, means.signer.as_deref()) {
        Ok(body) => body,
        Err(error @ RequestError::TooLarge { .. }) => return bury(means, id, &chain(error)),
        Err(error @ (RequestError::Sign { .. } | RequestError::Key { .. })) => {
            return Posting::Unsigned(chain(error));
        }
        Err(error) => return Posting::Kept(chain(error)),
    };
    let start = Instant::now();
    match means.client.post_result(&entry.result_url, &body, start + means.limit) {
        Ok(Delivery::Taken) => {
            diag::phase("posted", start.elapsed(), &[("session", &entry.session)]);
            match means.outbox.remove(id) {
                Ok(()) => Posting::Taken,
                // It will be posted again: at least once is what the outbox promises.
                Err(error) => Posting::Kept(chain(error)),
            }
        }
        Ok(Delivery::Transient { reason, .. }) => Posting::Kept(reason),
        Ok(Delivery::Refused { status, reason }) => {
            bury(means, id, &format!("{} refused it: {status} {reason}", entry.result_url))
        }
        Err(error) => Posting::Kept(chain(error)),
    }
}

fn bury(means: &Means, id: &EntryId, reason: &str) -> Posting {
    match means.outbox.dead_letter(id, reason) {
        Ok(()) => Posting::Dead(reason.to_owned()),
        Err(error) => Posting::Kept(format!("{reason}; {}", chain(error))),
    }
}

/// The error with its causes, in one line.
fn chain(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}
