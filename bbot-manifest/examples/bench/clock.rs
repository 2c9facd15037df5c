//! The processor time of this thread.
//!
//! On a busy host, elapsed time depends on other processes.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment of this thread's processor time.
pub(crate) struct CpuInstant(Duration);

impl CpuInstant {
    pub(crate) fn now() -> Self {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Self(time.try_into().expect("processor time is not negative"))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}
