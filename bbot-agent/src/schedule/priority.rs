//! Priorities of controllers: `[F]DCBA`, one decimal digit a level.

use std::fmt;

/// The priority of a controller's URL: five decimal digits `FDCBA`, F being 0 or 1.
///
/// * A: preference: of two controllers with equal upper digits, the greater is sent a request
///   first.
/// * B: as A, and lesser ones are not sent a request while a task of a greater one runs.
/// * C: as B, and one task of a lesser C may be interrupted.
/// * D: as C, but every task of a lesser D is interrupted.
/// * F: the task gets all hardware threads of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Priority(u16);

impl Priority {
    /// The greatest priority.
    const MAX: u16 = 19_999;

    /// Returns the priority of this value; `None` if it is greater than 19999.
    pub(crate) fn new(value: u16) -> Option<Self> {
        (value <= Self::MAX).then_some(Self(value))
    }

    /// Returns the whole number.
    pub(crate) fn value(self) -> u16 {
        self.0
    }

    /// Returns the digits FD: a task of a lesser one is always interrupted.
    pub(crate) fn fd(self) -> u16 {
        self.0 / 1000
    }

    /// Returns the digits FDC: a task of a lesser one may be interrupted.
    pub(crate) fn fdc(self) -> u16 {
        self.0 / 100
    }

    /// Returns the digits FDCB: controllers of a lesser one are not sent a request meanwhile.
    pub(crate) fn fdcb(self) -> u16 {
        self.0 / 10
    }

    /// Returns whether the task gets all hardware threads (F).
    pub(crate) fn is_boosted(self) -> bool {
        self.0 >= 10_000
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_decimal_digits() {
        assert!(!Priority::new(9_999).unwrap().is_boosted());
        assert!(Priority::new(10_000).unwrap().is_boosted());
        assert_eq!(Priority::new(20_000), None);
        assert_eq!(Priority::new(7).unwrap().to_string(), "0007");
        let priority = Priority::new(12_345).unwrap();
        assert_eq!((priority.fd(), priority.fdc(), priority.fdcb()), (12, 123, 1_234));
        assert_eq!(priority.to_string(), "12345");
    }
}
