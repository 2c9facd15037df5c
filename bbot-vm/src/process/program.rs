//! Where the program is.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Returns the absolute path of `program`, found in `PATH` as a shell would: the process's working
/// folder is another one than ours.
pub(crate) fn find_program(program: &Path) -> Result<PathBuf, Error> {
    let missing = Error::io("find", program);
    if program.as_os_str().as_encoded_bytes().contains(&b'/') {
        return std::path::absolute(program).map_err(missing);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| missing(io::ErrorKind::NotFound.into()))
}
