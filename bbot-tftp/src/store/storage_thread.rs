//! The thread that makes uploads durable, so that a slow disk does not delay other transfers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use super::interface::Sink;
use super::store_error::StoreError;
use crate::protocol::TransferId;

/// Commits uploads, one after the other.
#[derive(Debug)]
pub(crate) struct StorageThread {
    queue: Option<Sender<(TransferId, Box<dyn Sink>)>>,
    abandon: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StorageThread {
    /// Starts the thread, which calls `done` with each result.
    pub(crate) fn start(
        name: String,
        done: impl Fn(TransferId, Result<(), StoreError>) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, uploads) = channel::<(TransferId, Box<dyn Sink>)>();
        let abandon = Arc::new(AtomicBool::new(false));
        let abandoned = Arc::clone(&abandon);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            for (id, sink) in uploads {
                let result = if abandoned.load(Ordering::Relaxed) {
                    drop(sink);
                    Err(StoreError::Stopped)
                } else {
                    sink.commit()
                };
                done(id, result);
            }
        })?;
        Ok(Self { queue: Some(queue), abandon, thread: Some(thread) })
    }

    pub(crate) fn commit(&self, id: TransferId, sink: Box<dyn Sink>) {
        let queue = self.queue.as_ref().expect("the queue is open until the thread is stopped");
        // The thread ends early only by a panic of a store; the transfer then times out.
        drop(queue.send((id, sink)));
    }

    /// Ends the thread after the commit in progress; the uploads after it are dropped.
    pub(crate) fn stop(&mut self) {
        self.abandon.store(true, Ordering::Relaxed);
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // The panic of a store was reported when it occurred.
            drop(thread.join());
        }
    }
}

impl Drop for StorageThread {
    fn drop(&mut self) {
        self.stop();
    }
}
