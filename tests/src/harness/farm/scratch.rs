//! The scratch folder: one per farm, owned by a lock on the folder itself.
//!
//! The holder has an exclusive flock on the open folder. A folder with the prefix that is not
//! locked belongs to a holder that was killed together with its owner: the next farm removes it.

use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

/// The first part of every scratch folder's name.
pub(super) const PREFIX: &str = "bbot-farm-";

/// A scratch folder that this process has locked.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    /// Keeps the lock until the folder is gone.
    _owner: Flock<File>,
}

impl Scratch {
    /// Makes a fresh folder in `base`.
    pub(super) fn create(base: &Path) -> Result<Scratch> {
        loop {
            let path = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(Permissions::from_mode(0o755))
                .tempdir_in(base)
                .with_context(|| format!("cannot make a scratch folder in {}", base.display()))?
                .keep();
            let folder = match File::open(&path) {
                // Another holder that sweeps has taken the new folder for an orphan.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                folder => folder,
            };
            let folder = folder
                .with_context(|| format!("cannot open the scratch folder {}", path.display()))?;
            let owner = Flock::lock(folder, FlockArg::LockExclusive)
                .map_err(|(_, errno)| errno)
                .context("cannot lock the scratch folder")?;
            // It may also have removed it between the open and the lock.
            if owner.metadata()?.nlink() > 0 {
                return Ok(Scratch { path, _owner: owner });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder and all that is in it.
    pub(super) fn remove(self) -> Result<()> {
        std::fs::remove_dir_all(&self.path)
            .with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

/// Removes the scratch folders in `base` whose holders have ended.
pub(super) fn sweep(base: &Path) -> Result<()> {
    for entry in std::fs::read_dir(base)? {
        let path = entry?.path();
        let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        let Some(folder) = ours.then(|| File::open(&path).ok()).flatten() else { continue };
        if let Ok(_owner) = Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            // The folder may have been removed by its holder just before.
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot sweep {}", path.display()));
                }
                _ => (),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Another holder that sweeps at the same time costs another attempt, not the farm.
    #[test]
    fn a_folder_is_made_while_others_sweep() {
        let base = tempfile::tempdir().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        sweep(base.path()).unwrap();
                    }
                });
            }
            let attempt = || Scratch::create(base.path()).and_then(Scratch::remove);
            let made: Vec<_> = (0..300).map(|_| attempt()).collect();
            done.store(true, Ordering::Relaxed);
            made.into_iter().collect::<Result<()>>().unwrap();
        });
    }
}
