//! How far the input has been validated, and the ends of the lines there.

use crate::encoding::{self, BLOCK, InvalidCodePoint};
use crate::text::window::{Window, WindowEnd};

/// The length of the text that has been validated, and the ends of the lines of the last step.
///
/// The text is validated in steps of some KiB, so that the scanner finds each in the cache. The
/// step notes its newlines for the fast path: to find all of them at once takes less time than one
/// after the other.
pub(crate) struct Validated {
    length: usize,
    ends: LineEnds,
    /// The ends of the lines of the last step have not been noted.
    skipped: bool,
}

impl Validated {
    pub(crate) fn new() -> Self {
        Self { length: 0, ends: LineEnds::new(), skipped: false }
    }

    /// Returns the length of the text that has been validated.
    #[inline]
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Returns the part of the text that has been validated; `end` is what follows the text.
    pub(crate) fn window<'w>(&self, text: &'w str, end: WindowEnd) -> Window<'w> {
        let is_all = self.length == text.len();
        Window { text: &text[..self.length], end: if is_all { end } else { WindowEnd::More } }
    }

    /// Takes note that `length` bytes have been removed at the front of the text.
    pub(crate) fn release(&mut self, length: usize) {
        self.length -= length;
        self.ends.clear(self.length);
    }

    /// Validates the next step; returns what is wrong after the part that is valid.
    ///
    /// The ends of lines are not noted within a multi-line value, for which there is no fast path.
    pub(crate) fn extend(&mut self, text: &str, in_multi: bool) -> Option<InvalidCodePoint> {
        let step = if in_multi { 16 << 10 } else { 8 << 10 };
        self.ends.clear(self.length);
        let part = self.length..text.len().min(self.length.saturating_add(step));
        let ends = &mut self.ends;
        let checked = if in_multi {
            encoding::check(text, part, |_, _| true)
        } else {
            encoding::check(text, part, |offset, newlines| ends.push(offset, newlines))
        };
        self.length = checked.end;
        self.skipped = in_multi || checked.has_cr;
        if checked.has_cr {
            // The fast path knows no CR: it takes no line of this step.
            self.ends.clear(self.length);
            self.extend_to_newline_end(text.as_bytes());
        }
        checked.invalid
    }

    /// Extends the validated part to the end of a newline: the scanner must see a run of CRs, and
    /// the LF that may follow it, as a whole.
    fn extend_to_newline_end(&mut self, bytes: &[u8]) {
        while self.length < bytes.len()
            && bytes[self.length - 1] == b'\r'
            && matches!(bytes[self.length], b'\r' | b'\n')
        {
            self.length += 1;
        }
    }

    /// Whether all lines of the last step have been taken, and the next step may have more.
    #[inline]
    pub(crate) fn is_exhausted(&self, text: &str) -> bool {
        !self.skipped && self.length < text.len() && self.ends.first().is_none()
    }

    /// Returns the end of the first line that has not been taken, if it has been noted.
    #[inline]
    pub(crate) fn line_end(&self) -> Option<usize> {
        self.ends.first()
    }

    /// Takes a line.
    #[inline]
    pub(crate) fn take_line(&mut self) {
        self.ends.next += 1;
    }

    /// Takes all lines that end before `offset`.
    pub(crate) fn take_lines(&mut self, offset: usize) {
        while self.ends.first().is_some_and(|end| end < offset) {
            self.ends.next += 1;
        }
    }
}

/// Offsets of newlines.
struct LineEnds {
    /// The offset in the text that the others are relative to.
    base: usize,
    offsets: [u16; Self::CAPACITY],
    length: usize,
    next: usize,
}

impl LineEnds {
    const CAPACITY: usize = 512;
    /// Slots that are filled whatever the number of newlines is: few blocks have more of them.
    const UNCONDITIONAL: usize = 4;

    fn new() -> Self {
        Self { base: 0, offsets: [0; Self::CAPACITY], length: 0, next: 0 }
    }

    fn clear(&mut self, base: usize) {
        self.base = base;
        self.length = 0;
        self.next = 0;
    }

    #[inline]
    fn first(&self) -> Option<usize> {
        let offsets = self.offsets.get(..self.length)?;
        offsets.get(self.next).map(|offset| self.base + usize::from(*offset))
    }

    /// Adds the newlines of the block at `offset`; returns whether there is room for another block.
    #[inline]
    fn push(&mut self, offset: usize, mut newlines: u64) -> bool {
        let block = u16::try_from(offset - self.base).unwrap_or_default();
        let length = self.length;
        self.length += newlines.count_ones() as usize;
        let mut take = |slot: &mut u16| {
            *slot = block + place(newlines);
            newlines &= newlines.wrapping_sub(1);
            newlines != 0
        };
        let slots = self.offsets[length..].split_first_chunk_mut::<{ Self::UNCONDITIONAL }>();
        if let Some((first, more)) = slots {
            let mut left = false;
            for slot in first {
                left = take(slot);
            }
            let mut more = more.iter_mut();
            while left && let Some(slot) = more.next() {
                left = take(slot);
            }
        }
        Self::CAPACITY - self.length >= BLOCK
    }
}

/// Returns the index of the lowest bit that is set; 64 if none is.
#[inline]
fn place(bits: u64) -> u16 {
    u16::try_from(bits.trailing_zeros()).unwrap_or_default()
}
