//! Folders and files of the machine while it is made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::failure::{Context as _, Outcome};

/// Makes a folder and those above it.
pub(super) fn make(folder: &Path) -> Outcome<()> {
    fs::create_dir_all(folder).context(folder.display())
}

/// Copies a file with its mode, and makes the folder for it.
pub(super) fn copy_file(from: &Path, to: &Path) -> Outcome<()> {
    if let Some(folder) = to.parent() {
        make(folder)?;
    }
    fs::copy(from, to).context(from.display())?;
    Ok(())
}

/// Copies what is in a folder into another one, with links, modes and holes kept.
pub(super) fn copy(from: &Path, to: &Path) -> Outcome<()> {
    make(to)?;
    let mut cp = Command::new("cp");
    cp.args(["-a", "--sparse=always", "--reflink=auto"]).arg(from.join(".")).arg(to);
    command::output(&mut cp).map(drop)
}

/// The regular files at and below a path, sorted.
pub(super) fn files(path: &Path) -> Outcome<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).context(path.display())? {
        let entry = entry.context(path.display())?;
        if !entry.file_type().context(path.display())?.is_symlink() {
            files.extend(self::files(&entry.path())?);
        }
    }
    files.sort();
    Ok(files)
}

/// Packs what is in a folder into an archive that depends on nothing but its content; `top` is
/// what is packed: `.`, or a single name in it.
pub(super) fn pack(folder: &Path, top: &str, archive: &Path, compressor: &str) -> Outcome<()> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--mtime=@1000000000"]);
    tar.args(["--owner=0", "--group=0", "--numeric-owner", "--use-compress-program", compressor]);
    tar.arg("--file").arg(archive).arg("-C").arg(folder).arg(top);
    command::output(&mut tar).map(drop)
}
