//! Folders and files of the machine while it is made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;

/// Makes a folder and those above it.
pub(super) fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())
}

/// Copies a file with its mode, and makes the folder for it.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        make(folder)?;
    }
    fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(())
}

/// Copies what is in a folder into another one, with links, modes and holes kept.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    make(to)?;
    let mut cp = Command::new("cp");
    cp.args(["-a", "--sparse=always", "--reflink=auto"]).arg(from.join(".")).arg(to);
    command::output(&mut cp).map(drop)
}

/// The regular files at and below a path, sorted.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        let entry = entry.with_context(|| path.display().to_string())?;
        if !entry.file_type().with_context(|| path.display().to_string())?.is_symlink() {
            files.extend(self::files(&entry.path())?);
        }
    }
    files.sort();
    Ok(files)
}

/// Packs what is in a folder into an archive that depends on nothing but its content; `top` is
/// what is packed: `.`, or a single name in it.
pub(super) fn pack(folder: &Path, top: &str, archive: &Path, compressor: &str) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--mtime=@1000000000"]);
    tar.args(["--owner=0", "--group=0", "--numeric-owner", "--use-compress-program", compressor]);
    tar.arg("--file").arg(archive).arg("-C").arg(folder).arg(top);
    command::output(&mut tar).map(drop)
}
