//! When the entries of the outbox are posted (W4, W38). Pure.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::schedule::backoff;

/// The pause after the first failure.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause, whatever the controller wishes for.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// How long an outbox is left alone that cannot be read.
const UNREADABLE: Duration = Duration::from_secs(60);

/// The part of a pause by which it is drawn out at most.
const JITTER: f64 = 0.1;

/// Why an entry stays in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Its controller did not take it, and may wish for a pause (`Retry-After`).
    NotTaken { retry_after: Option<Duration> },
    /// One of its artifacts was not taken; after `patience` it goes without them (W33).
    ArtifactNotTaken { retry_after: Option<Duration>, patience: Duration },
    /// Its challenge could not be signed (W37).
    Unsigned,
}

/// How long to wait after this failure, the `count`th in a row.
///
/// W38: a controller is left alone for 1 s at first, doubled up to 15 minutes, and for as long as
/// it wishes within these. `jitter` in [0, 1) then draws the pause out by up to a tenth, so that
/// many agents do not come back at once, and none before it may. W33: no pause keeps a result from
/// going without its artifacts when it is to. W37: a key that does not sign
/// rests as everything else that is broken on the host.
fn pause(failure: Failure, count: u32, jitter: f64) -> Duration {
    match failure {
        Failure::NotTaken { retry_after } => {
            let doubled = FIRST.saturating_mul(1 << count.saturating_sub(1).min(16));
            let wished = doubled.max(retry_after.unwrap_or_default());
            wished.min(LONGEST).mul_f64(1.0 + JITTER * jitter)
        }
        Failure::ArtifactNotTaken { retry_after, patience } => {
            pause(Failure::NotTaken { retry_after }, count, jitter).min(patience)
        }
        Failure::Unsigned => backoff::length(count, jitter),
    }
}

/// What is known of the entries: who is being posted, and who waits for how long.
///
/// Kept in memory only: a restart is a fair reason to try again.
#[derive(Debug)]
pub(crate) struct Schedule<K> {
    entries: HashMap<K, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// `None` while it is being posted.
    due: Option<Instant>,
    failures: u32,
    unsigned: bool,
}

impl<K: Clone + Eq + Hash> Schedule<K> {
    pub(crate) fn new() -> Self {
        Self { entries: HashMap::new() }
    }

    /// Returns those of `waiting`, all that there are, that are to be posted now, and notes that
    /// they are. An entry that is not known is due at once; one that is not there any more, since
    /// somebody has removed it, is forgotten.
    pub(crate) fn hand_out(&mut self, waiting: Vec<K>, now: Instant) -> Vec<K> {
        let there: HashSet<&K> = waiting.iter().collect();
        self.entries.retain(|key, entry| entry.due.is_none() || there.contains(key));
        let mut due = waiting;
        due.retain(|key| {
            let new = Entry { due: Some(now), failures: 0, unsigned: false };
            let entry = self.entries.entry(key.clone()).or_insert(new);
            let is_due = entry.due.is_some_and(|due| due <= now);
            if is_due {
                entry.due = None;
            }
            is_due
        });
        due
    }

    /// Notes that nobody can tell now which entries there are.
    pub(crate) fn put_off(&mut self, now: Instant) {
        for due in self.entries.values_mut().filter_map(|entry| entry.due.as_mut()) {
            *due = (*due).max(now + UNREADABLE);
        }
    }

    /// Notes that an entry could not be handed over, and returns for how long it waits.
    pub(crate) fn failed(
        &mut self,
        key: &K,
        failure: Failure,
        now: Instant,
        jitter: f64,
    ) -> Duration {
        let unknown = Entry { due: None, failures: 0, unsigned: false };
        let entry = self.entries.entry(key.clone()).or_insert(unknown);
        entry.failures = entry.failures.saturating_add(1);
        entry.unsigned = failure == Failure::Unsigned;
        let pause = pause(failure, entry.failures, jitter);
        entry.due = Some(now + pause);
        pause
    }

    /// Forgets an entry: it is not in the outbox any more.
    pub(crate) fn done(&mut self, key: &K) {
        self.entries.remove(key);
    }

