//! How a guest's process ended, shared between its thread and its owner.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::exit::GuestExit;

/// How a guest's process ended, as soon as it has.
#[derive(Debug, Clone, Default)]
pub(super) struct ExitStatus(Arc<(Mutex<Option<GuestExit>>, Condvar)>);

impl ExitStatus {
    /// Waits for the end. Returns nothing if it does not come within `limit`.
    pub(super) fn wait(&self, limit: Duration) -> Option<GuestExit> {
        let (exit, ended) = &*self.0;
        let exit = exit.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = ended.wait_timeout_while(exit, limit, |exit| exit.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    pub(super) fn set(&self, value: GuestExit) {
        let (exit, ended) = &*self.0;
        *exit.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        ended.notify_all();
    }
}
