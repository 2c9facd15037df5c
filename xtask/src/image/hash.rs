//! SHA-256, as file names and checksum lists write it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use anyhow::{Context as _, Result};

use crate::image::tree;

/// The hash of some bytes, in lower-case hexadecimal digits.
pub(crate) fn of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The hash of a file's content.
pub(crate) fn file(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(hash.finalize())),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
}

/// A line for each file of a tree (or for a single file): hash, mode, and path below `base`.
pub(super) fn tree(path: &Path, base: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for path in tree::files(path)? {
        let mode =
            fs::metadata(&path).with_context(|| path.display().to_string())?.permissions().mode();
        let name = path.strip_prefix(base).unwrap_or(&path);
        // Only the owner's right to execute is the same in every checkout.
        let kind = if mode & 0o100 == 0 { "file" } else { "program" };
        lines.push(format!("{} {kind} {}\n", file(&path)?, name.display()));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_sha256sum_prints() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(b"abc"), abc);
    }
}
