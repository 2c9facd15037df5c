//! The processor time of this thread.
//!
//! On a busy host, elapsed time depends on other processes.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A moment of this thread's processor time.
pub(crate) struct CpuInstant(Duration);

impl CpuInstant {
    pub(crate) fn now() -> Self {
        let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
        Self(time.expect("every thread has such a clock").into())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}
