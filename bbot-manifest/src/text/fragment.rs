//! Writes the lines of a value: broken and escaped (docs/format.md, section 8.4).

use std::io::{self, Write};

use memchr::{memchr2, memchr2_iter};

use crate::text::lines::Lines;

/// A line is broken at this column, from 0, which then holds the backslash.
pub(crate) const COLUMNS: usize = 77;

/// A line is broken at a space only after this column.
const SOFT_FROM: usize = 57;

/// Writes a value as lines, without the newline after the last.
pub(crate) fn write_lines(w: &mut impl Write, value: &str, lines: Lines) -> io::Result<()> {
    match lines {
        Lines::Long => write_long_lines(w, value),
        Lines::Wrapped => write_wrapped_lines(w, value),
    }
}

/// Writes a fragment: a value, or a line of it, that starts in column `start`.
pub(crate) fn write(
    w: &mut impl Write,
    fragment: &str,
    start: usize,
    lines: Lines,
) -> io::Result<()> {
    let bytes = fragment.as_bytes();
    // A fragment whose bytes fit, of which it has at least as many as code points, is not broken.
    if lines == Lines::Long || start.saturating_add(bytes.len()) <= COLUMNS {
        w.write_all(bytes)?;
    } else {
        write_wrapped(w, fragment, start)?;
    }
    if bytes.ends_with(b"\\") { w.write_all(b"\\") } else { Ok(()) }
}

/// Writes lines without breaking them: CRs become LFs, and a backslash at the end of a line is
/// doubled.
fn write_long_lines(w: &mut impl Write, value: &str) -> io::Result<()> {
    let bytes = value.as_bytes();
    let mut written = 0;
    for mark in memchr2_iter(b'\\', b'\r', bytes) {
        let next = bytes.get(mark + 1);
        if bytes[mark] == b'\r' {
            w.write_all(&bytes[written..mark])?;
            w.write_all(b"\n")?;
            written = mark + if next == Some(&b'\n') { 2 } else { 1 };
        } else if matches!(next, None | Some(b'\n' | b'\r')) {
            w.write_all(&bytes[written..=mark])?;
            w.write_all(b"\\")?;
            written = mark + 1;
        }
    }
    w.write_all(&bytes[written..])
}

fn write_wrapped_lines(w: &mut impl Write, mut value: &str) -> io::Result<()> {
    while let Some(end) = memchr2(b'\n', b'\r', value.as_bytes()) {
        write(w, &value[..end], 0, Lines::Wrapped)?;
        w.write_all(b"\n")?;
        let newline = if value[end..].starts_with("\r\n") { 2 } else { 1 };
        value = &value[end + newline..];
    }
    write(w, value, 0, Lines::Wrapped)
}

/// Writes a fragment, broken into lines.
fn write_wrapped(w: &mut impl Write, fragment: &str, start: usize) -> io::Result<()> {
    let bytes = fragment.as_bytes();
    let mut column = start;
    let mut written = 0;
    while let Some(end) = line_end(fragment, written, column) {
        w.write_all(&bytes[written..end])?;
        w.write_all(b"\\\n")?;
        written = end;
        column = 0;
    }
    w.write_all(&bytes[written..])
}

/// Returns the offset at which the line is broken that starts with `fragment[from..]` in `column`.
fn line_end(fragment: &str, from: usize, mut column: usize) -> Option<usize> {
    let bytes = fragment.as_bytes();
    let unbroken = (SOFT_FROM + 1).saturating_sub(column);
    let from = from + length_of(&fragment[from..], unbroken);
    column += unbroken;
    for (offset, c) in fragment[from..].char_indices() {
        let at = from + offset;
        // A backslash before the break would be read as part of it.
        let may_break = !bytes[..at].ends_with(b"\\");
        if may_break && breaks_before(bytes, at, c, column) {
            return Some(at);
        }
        column += 1;
    }
    None
}

/// Returns the bytes of the first `count` code points, or of all if there are fewer.
fn length_of(text: &str, count: usize) -> usize {
    match text.as_bytes().get(..count) {
        Some(bytes) if bytes.is_ascii() => count,
        _ => text.char_indices().nth(count).map_or(text.len(), |(length, _)| length),
    }
}

/// Whether the line is broken before the character `c` at offset `at`, in `column`.
fn breaks_before(bytes: &[u8], at: usize, c: char, column: usize) -> bool {
    let is_last_byte = at + 1 == bytes.len();
    if column >= COLUMNS + usize::from(is_last_byte) {
        return true;
    }
    if !matches!(c, ' ' | '\t') {
        return false;
    }
    // The length of a word need not be known exactly if it is longer than a line.
    let rest = &bytes[at + 1..bytes.len().min(at + 1 + COLUMNS + 1)];
    let (word, is_end) = match memchr2(b' ', b'\t', rest) {
        Some(length) => (length + 1, false),
        None => (rest.len() + 1, at + 1 + rest.len() == bytes.len()),
    };
    column + word > COLUMNS + usize::from(is_end)
}
