//! Bytes into lines.

/// The longest line that is accepted, in bytes: far more than QEMU's longest answer to the
/// commands of this crate.
pub(super) const LINE_MAX: usize = 1 << 20;

/// Collects bytes until a line is complete.
#[derive(Default)]
pub(super) struct LineBuffer {
    bytes: Vec<u8>,
    /// How many of the bytes are known to hold no line end.
    searched: usize,
}

impl LineBuffer {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// If the last, incomplete line becomes longer than [`LINE_MAX`].
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), LineTooLong> {
        self.bytes.extend_from_slice(bytes);
        let newest = self.bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        if self.bytes.len() - newest > LINE_MAX { Err(LineTooLong) } else { Ok(()) }
    }

    /// Returns the next complete line, without its end (LF or CR LF).
    pub(super) fn next_line(&mut self) -> Option<Vec<u8>> {
        let Some(found) = self.bytes[self.searched..].iter().position(|&byte| byte == b'\n') else {
            self.searched = self.bytes.len();
            return None;
        };
        let end = self.searched + found;
        let rest = self.bytes.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.bytes, rest);
        self.searched = 0;
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(line)
    }
}

/// A line is longer than [`LINE_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LineTooLong;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(buffer: &mut LineBuffer) -> Vec<String> {
        std::iter::from_fn(|| buffer.next_line()).map(|l| String::from_utf8(l).unwrap()).collect()
    }

    #[test]
    fn lines_are_complete_however_the_bytes_are_cut() {
        let text = b"{}\r\n\nlong line\nrest";
        for first in 0..text.len() {
            for second in first..text.len() {
                let mut buffer = LineBuffer::default();
                let mut found = Vec::new();
                for part in [&text[..first], &text[first..second], &text[second..]] {
                    buffer.push(part).unwrap();
                    found.extend(lines(&mut buffer));
                }
                assert_eq!(found, ["{}", "", "long line"], "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn length_is_capped_per_line() {
        let mut buffer = LineBuffer::default();
        buffer.push(&vec![b'a'; LINE_MAX]).unwrap();
        buffer.push(b"\n").unwrap();
        buffer.push(&vec![b'b'; LINE_MAX]).unwrap();
        assert_eq!(buffer.next_line().unwrap().len(), LINE_MAX);
        assert_eq!(buffer.push(b"b"), Err(LineTooLong));
    }
}
