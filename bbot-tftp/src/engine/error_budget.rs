//! How many ERRORs are sent to addresses that have no transfer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The time that the errors are counted for.
const PERIOD: Duration = Duration::from_secs(1);
/// The maximum number of addresses that are answered in one period, and of errors for all of them,
/// as a multiple of the number for one: forged addresses take neither memory nor time without end.
const MAX_ADDRESSES: usize = 16 << 10;
const ADDRESSES_AT_THE_LIMIT: u32 = 16;

/// Permits a limited number of ERRORs per second to each address (T32): a client that asks for many
/// files has all its answers, whatever other addresses do.
#[derive(Debug)]
pub(super) struct ErrorBudget {
    per_second: u32,
    since: Instant,
    taken: HashMap<IpAddr, u32>,
    /// The number of all errors in this period.
    total: u32,
}

impl ErrorBudget {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, since: now, taken: HashMap::new(), total: 0 }
    }

    /// Returns whether `peer` may be sent an ERROR at the time `now`, and counts it.
    pub(super) fn take(&mut self, peer: IpAddr, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= PERIOD {
            self.since = now;
            self.taken.clear();
            self.total = 0;
        }
        let is_known = self.taken.contains_key(&peer);
        if self.total >= self.per_second.saturating_mul(ADDRESSES_AT_THE_LIMIT)
            || (!is_known && self.taken.len() >= MAX_ADDRESSES)
        {
            return false;
        }
        let taken = self.taken.entry(peer).or_default();
        if *taken >= self.per_second {
            return false;
        }
        *taken += 1;
        self.total += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    /// T32: each address has its own number; all of them together have a bound too.
    #[test]
    fn errors_of_each_address_and_of_all() {
        let start = Instant::now();
        let mut budget = ErrorBudget::new(3, start);
        let mut take = |peer: u32, count: u32, now| {
            (0..count).filter(|_| budget.take(address(peer), now)).count()
        };
        assert_eq!(take(1, 1000, start), 3);
        assert_eq!(take(2, 2, start), 2);
        assert_eq!(take(2, 2, start), 1);
        assert_eq!((3..1000).map(|peer| take(peer, 1, start)).sum::<usize>(), 3 * 16 - 6);
        let later = start + PERIOD;
        assert_eq!(take(1, 1000, later), 3);
        let mut budget = ErrorBudget::new(u32::MAX, start);
        let answered = (0..100_000).filter(|peer| budget.take(address(*peer), start)).count();
        assert_eq!((answered, budget.taken.len()), (MAX_ADDRESSES, MAX_ADDRESSES));
    }
}
