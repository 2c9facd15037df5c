//! Files that are read: all transfers of one file share the chunks that were read of it.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::uio::preadv;
use rustc_hash::FxHashMap;

use super::interface::Source;

/// The maximum size of a read that is served from a chunk, in bytes; for larger ones, a second copy
/// costs more than it saves.
const SMALL_READ: usize = 4 << 10;
/// The size of a chunk, in bytes.
const CHUNK: usize = 32 << 10;

/// The maximum number of buffers of a preadv(2) (`IOV_MAX`).
const MAX_BUFFERS: usize = 1024;

/// Device and inode, which identify a file while it is open.
type Identity = (u64, u64);

/// The files that are open.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles(Mutex<HashMap<Identity, Arc<OpenFile>>>);

impl OpenFiles {
    /// Makes a source of a file that has just been opened.
    pub(crate) fn source(self: &Arc<Self>, file: File, meta: &Metadata) -> FileSource {
        let identity = (meta.dev(), meta.ino());
        let mut files = lock(&self.0);
        let file = files.entry(identity).or_insert_with(|| Arc::new(OpenFile::new(file)));
        let (opened, file) = (lock(&file.chunks).open(), Arc::clone(file));
        FileSource { files: Arc::clone(self), identity, file, size: meta.len(), opened }
    }
}

/// A file with the length that it had when it was opened.
#[derive(Debug)]
pub(crate) struct FileSource {
    files: Arc<OpenFiles>,
    identity: Identity,
    file: Arc<OpenFile>,
    size: u64,
    /// The number of times that the file had been opened then.
    opened: u64,
}

impl FileSource {
    /// Reads the part of `buffer` that lies in one chunk.
    fn read_small(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let index = offset / CHUNK as u64;
        let start = usize::try_from(offset % CHUNK as u64).unwrap_or(CHUNK);
        let mut chunks = lock(&self.file.chunks);
        if !chunks.holds(index, start, self.opened) {
            // One chunk for each transfer, which may all be at different offsets. One reference is
            // the map's.
            let most = Arc::strong_count(&self.file) - 1;
            let rest = self.size.saturating_sub(index * CHUNK as u64);
            let length = usize::try_from(rest).unwrap_or(CHUNK).min(CHUNK);
            chunks.read(&self.file.file, index, length, most)?;
        }
        let bytes = chunks.get(index).get(start..).unwrap_or_default();
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        Ok(length)
    }
}

impl Source for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        let length: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        match buffers {
            [first, ..] if length <= SMALL_READ => self.read_small(first, offset),
            many => {
                let offset = i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
                let count = many.len().min(MAX_BUFFERS);
                Ok(preadv(&self.file.file, &mut many[..count], offset)?)
            }
        }
    }
}

impl Drop for FileSource {
    fn drop(&mut self) {
        let mut files = lock(&self.files.0);
        // The counts change under this lock only. One reference is the map's, one this source's.
        if Arc::strong_count(&self.file) <= 2 {
            files.remove(&self.identity);
        }
    }
}

/// An open file and its chunks.
#[derive(Debug)]
struct OpenFile {
    file: File,
    chunks: Mutex<Chunks>,
}

impl OpenFile {
    fn new(file: File) -> Self {
        Self { file, chunks: Mutex::default() }
    }
}

#[derive(Debug, Default)]
struct Chunks {
    /// No peer chooses the keys in a way that would cost time.
    by_index: FxHashMap<u64, Chunk>,
    /// The number of times that the file was opened.
    opens: u64,
    /// The number of times that a chunk was used.
    uses: u64,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    /// The value of [`Chunks::opens`] when this was read. A client that opens the file later may
    /// know of a change, and must not be sent the content from before it.
    read: u64,
    /// The value of [`Chunks::uses`] when this was used last.
    used: u64,
}

impl Chunks {
    fn open(&mut self) -> u64 {
        self.opens += 1;
        self.opens
    }

    /// Returns whether a byte may be served from a chunk to a transfer.
    fn holds(&self, index: u64, start: usize, opened: u64) -> bool {
        self.by_index.get(&index).is_some_and(|c| c.read >= opened && start < c.bytes.len())
    }

    fn get(&mut self, index: u64) -> &[u8] {
        self.uses += 1;
        let Some(chunk) = self.by_index.get_mut(&index) else { return &[] };
        chunk.used = self.uses;
        &chunk.bytes
    }

