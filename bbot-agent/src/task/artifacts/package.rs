//! Writes an artifact: a ustar archive that is a function of its content alone.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

use super::ArtifactError;
use super::archive::{BLOCK, Content};
use super::tree::Tree;
use crate::fs::FileError;

/// The bytes that are copied at a time.
const CHUNK: usize = 256 << 10;

/// Writes the members in `tree` of `archive` (whose path is `source`) below `<instance>/` into
/// `file` (whose path is `target`). Returns the SHA-256 of the file, in hexadecimal digits.
///
/// Members are sorted by name; owner and time of modification are 0.
pub(super) fn write(
    archive: &File,
    source: &Path,
    instance: &str,
    tree: &Tree,
    file: &File,
    target: &Path,
) -> Result<String, ArtifactError> {
    let mut output = Output { file, digest: Sha256::new() };
    let mut chunk = vec![0; CHUNK];
    for (path, content) in tree {
        let header = header(instance, path, content)?;
        output.write_all(header.as_bytes()).map_err(FileError::of("write", target))?;
        let Content::File { offset, size, .. } = *content else { continue };
        let mut copied = 0;
        while copied < size {
            let length = usize::try_from(size - copied).map_or(CHUNK, |left| left.min(CHUNK));
            let chunk = &mut chunk[..length];
            archive.read_exact_at(chunk, offset + copied).map_err(FileError::of("read", source))?;
            output.write_all(chunk).map_err(FileError::of("write", target))?;
            copied += length as u64;
        }
        let padding = size.next_multiple_of(BLOCK) - size;
        let zeros = &mut io::repeat(0).take(padding);
        io::copy(zeros, &mut output).map_err(FileError::of("write", target))?;
    }
    // The end mark.
    output.write_all(&[0; 1024]).map_err(FileError::of("write", target))?;
    Ok(hex::encode(output.digest.finalize()))
}

fn header(instance: &str, path: &[u8], content: &Content) -> Result<Header, ArtifactError> {
    let mut name = instance.as_bytes().to_vec();
    if !path.is_empty() {
        name.push(b'/');
        name.extend_from_slice(path);
    }
    if *content == Content::Folder {
        name.push(b'/');
    }
    let mut header = Header::new_ustar();
    let (kind, mode, size) = match *content {
        Content::Folder => (EntryType::Directory, 0o755, 0),
        Content::File { size, is_executable: true, .. } => (EntryType::Regular, 0o755, size),
        Content::File { size, .. } => (EntryType::Regular, 0o644, size),
    };
    header
        .set_path(OsStr::from_bytes(&name))
        .map_err(|_| ArtifactError::LongName { name: String::from_utf8_lossy(&name).into() })?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
}

/// A file whose digest is computed as it is written.
struct Output<'a> {
    file: &'a File,
    digest: Sha256,
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.digest.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
