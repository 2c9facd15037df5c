//! Limits on the files that clients write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::store_error::StoreError;

/// Limits on the files that clients write. They count the files that this server has stored, and
/// the uploads in progress.
///
/// ```
/// let limits = bbot_tftp::WriteLimits::default().with_file_bytes(1 << 20);
/// assert_eq!(limits.total_bytes, u64::MAX);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct WriteLimits {
    /// The length of all files together, in bytes. By default unlimited.
    pub total_bytes: u64,
    /// The length of each file, in bytes. By default unlimited.
    pub file_bytes: u64,
    /// The number of files. By default 1048576.
    pub files: usize,
}

impl Default for WriteLimits {
    fn default() -> Self {
        Self { total_bytes: u64::MAX, file_bytes: u64::MAX, files: 1 << 20 }
    }
}

impl WriteLimits {
    /// Sets [`total_bytes`](Self::total_bytes).
    #[must_use]
    pub const fn with_total_bytes(self, total_bytes: u64) -> Self {
        Self { total_bytes, ..self }
    }

    /// Sets [`file_bytes`](Self::file_bytes).
    #[must_use]
    pub const fn with_file_bytes(self, file_bytes: u64) -> Self {
        Self { file_bytes, ..self }
    }

    /// Sets [`files`](Self::files).
    #[must_use]
    pub const fn with_files(self, files: usize) -> Self {
        Self { files, ..self }
    }
}

/// The account of the files that are stored under one set of limits.
#[derive(Debug)]
pub(crate) struct Quota {
    limits: WriteLimits,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    bytes: u64,
    uploads: usize,
    files: HashMap<String, u64>,
}

impl Quota {
    pub(crate) fn new(limits: WriteLimits) -> Arc<Self> {
        Arc::new(Self { limits, used: Mutex::default() })
    }

    /// Reserves space for one more file, of the declared size.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        name: &str,
        declared: Option<u64>,
    ) -> Result<Reservation, StoreError> {
        let mut used = self.lock();
        let declared = declared.unwrap_or(0);
        let left = self.limits.total_bytes.saturating_sub(used.bytes);
        let replaces = used.files.contains_key(name);
        let files = used.files.len() + used.uploads + usize::from(!replaces);
        if declared > self.limits.file_bytes || declared > left || files > self.limits.files {
            return Err(StoreError::Full);
        }
        used.uploads += usize::from(!replaces);
        let name = name.to_owned();
        Ok(Reservation { quota: Arc::clone(self), name, replaces, bytes: 0, kept: false })
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        // The counters are consistent at each step, also where another thread has panicked.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The space of one upload; it is released on drop, unless [`keep`](Self::keep) was called.
#[derive(Debug)]
pub(crate) struct Reservation {
    quota: Arc<Quota>,
    name: String,
    replaces: bool,
    bytes: u64,
    kept: bool,
}

impl Reservation {
    /// Reserves `length` more bytes.
    pub(crate) fn grow(&mut self, length: u64) -> Result<(), StoreError> {
        let limits = self.quota.limits;
        let mut used = self.quota.lock();
        let total = used.bytes.saturating_add(length);
        if self.bytes.saturating_add(length) > limits.file_bytes || total > limits.total_bytes {
            return Err(StoreError::Full);
        }
        used.bytes = total;
        self.bytes += length;
        Ok(())
    }

    /// Records that the upload has become a file, instead of an older one of the same name.
    pub(crate) fn keep(mut self) {
        let mut used = self.quota.lock();
        let replaced = used.files.insert(self.name.clone(), self.bytes);
        used.bytes -= replaced.unwrap_or(0);
        used.uploads -= usize::from(!self.replaces);
        drop(used);
        self.kept = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.kept {
            let mut used = self.quota.lock();
            used.bytes -= self.bytes;
            used.uploads -= usize::from(!self.replaces);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_files_and_replacement() {
        let quota = Quota::new(WriteLimits { total_bytes: 10, file_bytes: 6, files: 2 });
        assert!(quota.reserve("a", Some(7)).is_err());
        let mut a = quota.reserve("a", Some(6)).unwrap();
        a.grow(6).unwrap();
        assert!(a.grow(1).is_err());
        let mut b = quota.reserve("b", None).unwrap();
        assert!(b.grow(5).is_err());
        b.grow(4).unwrap();
        assert!(quota.reserve("c", None).is_err());
        a.keep();
        drop(b);
        let mut again = quota.reserve("a", Some(4)).unwrap();
        again.grow(4).unwrap();
        again.keep();
        let mut b = quota.reserve("b", None).unwrap();
        b.grow(6).unwrap();
        b.keep();
        assert!(quota.reserve("c", None).is_err());
        assert!(quota.reserve("b", None).is_ok());
    }
}
