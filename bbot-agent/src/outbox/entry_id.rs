//! Names of entries: unique, and in order of age.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The suffix of an entry's file.
pub(super) const SUFFIX: &str = ".manifest";

/// The name of an entry: `<nanoseconds since 1970>-<pid>`, with leading zeros.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId(String);

impl EntryId {
    pub(crate) fn from_file_name(name: &str) -> Option<Self> {
        let id = name.strip_suffix(SUFFIX)?;
        let (time, pid) = id.split_once('-')?;
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (time.len() == 20 && is_number(time) && is_number(pid)).then(|| Self(id.to_owned()))
    }

    pub(super) fn file_name(&self) -> String {
        format!("{}{SUFFIX}", self.0)
    }

    /// Returns how long ago the entry was stored.
    pub(crate) fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(self.stored())
    }

    /// Returns when the entry was stored, since the epoch.
    pub(super) fn stored(&self) -> Duration {
        let time = self.0.get(..20).and_then(|time| time.parse().ok());
        Duration::from_nanos(time.unwrap_or(u64::MAX))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Generates ids that are unique and in order even if the clock is set back.
#[derive(Debug, Default)]
pub(super) struct EntryIds {
    /// The time of the newest id.
    newest: AtomicU64,
}

impl EntryIds {
    pub(super) fn next(&self) -> EntryId {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let next = |newest: u64| now.max(newest.saturating_add(1));
        let update = |newest| Some(next(newest));
        let previous = self.newest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        let time = next(previous.unwrap_or_default());
        EntryId(format!("{time:020}-{}", std::process::id()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_in_order() {
        // The clock is behind the newest id, as after it was set back.
        let ids = EntryIds { newest: AtomicU64::new(u64::MAX / 2) };
        let ids: Vec<_> = (0..100).map(|_| ids.next()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| EntryId::from_file_name(&id.file_name()).as_ref() == Some(id)));
    }

    /// W38: the age of an entry follows from its name, so that a restart does not make it younger.
    #[test]
    fn the_age_follows_from_the_name() {
        let ancient = EntryId::from_file_name("00000000001000000000-1.manifest").unwrap();
        assert_eq!(ancient.age(UNIX_EPOCH + Duration::from_secs(3)), Duration::from_secs(2));
        let before = SystemTime::now();
        let id = EntryIds::default().next();
        assert!(id.age(before).is_zero());
        let age = id.age(SystemTime::now() + Duration::from_secs(100));
        assert!((100..200).contains(&age.as_secs()), "{age:?}");
    }
}
