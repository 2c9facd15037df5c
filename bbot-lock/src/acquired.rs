use crate::Holder;

/// The outcome of an attempt to take a lock without waiting.
///
/// There are two outcomes and will be no others, so that a `match` may name both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "the lock is freed when this is dropped"]
pub enum Acquired<L> {
    /// The lock is held now, by this value.
    Lock(L),
    /// Another open file has the lock; for a machine lock, this is the holder that its lock file
    /// names.
    ///
    /// `None`: the content of the file names no holder. The files of host locks and instance locks
    /// never do.
    Busy(Option<Holder>),
}

impl<L> Acquired<L> {
    /// Returns the lock, or `None` if it is busy.
    pub fn into_lock(self) -> Option<L> {
        match self {
            Self::Lock(lock) => Some(lock),
            Self::Busy(_) => None,
        }
    }

    /// Converts the lock.
    pub(crate) fn map<T>(self, convert: impl FnOnce(L) -> T) -> Acquired<T> {
        match self {
            Self::Lock(lock) => Acquired::Lock(convert(lock)),
            Self::Busy(holder) => Acquired::Busy(holder),
        }
    }
}
