//! The runtime directory: every user can list it, except for its private part.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;

/// The part that only root can list: monitor socket, console log.
pub(crate) const PRIVATE: &str = "private";

/// Creates the directory and its private part, if they do not exist.
pub(crate) fn create(path: &Path) -> anyhow::Result<()> {
    for (path, mode) in [(path.to_owned(), 0o755), (path.join(PRIVATE), 0o700)] {
        DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(&path)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode)))
            .with_context(|| format!("cannot create runtime directory {}", path.display()))?;
    }
    Ok(())
}

/// Removes the directory and its private part, each if it is empty: other files in it may be in
/// use.
pub(crate) fn remove(path: &Path) {
    for folder in [path.join(PRIVATE).as_path(), path] {
        // Not empty, or removed already.
        drop(fs::remove_dir(folder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_private_part_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/public-1");
        for _ in 0..2 {
            create(&path).unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&path), 0o755);
            assert_eq!(mode(&path.join(PRIVATE)), 0o700);
        }
        fs::write(path.join("instance.lock"), "").unwrap();
        remove(&path);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        fs::remove_file(path.join("instance.lock")).unwrap();
        remove(&path);
        assert!(!path.try_exists().unwrap());
    }
}
