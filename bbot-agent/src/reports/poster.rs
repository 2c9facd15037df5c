//! Hands results to their controllers, on threads of its own: nobody waits for a controller.
//!
//! One thread looks at each entry and passes it on to the *lane* of its controller, a thread that
//! posts one entry after the other: a controller that hangs delays no other one's results.

mod artifacts;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use ureq::http::Uri;

use crate::controller::auth::Signer;
use crate::controller::client::{Client, Delivery};
use crate::controller::result_request::{self, RequestError};
use crate::diag;
use crate::event_loop::Event;
use crate::outbox::{Entry, EntryId, Outbox, OutboxError};
use crate::reports::schedule::Failure;

/// The most controllers that are posted to at a time; further ones share a lane.
const LANES: usize = 8;

/// What became of an outbox entry.
#[derive(Debug)]
pub(crate) enum Posting {
    /// The controller has it; the entry is gone.
    Taken,
    /// It stays in the outbox.
    Kept {
        /// The error with its causes.
        reason: String,
        /// What it means for the next attempt.
        failure: Failure,
    },
    /// It never will be taken; it is among the dead letters.
    Dead(String),
}

/// Gives entries to the posting threads.
#[derive(Debug)]
pub(crate) struct Poster {
    queue: Sender<EntryId>,
}

/// What the threads work with.
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
    /// How long an entry waits for its controller.
    pub(crate) lifetime: Duration,
    /// Where it is told what became of an entry, by [`Event::Posted`].
    pub(crate) events: Sender<Event>,
}

impl Poster {
    /// Starts the thread that all entries go through.
    pub(crate) fn start(means: Means) -> io::Result<Self> {
        let (queue, entries) = channel();
        thread::Builder::new()
            .name("poster".into())
            .spawn(move || Lanes { means, lanes: Vec::new() }.distribute(&entries))?;
        Ok(Self { queue })
    }

    /// Hands over an entry, of which [`Event::Posted`] will tell.
    pub(crate) fn post(&self, entry: EntryId) {
        // The thread ends only with the process.
        drop(self.queue.send(entry));
    }
}

/// The controllers that have been posted to.
struct Lanes {
    means: Means,
    lanes: Vec<(String, Sender<EntryId>)>,
}

impl Lanes {
    fn distribute(mut self, entries: &Receiver<EntryId>) {
        for id in entries {
            let place = self.means.outbox.load(&id).map(|entry| place(&entry)).unwrap_or_default();
            match self.lane(place) {
                // A lane ends only with the process.
                Ok(lane) => drop(lane.send(id)),
                Err(_) => self.means.serve(id),
            }
        }
    }

    /// Returns the lane of a controller, a new one if need be.
    fn lane(&mut self, place: String) -> io::Result<&Sender<EntryId>> {
        let known = self.lanes.iter().position(|(known, _)| *known == place);
        let index = match known {
            Some(index) => index,
            None if self.lanes.len() < LANES => self.open(place)?,
            None => shared_lane(&place),
        };
        Ok(&self.lanes[index].1)
    }

    fn open(&mut self, place: String) -> io::Result<usize> {
        let (lane, entries) = channel();
        let means = self.means.clone();
        let index = self.lanes.len();
        thread::Builder::new().name(format!("post-{index}")).spawn(move || {
            for id in entries {
                means.serve(id);
            }
        })?;
        self.lanes.push((place, lane));
        Ok(index)
    }
}

/// Host and port that a result goes to.
fn place(entry: &Entry) -> String {
    let url = entry.result_url.parse::<Uri>().ok();
    let authority = url.as_ref().and_then(Uri::authority);
    authority.map(|authority| authority.as_str().to_ascii_lowercase()).unwrap_or_default()
}

fn shared_lane(place: &str) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(place);
    usize::try_from(hash % LANES as u64).expect("less than the number of lanes")
}

impl Means {
    /// Posts one entry and tells what became of it.
    fn serve(&self, id: EntryId) {
        let mut signed = false;
        let mut posting = self.deliver(&id, &mut signed);
        if let Posting::Kept { reason, .. } = &posting
            && id.age(SystemTime::now()) > self.lifetime
        {
            posting = self.bury(&id, &format!("too old ({reason})"));
        }
        // The loop is gone when the process is about to end.
        drop(self.events.send(Event::Posted { entry: id, signed, posting }));
    }

    /// Posts one entry, and notes whether its challenge was signed. Whatever happens, the result is
    /// on disk afterwards or at its controller.
    fn deliver(&self, id: &EntryId, signed: &mut bool) -> Posting {
        let entry = match self.outbox.load(id) {
            Ok(entry) => entry,
            Err(error @ OutboxError::Unusable { .. }) => return self.bury(id, &chain(error)),
            Err(error) => return kept(chain(error), None),
        };
        let signature = match result_request::signature(&entry, self.signer.as_deref()) {
            Ok(signature) => signature,
            Err(error @ RequestError::Sign { .. }) => {
                return Posting::Kept { reason: chain(error), failure: Failure::Unsigned };
            }
            Err(error) => return kept(chain(error), None),
        };
        *signed = signature.is_some();
        if let Err(posting) = self.deliver_artifacts(id, &entry, signature.as_deref()) {
            return posting;
        }
        let body = match result_request::result_request(&entry, signature) {
            Ok(body) => body,
            Err(error @ RequestError::TooLarge { .. }) => return self.bury(id, &chain(error)),
            Err(error) => return kept(chain(error), None),
        };
        let start = Instant::now();
        match self.client.post_result(&entry.result_url, &body, start + self.limit) {
            Ok(Delivery::Taken) => {
                diag::phase("posted", start.elapsed(), &[("session", &entry.session)]);
                match self.outbox.remove(id) {
                    Ok(()) => Posting::Taken,
                    // It will be posted again: at least once is what the outbox promises.
                    Err(error) => kept(chain(error), None),
                }
            }
            Ok(Delivery::Transient { reason, retry_after }) => kept(reason, retry_after),
            Ok(Delivery::Refused { status, reason }) => {
                self.bury(id, &format!("{} refused it: {status} {reason}", entry.result_url))
            }
            Err(error) => kept(chain(error), None),
        }
    }

    fn bury(&self, id: &EntryId, reason: &str) -> Posting {
        match self.outbox.dead_letter(id, reason) {
            Ok(()) => Posting::Dead(reason.to_owned()),
            Err(error) => kept(format!("{reason}; {}", chain(error)), None),
        }
    }
}

fn kept(reason: String, retry_after: Option<Duration>) -> Posting {
    Posting::Kept { reason, failure: Failure::NotTaken { retry_after } }
}

/// The error with its causes, in one line.
fn chain(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}
