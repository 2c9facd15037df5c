//! When the entries of the outbox are posted (W4, W38). Pure.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::schedule::backoff;

/// The pause after the first failure.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause, whatever `Retry-After` requests.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The pause before an outbox that cannot be read is read again.
const UNREADABLE: Duration = Duration::from_secs(60);

/// The largest part of a pause by which jitter extends it.
const JITTER: f64 = 0.1;

/// Why an entry stays in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Its controller did not accept it, and may have requested a pause (`Retry-After`).
    NotAccepted { retry_after: Option<Duration> },
    /// One of its artifacts was not accepted; after `remaining` it is posted without them (W33).
    ArtifactNotAccepted { retry_after: Option<Duration>, remaining: Duration },
    /// Its challenge could not be signed (W37).
    Unsigned,
}

/// Returns the pause after this failure, the `count`th in a row.
///
/// W38: 1 s after the first failure, doubled up to 15 minutes, and at least what the controller
/// requested within these limits. `jitter` in [0, 1) then extends the pause by up to 10 %, so that
/// many agents do not come back at once, and none earlier than requested. W33: no pause is longer
/// than the result's remaining wait for its artifacts. W37: after a failure to sign, the backoff of
/// everything else that fails on the host applies.
fn pause(failure: Failure, count: u32, jitter: f64) -> Duration {
    match failure {
        Failure::NotAccepted { retry_after } => {
            let doubled = FIRST.saturating_mul(1 << count.saturating_sub(1).min(16));
            let pause = doubled.max(retry_after.unwrap_or_default());
            pause.min(LONGEST).mul_f64(1.0 + JITTER * jitter)
        }
        Failure::ArtifactNotAccepted { retry_after, remaining } => {
            pause(Failure::NotAccepted { retry_after }, count, jitter).min(remaining)
        }
        Failure::Unsigned => backoff::delay(count, jitter),
    }
}

