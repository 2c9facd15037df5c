//! Reads the headers of the members of a guest's archive.
//!
//! A header that is not understood is an error, and is not skipped: two readers that disagree about
//! where a member ends see two different archives. Formats: POSIX.1-1988 (ustar), POSIX.1-2001
//! (pax) and GNU, as far as they are about files and folders.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tar::{EntryType, Header, PaxExtensions};

use super::{ArtifactError, Problem};
use crate::fs::FileError;

/// The most headers that an archive may have; an artifact has some dozen files.
pub(super) const MEMBERS_MAX: usize = 10_000;

const EXTENSION_MAX: u64 = 16 << 10;

/// The longest name in bytes; a ustar header takes at most 256.
const PATH_MAX: usize = 512;

/// The unit of archives, in bytes.
pub(super) const BLOCK: u64 = 512;

/// A file or a folder in the archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// The offset of its header.
    pub(super) at: u64,
    /// Its name's components: none is empty, `.` or `..`, or has control characters.
    pub(super) path: Vec<Vec<u8>>,
    pub(super) content: Content,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Folder,
    File {
        offset: u64,
        size: u64,
        /// Whether its owner may execute it.
        is_executable: bool,
    },
}

/// Walks over the members of an archive.
pub(super) struct Members<'a> {
    file: &'a File,
    path: &'a Path,
    /// The archive's length in bytes.
    length: u64,
    /// The offset of the next header.
    position: u64,
    headers: usize,
    is_over: bool,
}

impl<'a> Members<'a> {
    /// Reads the archive `file`, which has `length` bytes; `path` is its name in errors.
    pub(super) fn new(file: &'a File, path: &'a Path, length: u64) -> Self {
        Self { file, path, length, position: 0, headers: 0, is_over: false }
    }

    /// Returns the next member; `None` at the end mark, a block of zeros.
    fn member(&mut self) -> Result<Option<Member>, ArtifactError> {
        let mut long_path = None;
        loop {
            let at = self.position;
            let bad = |problem| ArtifactError::Archive { at, problem };
            let mut block = [0; 512];
            self.read(at, &mut block)?;
            if block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            self.headers += 1;
            if self.headers > MEMBERS_MAX {
                return Err(bad(Problem::TooMany));
            }
            let header = Header::from_byte_slice(&block);
            check_sum(header).map_err(bad)?;
            let size = header.entry_size().map_err(|_| bad(Problem::Number))?;
            let offset = at + BLOCK;
            let end =
                size.checked_next_multiple_of(BLOCK).and_then(|size| offset.checked_add(size));
            self.position =
                end.filter(|end| *end <= self.length).ok_or_else(|| bad(Problem::Truncated))?;
            match header.entry_type() {
                EntryType::GNULongName => {
                    let mut name = self.extension(at, offset, size)?;
                    name.pop_if(|last| *last == 0);
                    long_path = Some(name);
                }
                EntryType::XHeader => {
                    let extension = self.extension(at, offset, size)?;
                    long_path = pax(&extension, true).map_err(bad)?.or(long_path);
                }
                EntryType::XGlobalHeader => {
                    let extension = self.extension(at, offset, size)?;
                    pax(&extension, false).map_err(bad)?;
                }
                kind => {
                    let path = long_path.unwrap_or_else(|| header.path_bytes().into_owned());
                    let content = content(header, kind, &path, offset, size).map_err(bad)?;
                    let path = components(&path).map_err(bad)?;
                    return Ok(Some(Member { at, path, content }));
                }
            }
        }
    }

    /// Reads the content of an extended header.
    fn extension(&self, at: u64, offset: u64, size: u64) -> Result<Vec<u8>, ArtifactError> {
        let too_long = Problem::Extension("an extended header is too long");
        let length = usize::try_from(size).ok().filter(|_| size <= EXTENSION_MAX);
        let length = length.ok_or(ArtifactError::Archive { at, problem: too_long })?;
        let mut bytes = vec![0; length];
        self.read(offset, &mut bytes)?;
        Ok(bytes)
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> Result<(), ArtifactError> {
        if at + bytes.len() as u64 > self.length {
            return Err(ArtifactError::Archive { at, problem: Problem::Truncated });
        }
        Ok(self.file.read_exact_at(bytes, at).map_err(FileError::of("read", self.path))?)
    }
}

impl Iterator for Members<'_> {
    type Item = Result<Member, ArtifactError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let member = self.member().transpose();
        self.is_over = !matches!(member, Some(Ok(_)));
        member
    }
}

/// Verifies the checksum: the sum of the header's bytes, where its own field counts as blanks.
fn check_sum(header: &Header) -> Result<(), Problem> {
    let bytes = header.as_bytes();
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let expected = sum(&bytes[..148]) + 8 * u32::from(b' ') + sum(&bytes[156..]);
    if header.cksum().ok() == Some(expected) { Ok(()) } else { Err(Problem::Header) }
}

fn content(
    header: &Header,
    kind: EntryType,
    path: &[u8],
    offset: u64,
    size: u64,
) -> Result<Content, Problem> {
    let is_folder = match kind {
        // The oldest format has no type for folders.
        EntryType::Regular => path.ends_with(b"/"),
        EntryType::Continuous => false,
        EntryType::Directory => true,
        kind => return Err(Problem::Kind(kind.as_byte())),
    };
    if !is_folder {
        let mode = header.mode().map_err(|_| Problem::Number)?;
        return Ok(Content::File { offset, size, is_executable: mode & 0o100 != 0 });
    }
    // Some readers skip the content of a folder and others do not.
    if size == 0 { Ok(Content::Folder) } else { Err(Problem::Extension("a folder has bytes")) }
}

/// Returns the name in a pax header, if it has one; `is_single`: it is for a single member.
fn pax(records: &[u8], is_single: bool) -> Result<Option<Vec<u8>>, Problem> {
    let mut path = None;
    for record in PaxExtensions::new(records) {
        let record = record.map_err(|_| Problem::Extension("a pax header is malformed"))?;
        match record.key_bytes() {
            b"path" if is_single => path = Some(record.value_bytes().to_vec()),
            key if matches!(key, b"path" | b"size") || key.starts_with(b"GNU.sparse.") => {
                return Err(Problem::Extension("a pax header changes names or sizes"));
            }
            _ => {}
        }
    }
    Ok(path)
}

/// Splits a name; an error if it leads out of the archive.
fn components(path: &[u8]) -> Result<Vec<Vec<u8>>, Problem> {
    let is_bad = path.is_empty()
        || path.starts_with(b"/")
        || path.len() > PATH_MAX
        || path.iter().any(u8::is_ascii_control);
    let components = path.split(|byte| *byte == b'/');
    if is_bad || components.clone().any(|name| name == b"..") {
        return Err(Problem::Path(path.to_vec()));
    }
    Ok(components.filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec).collect())
}
