//! The monotonic clock, as the agent prints it in its `phase:` lines.

use nix::time::{ClockId, clock_gettime};

/// A point on `CLOCK_MONOTONIC`, in nanoseconds; the same clock for every process of the host.
pub type Nanos = u64;

/// The present time of `CLOCK_MONOTONIC`.
///
/// # Panics
/// On a host without that clock.
pub fn now() -> Nanos {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the monotonic clock exists");
    let part = |value: i64| u64::try_from(value).expect("the monotonic clock is not negative");
    part(time.tv_sec()) * 1_000_000_000 + part(time.tv_nsec())
}

/// The milliseconds from `from` to `to`; negative if `to` is earlier.
pub fn millis_between(from: Nanos, to: Nanos) -> f64 {
    let forward = to.saturating_sub(from);
    let back = from.saturating_sub(to);
    std::time::Duration::from_nanos(forward).as_secs_f64() * 1e3
        - std::time::Duration::from_nanos(back).as_secs_f64() * 1e3
}
