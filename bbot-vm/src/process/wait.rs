//! Waits for a file descriptor.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

/// More than any caller waits: what `struct timespec` cannot hold is cut to this.
const LIMIT_MAX: Duration = Duration::from_secs(u32::MAX as u64);

/// Waits until `fd` can be read, as a pidfd can when its process has ended. Returns whether it
/// can be within `limit`.
pub(crate) fn wait_readable(fd: BorrowedFd<'_>, limit: Duration) -> bool {
    let deadline = Instant::now() + limit.min(LIMIT_MAX);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut polled = [PollFd::new(fd, PollFlags::POLLIN)];
        match ppoll(&mut polled, Some(TimeSpec::from_duration(left)), None) {
            Err(Errno::EINTR) => {}
            Ok(0) | Err(_) => return false,
            Ok(_) => return true,
        }
    }
}
