//! For how long a result has got the same answer that does not take it (W61).
//!
//! Such an answer may be that of a proxy in trouble or of a login page. Only one that stays the
//! same for an hour is taken for the controller's refusal. The time is measured by the monotonic
//! clock and added up in a file, `foreign-answers.json` in the state directory, so that a restart
//! does not begin it anew; the time between two processes does not count.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::fs::storage::{RealStorage, Storage};
use crate::outbox::EntryId;

/// How long an answer must stay the same to be a refusal.
const REFUSAL: Duration = Duration::from_secs(60 * 60);

/// The most that counts of the time between two answers: more than the longest pause of an entry
/// (W38), and so little that an hour has several answers, whatever has kept it from being posted.
const SPAN_MAX: Duration = Duration::from_secs(20 * 60);

/// The most bytes of the file that are read: an entry has some hundred.
const FILE_MAX: u64 = 16 << 20;

/// The name of the file.
const FILE: &str = "foreign-answers.json";

/// One answer, and for how long it has been the same. Pure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Streak {
    answer: String,
    #[serde(rename = "seconds")]
    lasted: u64,
    /// When it came last; unknown after a restart.
    #[serde(skip)]
    last: Option<Instant>,
}

impl Streak {
    fn new(answer: &str) -> Self {
        Self { answer: answer.to_owned(), lasted: 0, last: None }
    }

    /// Records an answer.
    fn record(&mut self, answer: &str, now: Instant) {
        if self.answer != answer {
            *self = Self::new(answer);
        }
        let span = self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let counted = Duration::from_secs(span.as_secs());
        self.lasted = self.lasted.saturating_add(counted.min(SPAN_MAX).as_secs());
        // The part of a second that is not counted now is counted with the next span.
        self.last = Some(now.checked_sub(span.saturating_sub(counted)).unwrap_or(now));
    }

    fn is_refusal(&self) -> bool {
        Duration::from_secs(self.lasted) >= REFUSAL
    }
}

/// The answers that did not take the entries of an outbox.
#[derive(Debug)]
pub(crate) struct ForeignAnswers {
    storage: Arc<dyn Storage>,
    file: PathBuf,
    /// By the id of the entry.
    streaks: Mutex<HashMap<String, Streak>>,
}

impl ForeignAnswers {
    /// Reads the file in a state directory; one that cannot be read counts as empty.
    pub(crate) fn open(state_dir: &Path) -> Self {
        Self::open_on(Arc::new(RealStorage), state_dir)
    }

    fn open_on(storage: Arc<dyn Storage>, state_dir: &Path) -> Self {
        let file = state_dir.join(FILE);
        let text = storage.read(&file, FILE_MAX).ok().flatten();
        let streaks = text.and_then(|text| serde_json::from_slice(&text).ok());
        Self { storage, file, streaks: Mutex::new(streaks.unwrap_or_default()) }
    }

    /// Records an answer to an entry, and returns whether it is a refusal for good.
    pub(super) fn record(&self, id: &EntryId, answer: &str, now: Instant) -> bool {
        let mut streaks = self.lock();
        let streak = streaks.entry(id.to_string()).or_insert_with(|| Streak::new(answer));
        streak.record(answer, now);
        let is_refusal = streak.is_refusal();
        self.write(&streaks);
        is_refusal
    }

    /// Forgets the answer to an entry: it got another one, or none, or has left the outbox.
    pub(super) fn forget(&self, id: &EntryId) {
        let mut streaks = self.lock();
        if streaks.remove(&id.to_string()).is_some() {
            self.write(&streaks);
        }
    }

    /// Forgets the answers to all entries but these: an operator has removed the others.
    pub(crate) fn retain(&self, entries: &[EntryId]) {
        let mut streaks = self.lock();
        let count = streaks.len();
        let is_entry = |id: &String| entries.iter().any(|entry| entry.to_string() == *id);
        if count > 0 {
            streaks.retain(|id, _| is_entry(id));
        }
        if streaks.len() < count {
            self.write(&streaks);
        }
    }

    fn write(&self, streaks: &HashMap<String, Streak>) {
        let text = serde_json::to_vec(streaks).unwrap_or_default();
        // Without the file the next process begins to count anew: a result is kept for longer.
        drop(self.storage.publish(&self.file, 0o600, &text));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Streak>> {
        // Each change is one step, so that a panic leaves a valid map.
        self.streaks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORBIDDEN: &str = "403 Forbidden";

    /// Records the answer at these minutes, and returns whether it is a refusal after each.
    fn at(streak: &mut Streak, start: Instant, minutes: &[u64]) -> Vec<bool> {
        let record = |minute: &u64| {
            streak.record(FORBIDDEN, start + Duration::from_secs(60 * minute));
            streak.is_refusal()
        };
        minutes.iter().map(record).collect()
    }

    /// W61: an hour of the same answer; another one in between begins it anew.
    #[test]
    fn the_same_answer_for_an_hour_is_a_refusal() {
        let start = Instant::now();
        let mut streak = Streak::new(FORBIDDEN);
        let no = [false; 5];
        assert_eq!(at(&mut streak, start, &[0, 15, 30, 45, 59]), no);
        assert_eq!(at(&mut streak, start, &[60]), [true]);
        streak.record("404 Not Found", start + Duration::from_secs(3601));
        assert_eq!(at(&mut streak, start, &[61, 76, 91, 106, 120]), no);
        assert_eq!(at(&mut streak, start, &[121]), [true]);
    }

    /// W61: seconds add up also if answers come more often, and a long gap counts for little.
    #[test]
    fn spans_add_up_to_the_hour() {
        let start = Instant::now();
        let mut streak = Streak::new(FORBIDDEN);
        let mut refused_at = None;
        for tenths in (0..).step_by(7) {
            let now = start + Duration::from_millis(100 * tenths);
            streak.record(FORBIDDEN, now);
            if streak.is_refusal() {
                refused_at = Some(now - start);
                break;
            }
        }
        let refused_at = refused_at.unwrap();
        assert!((3600..3602).contains(&refused_at.as_secs()), "{refused_at:?}");
        let mut streak = Streak::new(FORBIDDEN);
        assert_eq!(at(&mut streak, start, &[0, 100, 200, 300]), [false, false, false, true]);
    }

    /// W61: a restart does not begin the hour anew, the time between counts for nothing, and a file
    /// that is damaged costs time only.
    #[test]
    fn the_hour_goes_on_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let id = |name: &str| EntryId::from_file_name(name).unwrap();
        let one = id("00000000000000000001-1.manifest");
        let other = id("00000000000000000002-1.manifest");
        let start = Instant::now();
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let answers = ForeignAnswers::open(folder.path());
        for minutes in [0, 15, 30, 45] {
            assert!(!answers.record(&one, FORBIDDEN, at(minutes)));
            assert!(!answers.record(&other, FORBIDDEN, at(minutes)));
        }
        answers.forget(&other);
        let answers = ForeignAnswers::open(folder.path());
        assert!(!answers.record(&one, FORBIDDEN, at(500)));
        assert!(!answers.record(&one, FORBIDDEN, at(514)));
        assert!(!answers.record(&other, FORBIDDEN, at(514)));
        assert!(!answers.record(&other, FORBIDDEN, at(529)));
        assert!(answers.record(&one, FORBIDDEN, at(515)));
        answers.retain(std::slice::from_ref(&other));
        assert!(!answers.record(&one, FORBIDDEN, at(516)));
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(!ForeignAnswers::open(folder.path()).record(&other, FORBIDDEN, at(600)));
    }
}
