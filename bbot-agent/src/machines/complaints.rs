//! Problems with the machines, each reported once when it appears (W10, W11, W36). Pure.

use std::collections::BTreeSet;

/// A problem that the operator should know of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Concern {
    /// It needs a repair.
    Error(String),
    /// It may be intended.
    Warning(String),
}

/// The problems that have been reported and persist.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    reported: BTreeSet<Concern>,
}

impl Complaints {
    /// Returns the problems that are new; `now` are all present problems.
    ///
    /// A problem that is gone is forgotten: if it returns, it is new again.
    pub(crate) fn news(&mut self, now: BTreeSet<Concern>) -> Vec<Concern> {
        let news = now.difference(&self.reported).cloned().collect();
        self.reported = now;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W10, W11: once, and again only after a change.
    #[test]
    fn each_problem_is_reported_once() {
        let mut complaints = Complaints::default();
        let concern = |text: &&str| Concern::Warning((*text).to_owned());
        let mut check = |now: &[&str], expected: &[&str]| {
            let news = complaints.news(now.iter().map(concern).collect());
            let expected: Vec<_> = expected.iter().map(concern).collect();
            assert_eq!(news, expected);
        };
        check(&["b", "a"], &["a", "b"]);
        check(&["a", "b"], &[]);
        check(&["b", "c"], &["c"]);
        check(&[], &[]);
        check(&["b"], &["b"]);
    }
}
