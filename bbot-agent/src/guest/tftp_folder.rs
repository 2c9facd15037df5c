//! The folder of one job below the TFTP root, which exists as long as the job.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::host::fault::OfHost;

use super::run::Job;
use crate::config::Config;

/// `bootstrap/<instance>/` or `build/<instance>/`; removed with all that is in it when dropped.
#[derive(Debug)]
pub(crate) struct TftpFolder {
    path: PathBuf,
    /// The folder, held for its lock: no other process removes it (W46).
    lock: Option<File>,
}

/// Returns the path of the folder for jobs of this kind.
pub(crate) fn path(config: &Config, job: Job) -> PathBuf {
    config.tftp.join(job.name()).join(config.instance_name())
}

impl TftpFolder {
    /// Creates the folder with its `subfolders`; removes what another job has left there.
    pub(crate) fn create(path: PathBuf, subfolders: &[&str]) -> anyhow::Result<Self> {
        remove(&path)?;
        let mut folder = Self { path, lock: None };
        for path in std::iter::once(folder.path.clone())
            .chain(subfolders.iter().map(|name| folder.path.join(name)))
        {
            fs::create_dir_all(&path)
                .with_context(|| OfHost::new(format!("cannot create {}", path.display())))?;
        }
        let lock = File::open(&folder.path).and_then(|file| file.lock().map(|()| file));
        folder.lock = Some(lock.with_context(|| format!("cannot lock {}", folder.path.display()))?);
        Ok(folder)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TftpFolder {
    fn drop(&mut self) {
        // What cannot be removed now is removed before the next job or by recovery.
        drop(remove_unlocked(&self.path));
    }
}

/// Empties a folder.
pub(super) fn clear(path: &Path) -> anyhow::Result<()> {
    remove_unlocked(path)?;
    fs::create_dir(path).with_context(|| OfHost::new(format!("cannot create {}", path.display())))
}

/// Removes the folder of a job with all that is in it, if it is there, unless another process has
/// it locked (W46).
pub(crate) fn remove(path: &Path) -> anyhow::Result<()> {
    let is_used = File::open(path).is_ok_and(|folder| folder.try_lock().is_err());
    if is_used {
        bail!("{} is used by another process", path.display());
    }
    remove_unlocked(path)
}

fn remove_unlocked(path: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| OfHost::new(format!("cannot remove {}", path.display())))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W34: a job leaves no file, and finds none of an earlier one.
    #[test]
    fn lives_as_long_as_the_job() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("build/public-1");
        fs::create_dir_all(path.join("put")).unwrap();
        fs::write(path.join("put/result.manifest.lz4"), "stale").unwrap();
        let folder = TftpFolder::create(path.clone(), &["get", "put"]).unwrap();
        assert!(!path.join("put/result.manifest.lz4").try_exists().unwrap());
        fs::write(folder.join("put/upload.tar"), "x").unwrap();
        clear(&folder.join("put")).unwrap();
        assert_eq!(fs::read_dir(folder.join("put")).unwrap().count(), 0);
        // W46: not even a process that takes itself for this instance removes it.
        for refused in [remove(&path), TftpFolder::create(path.clone(), &[]).map(drop)] {
            assert!(refused.unwrap_err().to_string().ends_with("is used by another process"));
        }
        assert!(path.join("put").try_exists().unwrap());
        drop(folder);
        assert!(!path.try_exists().unwrap());
    }
}
