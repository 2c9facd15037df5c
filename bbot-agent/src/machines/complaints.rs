//! What is wrong with the machines, said once for each change (W10, W11, W36). Pure.

use std::collections::BTreeSet;

/// What an operator should know of the machines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Concern {
    /// Somebody has to repair it.
    Error(String),
    /// It may be as it should.
    Warning(String),
}

/// What has been said, and still is so.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    said: BTreeSet<Concern>,
}

impl Complaints {
    /// Returns what is new in `now`, all that is wrong now.
    ///
    /// What is not wrong any more is forgotten: should it come back, it is said again.
    pub(crate) fn news(&mut self, now: BTreeSet<Concern>) -> Vec<Concern> {
        let news = now.difference(&self.said).cloned().collect();
        self.said = now;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W10, W11: once, and again only after a change.
    #[test]
    fn each_complaint_is_said_once() {
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
