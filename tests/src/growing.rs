//! A list that grows, and that can be waited for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Items in the order in which they came; they stay.
#[derive(Debug)]
pub struct Growing<T> {
    items: Mutex<Vec<T>>,
    grown: Condvar,
}

impl<T> Default for Growing<T> {
    fn default() -> Self {
        Growing { items: Mutex::default(), grown: Condvar::new() }
    }
}

impl<T: Clone> Growing<T> {
    /// Adds an item and wakes who waits.
    pub fn add(&self, item: T) {
        self.lock().push(item);
        self.grown.notify_all();
    }

    /// All items until now.
    pub fn all(&self) -> Vec<T> {
        self.lock().clone()
    }

    /// Waits until `find` finds something, `limit` at most.
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
