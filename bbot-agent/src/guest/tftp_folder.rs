//! The folder of one job below the TFTP root: made for the job, gone after it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// `bootstrap/<instance>/` or `build/<instance>/`; removed with all that is in it when dropped.
#[derive(Debug)]
pub(crate) struct TftpFolder {
    path: PathBuf,
}

/// The folder of bootstraps of `instance_name` below the TFTP root.
pub(crate) fn bootstrap(root: &Path, instance_name: &str) -> PathBuf {
    root.join("bootstrap").join(instance_name)
}

/// The folder of builds of `instance_name` below the TFTP root.
pub(crate) fn build(root: &Path, instance_name: &str) -> PathBuf {
    root.join("build").join(instance_name)
}

impl TftpFolder {
    /// Makes the folder and its `subfolders` anew: what another job left is not this job's.
    pub(crate) fn create(path: PathBuf, subfolders: &[&str]) -> anyhow::Result<Self> {
        remove(&path)?;
        let folder = Self { path };
        for path in std::iter::once(folder.path.clone())
            .chain(subfolders.iter().map(|name| folder.path.join(name)))
        {
            fs::create_dir_all(&path)
                .with_context(|| format!("cannot create {}", path.display()))?;
        }
        Ok(folder)
    }

    /// Returns the path of `name` in the folder.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TftpFolder {
    fn drop(&mut self) {
        // Whatever stays is removed before the next job and by recovery.
        drop(remove(&self.path));
    }
}

/// Empties a folder: an attempt that failed leaves nothing to the next.
pub(super) fn clear(path: &Path) -> anyhow::Result<()> {
    remove(path)?;
    fs::create_dir(path).with_context(|| format!("cannot create {}", path.display()))
}

/// Removes a folder with all that is in it, if it is there.
pub(crate) fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W34: nothing of a job is left, and nothing of an earlier one is met.
    #[test]
    fn lives_as_long_as_the_job() {
        let root = tempfile::tempdir().unwrap();
        let path = build(root.path(), "public-1");
        fs::create_dir_all(path.join("put")).unwrap();
        fs::write(path.join("put/result.manifest.lz4"), "stale").unwrap();
        let folder = TftpFolder::create(path.clone(), &["get", "put"]).unwrap();
        assert!(!path.join("put/result.manifest.lz4").try_exists().unwrap());
        fs::write(folder.join("put/upload.tar"), "x").unwrap();
        clear(&folder.join("put")).unwrap();
        assert_eq!(fs::read_dir(folder.join("put")).unwrap().count(), 0);
        drop(folder);
        assert!(!path.try_exists().unwrap());
    }
}