    /// Reads a chunk, in place of its older content or of the chunks that were used least recently.
    fn read(&mut self, file: &File, index: u64, length: usize, most: usize) -> io::Result<()> {
        let mut free = self.by_index.remove(&index);
        while self.by_index.len() >= most.max(1) {
            let oldest = self.by_index.iter().min_by_key(|(_, chunk)| chunk.used);
            let Some(oldest) = oldest.map(|(index, _)| *index) else { break };
            free = self.by_index.remove(&oldest);
        }
        let mut bytes = free.map(|chunk| chunk.bytes).unwrap_or_default();
        bytes.resize(length, 0);
        let length = read_most(file, &mut bytes, index * CHUNK as u64)?;
        bytes.truncate(length);
        self.by_index.insert(index, Chunk { bytes, read: self.opens, used: self.uses });
        Ok(())
    }
}

/// Fills `bytes` up to the end of the file, and returns the number of bytes.
fn read_most(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic does not leave any of this inconsistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::read_all;

    struct Fixture {
        folder: tempfile::TempDir,
        files: Arc<OpenFiles>,
    }

    impl Fixture {
        fn new(content: &[u8]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("file"), content).unwrap();
            Self { folder, files: Arc::default() }
        }

        fn open(&self) -> FileSource {
            let file = File::open(self.folder.path().join("file")).unwrap();
            let meta = file.metadata().unwrap();
            self.files.source(file, &meta)
        }

        /// Writes into the file without replacing it.
        fn overwrite(&self, content: &[u8]) {
            let file = File::options().write(true).open(self.folder.path().join("file")).unwrap();
            file.write_all_at(content, 0).unwrap();
        }
    }

    fn read(source: &FileSource, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        read_all(source, &mut [IoSliceMut::new(&mut bytes)], offset).map(|()| bytes)
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|i| u8::try_from(i * 7 / 5 % 251).unwrap()).collect()
    }

    #[test]
    fn small_and_large_reads_give_the_same() {
        let all = content(3 * CHUNK + 77);
        let fixture = Fixture::new(&all);
        let sources = [fixture.open(), fixture.open()];
        for length in [1, 8, 1428, SMALL_READ, SMALL_READ + 1] {
            for offset in (0..all.len() - length).step_by(997) {
                let expected = &all[offset..offset + length];
                for source in &sources {
                    assert!(read(source, offset as u64, length).unwrap() == expected);
                }
            }
        }
        assert!(read(&sources[0], all.len() as u64 - 1, 2).is_err());
    }

    #[test]
    fn transfers_share_what_was_read_since_they_began() {
        let fixture = Fixture::new(b"before");
        let (first, second) = (fixture.open(), fixture.open());
        assert_eq!(read(&first, 0, 6).unwrap(), b"before");
        fixture.overwrite(b"after and more");
        assert_eq!(read(&second, 0, 6).unwrap(), b"before", "not shared");
        let third = fixture.open();
        assert_eq!(third.size(), 14);
        assert_eq!(read(&third, 0, 14).unwrap(), b"after and more");
        assert_eq!(read(&second, 1, 5).unwrap(), b"fter ");
        // A chunk that was read for the shorter file is too short for the longer one.
        let fourth = fixture.open();
        assert_eq!(read(&fourth, 0, 6).unwrap(), b"after ");
        lock(&fourth.file.chunks).by_index.get_mut(&0).unwrap().bytes.truncate(6);
        assert_eq!(read(&fourth, 2, 12).unwrap(), b"ter and more");
    }

    #[test]
    fn each_transfer_holds_at_most_one_chunk_and_the_last_closes_the_file() {
        let all = content(10 * CHUNK);
        let fixture = Fixture::new(&all);
        let sources = [fixture.open(), fixture.open(), fixture.open()];
        for round in 0..10 {
            for (number, source) in sources.iter().enumerate() {
                let offset = (round + number * 4) % 10 * CHUNK;
                assert!(read(source, offset as u64, 512).unwrap() == all[offset..offset + 512]);
                assert!(lock(&source.file.chunks).by_index.len() <= sources.len());
            }
        }
        drop(sources);
        assert!(lock(&fixture.files.0).is_empty());
    }
}
