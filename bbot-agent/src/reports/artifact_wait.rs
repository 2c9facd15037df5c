//! How long a result waits for its artifacts (W33). Pure.

use std::time::Duration;

/// The longest wait, from when the result was stored.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// Returns for how much longer a result of this age waits for artifacts that their controller does
/// not accept; `None` if it is posted without them.
pub(super) fn remaining(age: Duration) -> Option<Duration> {
    LIMIT.checked_sub(age).filter(|remaining| !remaining.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W33: 60 minutes at most.
    #[test]
    fn a_result_waits_an_hour() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let table = [
            (Duration::ZERO, Some(minutes(60))),
            (minutes(1), Some(minutes(59))),
            (Duration::from_nanos(3_599_999_999_999), Some(Duration::from_nanos(1))),
            (minutes(60), None),
            (minutes(61), None),
            (Duration::MAX, None),
        ];
        for (age, expected) in table {
            assert_eq!(remaining(age), expected, "{age:?}");
        }
    }
}
