//! The thread on which uploads become durable, so that a slow disk stalls no other transfer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::store::{Sink, StoreError};

/// Commits uploads one after the other.
#[derive(Debug)]
pub(crate) struct StorageThread {
    queue: Option<Sender<(u64, Box<dyn Sink>)>>,
    abandon: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StorageThread {
    /// Starts the thread; `done` is called on it with each outcome.
    pub(crate) fn start(
        name: String,
        done: impl Fn(u64, Result<(), StoreError>) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, uploads) = channel::<(u64, Box<dyn Sink>)>();
        let abandon = Arc::new(AtomicBool::new(false));
        let abandoned = Arc::clone(&abandon);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            for (id, sink) in uploads {
                let result = if abandoned.load(Ordering::Relaxed) {
                    drop(sink);
                    Err(StoreError::Io(io::ErrorKind::Interrupted.into()))
                } else {
                    sink.commit()
                };
                done(id, result);
            }
        })?;
        Ok(Self { queue: Some(queue), abandon, thread: Some(thread) })
    }

    pub(crate) fn commit(&self, id: u64, sink: Box<dyn Sink>) {
        let queue = self.queue.as_ref().expect("the queue is open until the thread is stopped");
        // The thread ends only by a panic of a store; the transfer then times out.
        drop(queue.send((id, sink)));
    }

    /// Ends the thread after the commit that is under way; the others are given up.
    pub(crate) fn stop(&mut self) {
        self.abandon.store(true, Ordering::Relaxed);
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A store that panicked has said so already.
            drop(thread.join());
        }
    }
}

impl Drop for StorageThread {
    fn drop(&mut self) {
        self.stop();
    }
}