/// The state of each entry: being posted, or due at a time.
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

    /// Returns the entries that are to be posted now, and records that they are being posted.
    /// `waiting` are all entries of the outbox. A new entry is due at once; one that is not there
    /// any more, since an operator has removed it, is forgotten.
    pub(crate) fn hand_out(&mut self, waiting: Vec<K>, now: Instant) -> Vec<K> {
        let present: HashSet<&K> = waiting.iter().collect();
        self.entries.retain(|key, entry| entry.due.is_none() || present.contains(key));
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

    /// Records that the outbox could not be read: nothing is due before a pause is over.
    pub(crate) fn put_off(&mut self, now: Instant) {
        for due in self.entries.values_mut().filter_map(|entry| entry.due.as_mut()) {
            *due = (*due).max(now + UNREADABLE);
        }
    }

    /// Records that an attempt to deliver an entry failed, and returns the pause before the next.
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

    /// Records that a challenge was signed: entries that waited for that are due now.
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

    const NOT_ACCEPTED: Failure = Failure::NotAccepted { retry_after: None };

    fn retry_after(seconds: u64) -> Failure {
        Failure::NotAccepted { retry_after: Some(Duration::from_secs(seconds)) }
    }

    /// W38: 1 s to 15 min, doubled in between; `Retry-After` within these.
    #[test]
    fn pauses_are_doubled_and_capped() {
        let table = [
            (NOT_ACCEPTED, 1, 1),
            (NOT_ACCEPTED, 2, 2),
            (NOT_ACCEPTED, 3, 4),
            (NOT_ACCEPTED, 10, 512),
            (NOT_ACCEPTED, 11, 900),
            (NOT_ACCEPTED, 12, 900),
            (NOT_ACCEPTED, u32::MAX, 900),
            (retry_after(0), 1, 1),
            (retry_after(30), 1, 30),
            (retry_after(30), 6, 32),
            (retry_after(900), 1, 900),
            (retry_after(86_400), 1, 900),
            (retry_after(u64::MAX), u32::MAX, 900),
        ];
        for (failure, count, seconds) in table {
            let expected = Duration::from_secs(seconds);
            assert_eq!(pause(failure, count, 0.0), expected, "{failure:?} {count}");
        }
    }

    /// W38: the jitter comes after the cap, and never before a pause that was requested is over.
    #[test]
    fn jitter_extends_a_pause() {
        let extended = |failure, count| pause(failure, count, 1.0).as_millis();
        assert_eq!(extended(NOT_ACCEPTED, 1), 1_100);
        assert_eq!(extended(NOT_ACCEPTED, 40), 990_000);
        assert_eq!(extended(retry_after(100), 1), 110_000);
    }

    /// W33: the same pauses, up to the time when the result is posted without its artifacts.
    #[test]
    fn a_pause_ends_with_the_wait_for_artifacts() {
        let length = |count, retry_after, remaining| {
            let remaining = Duration::from_secs(remaining);
            let retry_after = Some(Duration::from_secs(retry_after));
            pause(Failure::ArtifactNotAccepted { retry_after, remaining }, count, 0.0).as_secs()
        };
        assert_eq!(length(3, 0, 3600), 4);
        assert_eq!(length(3, 600, 3600), 600);
        assert_eq!(length(12, 0, 899), 899);
        assert_eq!(length(1, 600, 30), 30);
    }

    /// W37: the pauses after a failure to sign are those of the backoff.
    #[test]
    fn a_failure_to_sign_backs_off() {
        let seconds = |count| pause(Failure::Unsigned, count, 0.5).as_secs();
        assert_eq!([1, 2, 3, 7, 8].map(seconds), [60, 120, 240, 3600, 3600]);
    }

    /// W4: an entry that is due is handed out once; one that failed, when its pause is over.
    #[test]
    fn hands_out_what_is_due_once() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut schedule = Schedule::new();
        assert_eq!(schedule.next_due(), None);
        assert_eq!(schedule.hand_out(vec!["a", "b"], start), ["a", "b"]);
        assert!(schedule.is_posting());
        assert_eq!(schedule.next_due(), None, "both are being posted");
        assert_eq!(schedule.hand_out(vec!["a", "b", "c"], start), ["c"]);
        schedule.done(&"b");
        schedule.done(&"c");
        assert_eq!(schedule.failed(&"a", NOT_ACCEPTED, start, 0.0), Duration::from_secs(1));
        assert!(!schedule.is_posting());
        assert_eq!(schedule.next_due(), Some(at(1000)));
        assert_eq!(schedule.hand_out(vec!["a"], at(999)), [""; 0]);
        assert_eq!(schedule.hand_out(vec!["a"], at(1000)), ["a"]);
        assert_eq!(schedule.failed(&"a", NOT_ACCEPTED, at(1000), 0.0), Duration::from_secs(2));
        schedule.done(&"a");
        assert_eq!(schedule.next_due(), None);
    }

    /// `next_due` is never the time of an entry that is gone or cannot be read.
    #[test]
    fn nothing_stays_due_that_cannot_be_posted() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut schedule = Schedule::new();
        schedule.hand_out(vec!["a", "b"], start);
        schedule.failed(&"a", NOT_ACCEPTED, start, 0.0);
        schedule.failed(&"b", NOT_ACCEPTED, start, 0.0);
        schedule.put_off(later);
        assert_eq!(schedule.next_due(), Some(later + UNREADABLE));
        schedule.hand_out(Vec::new(), later);
        assert_eq!(schedule.next_due(), None);
    }

    /// W37: a signature made for any entry shows that signing works.
    #[test]
    fn one_signature_shows_that_signing_works() {
        let start = Instant::now();
        let mut schedule = Schedule::new();
        schedule.hand_out(vec!["a", "b"], start);
        schedule.failed(&"a", Failure::Unsigned, start, 0.5);
        assert!(schedule.cannot_sign());
        schedule.signed(start);
        assert!(!schedule.cannot_sign());
        assert_eq!(schedule.next_due(), Some(start), "entries that waited for it are due");
        // The one that cannot be signed leaves the outbox: nothing is known of the key then.
        schedule.failed(&"b", Failure::Unsigned, start, 0.5);
        schedule.done(&"b");
        assert!(!schedule.cannot_sign());
    }

    /// An event of a schedule, for the property test.
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
        /// W4, W38, for any sequence of events: no entry is posted twice at a time; none that
        /// failed is posted before a second has passed, and each within the longest pause; at
        /// `next_due` an entry is due, and none before.
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
                            Step::Fail(_, Some(seconds)) => retry_after(seconds),
                            Step::Fail(_, None) => NOT_ACCEPTED,
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
