//! A list that grows, and that can be waited for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Items in the order in which they were added; none is ever removed.
#[derive(Debug)]
pub struct EventLog<T> {
    items: Mutex<Vec<T>>,
    grown: Condvar,
}

impl<T> Default for EventLog<T> {
    fn default() -> Self {
        EventLog { items: Mutex::default(), grown: Condvar::new() }
    }
}

impl<T: Clone> EventLog<T> {
    /// Adds an item and wakes all waiting threads.
    pub fn push(&self, item: T) {
        self.lock().push(item);
        self.grown.notify_all();
    }

    /// All items added until now.
    pub fn all(&self) -> Vec<T> {
        self.lock().clone()
    }

    /// Waits until `find` returns something for the items, `limit` at most. `find` must not use
    /// this log itself, which is locked meanwhile.
    pub fn wait<F>(&self, limit: Duration, mut find: impl FnMut(&[T]) -> Option<F>) -> Option<F> {
        let deadline = Instant::now() + limit;
        let mut items = self.lock();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match find(&items) {
                None if !left.is_zero() => {
                    let waited = self.grown.wait_timeout(items, left);
                    items = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                found => return found,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
