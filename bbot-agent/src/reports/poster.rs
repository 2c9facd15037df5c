//! Delivers entries of the outbox on threads of its own, so that the event loop never waits for a
//! controller.
//!
//! One thread looks at each entry and passes it on to the queue of its controller, which a thread
//! serves one entry after the other: a controller that hangs delays the results of no other one.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use ureq::http::Uri;

use super::delivery::{Posted, PosterContext};
use crate::outbox::{Entry, EntryId, Outbox};

/// The most controllers that are posted to at the same time; further ones share a queue.
const QUEUES: usize = 8;

/// Gives entries to the posting threads.
#[derive(Debug)]
pub(crate) struct Poster {
    entries: Sender<EntryId>,
}

impl Poster {
    /// Starts the thread that all entries pass through. `report` is called, on a posting thread,
    /// with the outcome of each attempt.
    pub(crate) fn start(
        context: PosterContext,
        report: impl Fn(Posted) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, entries) = channel();
        let outbox = Arc::clone(&context.outbox);
        let deliver = move |id| report(context.deliver(id));
        let dispatcher = Dispatcher { outbox, deliver, queues: Vec::new() };
        let poster = thread::Builder::new().name("poster".into());
        poster.spawn(move || dispatcher.run(&entries))?;
        Ok(Self { entries: sender })
    }

    /// Starts an attempt to deliver an entry.
    pub(crate) fn post(&self, entry: EntryId) {
        // The thread ends only with the process.
        drop(self.entries.send(entry));
    }
}

/// Passes entries on to the queues of their controllers.
#[derive(Debug)]
struct Dispatcher<D> {
    outbox: Arc<Outbox>,
    /// Attempts to deliver an entry.
    deliver: D,
    /// The queue of each controller, by its authority (host and port).
    queues: Vec<(String, Sender<EntryId>)>,
}

impl<D: Fn(EntryId) + Clone + Send + 'static> Dispatcher<D> {
    fn run(mut self, entries: &Receiver<EntryId>) {
        for id in entries {
            let authority = self.outbox.load(&id).map(|entry| authority(&entry));
            match self.queue(authority.unwrap_or_default()) {
                // A posting thread ends only with the process.
                Ok(queue) => drop(queue.send(id)),
                Err(_) => (self.deliver)(id),
            }
        }
    }

    /// Returns the queue of a controller, a new one if need be.
    fn queue(&mut self, authority: String) -> io::Result<&Sender<EntryId>> {
        let known = self.queues.iter().position(|(known, _)| *known == authority);
        let index = match known {
            Some(index) => index,
            None if self.queues.len() < QUEUES => self.open(authority)?,
            None => shared_queue(&authority),
        };
        Ok(&self.queues[index].1)
    }

    fn open(&mut self, authority: String) -> io::Result<usize> {
        let (queue, entries) = channel();
        let deliver = self.deliver.clone();
        let index = self.queues.len();
        let poster = thread::Builder::new().name(format!("post-{index}"));
        poster.spawn(move || entries.into_iter().for_each(deliver))?;
        self.queues.push((authority, queue));
        Ok(index)
    }
}

/// Returns host and port that a result goes to.
fn authority(entry: &Entry) -> String {
    let url = entry.result_url.parse::<Uri>().ok();
    let authority = url.as_ref().and_then(Uri::authority);
    authority.map(|authority| authority.as_str().to_ascii_lowercase()).unwrap_or_default()
}

fn shared_queue(authority: &str) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(authority);
    usize::try_from(hash % QUEUES as u64).expect("less than the number of queues")
}
