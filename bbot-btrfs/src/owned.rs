use std::fmt;
use std::path::{Path, PathBuf};

use crate::{As, Error, delete, publish, snapshot};

/// Receives the error of a deletion that [`Snapshot`]'s drop attempted in vain.
type OnLeftover = Box<dyn FnOnce(Error) + Send + Sync>;

/// A snapshot that this value owns: it is deleted when the value is dropped, unless it has been
/// [published](Self::publish).
///
/// A drop cannot return an error, and this crate does not log. So [`take`](Self::take) asks for a
/// function that receives the error if the drop could not delete the snapshot. It is called at most
/// once, by the thread that drops the value, and then the snapshot is still on disk. It must not
/// panic: the drop may be part of another panic. [`delete`](Self::delete) and
/// [`publish`](Self::publish) return their errors instead.
///
/// A process that is killed leaves its snapshots on disk.
///
/// ```
/// # mod volume { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/volume/mod.rs")); }
/// # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> { volume::with(|volume| {
/// # let machine = volume.root().join("linux-public");
/// # let working = volume.root().join("linux-public-1-4242-0");
/// # bbot_btrfs::create(&machine)?;
/// use bbot_btrfs::{As, Snapshot};
///
/// let (errors, undeleted) = std::sync::mpsc::channel();
/// let snapshot = Snapshot::take(&machine, As(&working), move |error| {
///     // If the receiver is gone, so is all interest in the error.
///     let _ = errors.send(error);
/// })?;
/// std::fs::write(snapshot.path().join("disk.img"), "changed by a guest")?;
/// drop(snapshot);
/// assert!(!working.try_exists()?);
/// assert!(undeleted.recv().is_err(), "no error was sent");
/// # Ok(()) }) }
/// ```
#[must_use = "the snapshot is deleted when this is dropped"]
pub struct Snapshot {
    path: PathBuf,
    /// `None`: the drop has nothing to delete.
    on_leftover: Option<OnLeftover>,
}

impl Snapshot {
    /// Takes a writable snapshot of the subvolume `source`, which may be read-only.
    ///
    /// `on_leftover` receives the error if the drop of the returned value cannot delete the
    /// snapshot.
    ///
    /// # Errors
    ///
    /// As [`snapshot`].
    pub fn take(
        source: &Path,
        target: As<'_>,
        on_leftover: impl FnOnce(Error) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        snapshot(source, target)?;
        Ok(Self { path: target.0.to_owned(), on_leftover: Some(Box::new(on_leftover)) })
    }

    /// Returns the path of the snapshot.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes the snapshot.
    ///
    /// # Errors
    ///
    /// As [`delete`]. The snapshot then stays on disk; no second attempt is made.
    pub fn delete(mut self) -> Result<(), Error> {
        self.on_leftover = None;
        delete(&self.path)
    }

    /// Gives the snapshot the name `name`, as [`publish`] does, and deletes the subvolume that had
    /// that name before, if there was one.
    ///
    /// Until it is deleted, the obsolete subvolume has the snapshot's former name: so a process
    /// that is killed between the two steps leaves what looks like an unpublished snapshot.
    ///
    /// # Errors
    ///
    /// As [`publish`]; the snapshot is deleted then, as by a drop. Or as [`delete`], for the
    /// obsolete subvolume; the snapshot has its new name then. [`Error::operation`] tells which.
    pub fn publish(mut self, name: &Path) -> Result<(), Error> {
        let published = publish(&self.path, As(name))?;
        if published.displaced {
            return self.delete();
        }
        self.on_leftover = None;
        Ok(())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(on_leftover) = self.on_leftover.take()
            && let Err(error) = delete(&self.path)
        {
            on_leftover(error);
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("path", &self.path).finish_non_exhaustive()
    }
}