    /// Returns when the next entry that waits becomes due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.entries.values().filter_map(|entry| entry.due).min()
    }

    /// Returns whether any entry is being posted.
    pub(crate) fn is_posting(&self) -> bool {
        self.entries.values().any(|entry| entry.due.is_none())
    }

    /// Returns whether the last attempt to sign failed (W37).
    pub(crate) fn cannot_sign(&self) -> bool {
        self.entries.values().any(|entry| entry.unsigned)
    }

    /// Notes that a challenge was signed: what waited for that need not wait any longer.
    pub(crate) fn signed(&mut self, now: Instant) {
        for entry in self.entries.values_mut().filter(|entry| entry.unsigned) {
            entry.unsigned = false;
            entry.due = entry.due.map(|due| due.min(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOT_TAKEN: Failure = Failure::NotTaken { retry_after: None };

    fn asks_for(seconds: u64) -> Failure {
        Failure::NotTaken { retry_after: Some(Duration::from_secs(seconds)) }
    }

    /// W38: 1 s to 15 min, doubled in between; `Retry-After` within these.
    #[test]
    fn pauses_are_doubled_and_capped() {
        let table = [
            (NOT_TAKEN, 1, 1),
            (NOT_TAKEN, 2, 2),
            (NOT_TAKEN, 3, 4),
            (NOT_TAKEN, 10, 512),
            (NOT_TAKEN, 11, 900),
            (NOT_TAKEN, 12, 900),
            (NOT_TAKEN, u32::MAX, 900),
            (asks_for(0), 1, 1),
            (asks_for(30), 1, 30),
            (asks_for(30), 6, 32),
            (asks_for(900), 1, 900),
            (asks_for(86_400), 1, 900),
            (asks_for(u64::MAX), u32::MAX, 900),
        ];
        for (failure, count, seconds) in table {
            let expected = Duration::from_secs(seconds);
            assert_eq!(pause(failure, count, 0.0), expected, "{failure:?} {count}");
        }
    }

    /// W38: the jitter comes after the cap, and never before a pause that was asked for is over.
    #[test]
    fn jitter_draws_a_pause_out() {
        let drawn_out = |failure, count| pause(failure, count, 1.0).as_millis();
        assert_eq!(drawn_out(NOT_TAKEN, 1), 1_100);
        assert_eq!(drawn_out(NOT_TAKEN, 40), 990_000);
        assert_eq!(drawn_out(asks_for(100), 1), 110_000);
    }

    /// W33: the same pauses, up to the moment when the result goes without its artifacts.
    #[test]
    fn a_pause_ends_with_the_patience() {
        let length = |count, retry_after, patience| {
            let patience = Duration::from_secs(patience);
            let retry_after = Some(Duration::from_secs(retry_after));
            pause(Failure::ArtifactNotTaken { retry_after, patience }, count, 0.0).as_secs()
        };
        assert_eq!(length(3, 0, 3600), 4);
        assert_eq!(length(3, 600, 3600), 600);
        assert_eq!(length(12, 0, 899), 899);
        assert_eq!(length(1, 600, 30), 30);
    }

    /// W37: an entry that cannot be signed rests.
    #[test]
    fn what_cannot_be_signed_rests() {
        let seconds = |count| pause(Failure::Unsigned, count, 0.5).as_secs();
        assert_eq!([1, 2, 3, 7, 8].map(seconds), [60, 120, 240, 3600, 3600]);
    }

    /// W4: what is due goes out once; what failed when its pause is over.
    #[test]
    fn hands_out_what_is_due_once() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut schedule = Schedule::new();
        assert_eq!(schedule.next_due(), None);
        assert_eq!(schedule.hand_out(vec!["a", "b"], start), ["a", "b"]);
        assert!(schedule.is_posting());
        assert_eq!(schedule.next_due(), None, "both are on their way");
        assert_eq!(schedule.hand_out(vec!["a", "b", "c"], start), ["c"]);
        schedule.done(&"b");
        schedule.done(&"c");
        assert_eq!(schedule.failed(&"a", NOT_TAKEN, start, 0.0), Duration::from_secs(1));
        assert!(!schedule.is_posting());
        assert_eq!(schedule.next_due(), Some(at(1000)));
        assert_eq!(schedule.hand_out(vec!["a"], at(999)), [""; 0]);
        assert_eq!(schedule.hand_out(vec!["a"], at(1000)), ["a"]);
        assert_eq!(schedule.failed(&"a", NOT_TAKEN, at(1000), 0.0), Duration::from_secs(2));
        schedule.done(&"a");
        assert_eq!(schedule.next_due(), None);
    }

    /// Whoever waits for what is due does not wait for what is gone, nor for what cannot be read.
    #[test]
    fn nothing_stays_due_that_cannot_be_posted() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut schedule = Schedule::new();
        schedule.hand_out(vec!["a", "b"], start);
        schedule.failed(&"a", NOT_TAKEN, start, 0.0);
        schedule.failed(&"b", NOT_TAKEN, start, 0.0);
        schedule.put_off(later);
        assert_eq!(schedule.next_due(), Some(later + UNREADABLE));
        schedule.hand_out(Vec::new(), later);
        assert_eq!(schedule.next_due(), None);
    }

    /// W37: one signature that was made, for whatever entry, shows that signing works.
    #[test]
    fn one_signature_shows_that_signing_works() {
        let start = Instant::now();
        let mut schedule = Schedule::new();
        schedule.hand_out(vec!["a", "b"], start);
        schedule.failed(&"a", Failure::Unsigned, start, 0.5);
        assert!(schedule.cannot_sign());
        schedule.signed(start);
        assert!(!schedule.cannot_sign());
        assert_eq!(schedule.next_due(), Some(start), "what waited for it is due");
        // The one that cannot be signed leaves the outbox: nothing is known of the key then.
        schedule.failed(&"b", Failure::Unsigned, start, 0.5);
        schedule.done(&"b");
        assert!(!schedule.cannot_sign());
    }

    /// One thing that happens to a schedule, for the property test.
    #[derive(Debug, Clone)]
    enum Step {
        HandOut,
        Fail(u8, Option<u64>),
        Unsigned(u8),
        Done(u8),
        Signed,
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => Just(Step::HandOut),
            3 => (0..4u8, proptest::option::of(0..4000u64)).prop_map(|(k, s)| Step::Fail(k, s)),
            1 => (0..4u8).prop_map(Step::Unsigned),
            1 => (0..4u8).prop_map(Step::Done),
            1 => Just(Step::Signed),
            3 => (0..2000u64).prop_map(Step::Pass),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        /// W4, W38, whatever happens: nothing is posted twice at a time; nothing that failed is
        /// posted before a second has passed, and everything within the longest pause; whoever
        /// waits until `next_due` finds something due then, and nothing before.
        #[test]
        fn nothing_goes_out_twice_or_early(steps in steps()) {
            let mut now = Instant::now();
            let mut schedule = Schedule::new();
            let mut waiting: Vec<u8> = vec![0, 1, 2, 3];
            let mut posting = Vec::new();
            let mut failed_at = HashMap::new();
            for step in steps {
                match step {
                    Step::Pass(seconds) => now += Duration::from_secs(seconds),
                    Step::Signed => {
                        schedule.signed(now);
                        failed_at.clear();
                    }
                    Step::HandOut => {
                        let early = schedule.next_due().is_some_and(|due| due > now);
                        let out = schedule.hand_out(waiting.clone(), now);
                        for key in &out {
                            prop_assert!(!posting.contains(key));
                            if let Some(at) = failed_at.get(key) {
                                prop_assert!(now - *at >= FIRST);
                                prop_assert!(!early);
                            }
                        }
                        for key in waiting.iter().filter(|key| !out.contains(key)) {
                            let is_late = failed_at.get(key).is_some_and(|at| {
                                now - *at >= Duration::from_secs(3960)
                            });
                            prop_assert!(posting.contains(key) || !is_late);
                        }
                        posting.extend(out);
                    }
                    Step::Fail(key, _) | Step::Unsigned(key) if posting.contains(&key) => {
                        let failure = match step {
                            Step::Fail(_, Some(seconds)) => asks_for(seconds),
                            Step::Fail(_, None) => NOT_TAKEN,
                            _ => Failure::Unsigned,
                        };
                        schedule.failed(&key, failure, now, 0.5);
                        posting.retain(|posted| *posted != key);
                        failed_at.insert(key, now);
                    }
                    Step::Done(key) if posting.contains(&key) => {
                        schedule.done(&key);
                        waiting.retain(|other| *other != key);
                        posting.retain(|posted| *posted != key);
                    }
                    Step::Fail(..) | Step::Unsigned(_) | Step::Done(_) => {}
                }
                prop_assert_eq!(schedule.is_posting(), !posting.is_empty());
            }
        }
    }
}
