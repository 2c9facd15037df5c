//! The log of the serial console, kept within a limit.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;

/// The end of what a guest wrote to its console, in a file that never exceeds its limit.
///
/// The file grows until the limit; then it is rewritten with the later half of its content, so that
/// each byte is written twice at most. A file that cannot be written is closed, with a debug
/// message: a full disk must not stop a guest.
pub(super) struct ConsoleLog {
    file: Option<File>,
    kept: VecDeque<u8>,
    limit: usize,
}

impl ConsoleLog {
    /// Creates the file, or empties an existing one. A symbolic link is not followed.
    pub(super) fn create(path: &Path, limit: usize) -> io::Result<ConsoleLog> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.custom_flags(libc::O_NOFOLLOW).open(path)?;
        Ok(ConsoleLog { file: Some(file), kept: VecDeque::new(), limit })
    }

    /// Appends what the guest wrote.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        // Of a piece that is longer than the limit only the end can be kept.
        let bytes = &bytes[bytes.len().saturating_sub(self.limit)..];
        let written = if self.kept.len() + bytes.len() <= self.limit {
            self.kept.extend(bytes);
            self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes))
        } else {
            let excess = self.kept.len() + bytes.len() - self.limit / 2;
            self.kept.extend(bytes);
            self.kept.drain(..excess.min(self.kept.len()));
            self.rewrite()
        };
        if let Err(error) = written {
            log::debug!("the console log is given up: {error}");
            self.file = None;
        }
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(self.kept.make_contiguous())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(limit: usize, pieces: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        let mut log = ConsoleLog::create(&path, limit).unwrap();
        let mut contents = Vec::new();
        for piece in pieces {
            log.append(piece.as_bytes());
            contents.push(std::fs::read_to_string(&path).unwrap());
        }
        contents
    }

    #[test]
    fn the_end_is_kept_within_the_limit() {
        for (limit, pieces, expected) in [
            (8, &["ab", "cdefgh"][..], &["ab", "abcdefgh"][..]),
            (8, &["abcdefgh", "i", "j"], &["abcdefgh", "fghi", "fghij"]),
            (8, &["abcdefghijkl"], &["efghijkl"]),
            (8, &["abc", "defghijklmnop"], &["abc", "mnop"]),
            (1, &["a", "b"], &["a", ""]),
            (0, &["a", "b"], &["", ""]),
        ] {
            assert_eq!(after(limit, pieces), expected, "{limit} {pieces:?}");
        }
    }

    #[test]
    fn any_pieces_stay_within_the_limit_and_end_with_the_newest() {
        let text: String = "the quick brown fox jumps over the lazy dog; ".repeat(90);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        let mut log = ConsoleLog::create(&path, 100).unwrap();
        let mut end = 0;
        for step in (1..80).cycle() {
            if end + step > text.len() {
                break;
            }
            log.append(&text.as_bytes()[end..end + step]);
            end += step;
            let content = std::fs::read_to_string(&path).unwrap();
            assert!(content.len() <= 100, "{}", content.len());
            assert!(content.len() >= 50.min(end), "{} of {end}", content.len());
            assert!(text[..end].ends_with(&content));
        }
    }

    #[test]
    fn an_older_log_is_emptied_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        std::fs::write(&path, "older").unwrap();
        ConsoleLog::create(&path, 10).unwrap().append(b"new");
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(ConsoleLog::create(&link, 10).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_full_disk_stops_the_log_only() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut log = ConsoleLog { file: Some(full), kept: VecDeque::new(), limit: 10 };
        log.append(b"abc");
        assert!(log.file.is_none());
        log.append(b"def");
        assert_eq!(log.kept, b"abcdef");
    }
}
