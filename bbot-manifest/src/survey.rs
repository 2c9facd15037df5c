//! Checking a text step by step, and noting its lines.

use crate::block::BLOCK;
use crate::encoding::{self, Flaw};
use crate::scan::{Beyond, Window};

/// How far a text is known to be fine, and where the lines of the last step end.
///
/// The scanner comes to each step when it is still in the cache, and finds the ends of usual lines
/// here: to look for all of them at once takes less time than for one after the other.
pub(crate) struct Survey {
    checked: usize,
    ends: LineEnds,
    /// The lines of the last step are not known.
    skipped: bool,
}

impl Survey {
    pub(crate) fn new() -> Self {
        Self { checked: 0, ends: LineEnds::new(), skipped: false }
    }

    /// Returns how much of the text is known to be fine.
    #[inline]
    pub(crate) fn checked(&self) -> usize {
        self.checked
    }

    /// Returns the part of a text that is fine; `beyond` is what stands behind the text.
    pub(crate) fn window<'w>(&self, text: &'w str, beyond: Beyond) -> Window<'w> {
        let is_all = self.checked == text.len();
        Window { text: &text[..self.checked], beyond: if is_all { beyond } else { Beyond::More } }
    }

    /// Forgets `length` bytes at the front of the text.
    pub(crate) fn release(&mut self, length: usize) {
        self.checked -= length;
        self.ends.clear(self.checked);
    }

    /// Checks the next step; returns what is wrong behind the part that is fine now.
    ///
    /// The lines of a multi-line value are of no interest.
    pub(crate) fn check_more(&mut self, text: &str, in_multi: bool) -> Option<Flaw> {
        let step = if in_multi { 16 << 10 } else { 8 << 10 };
        self.ends.clear(self.checked);
        let part = self.checked..text.len().min(self.checked.saturating_add(step));
        let ends = &mut self.ends;
        let look = if in_multi {
            encoding::look_through(text, part, |_, _| true)
        } else {
            encoding::look_through(text, part, |offset, newlines| ends.push(offset, newlines))
        };
        self.checked = look.end;
        self.skipped = in_multi || look.has_cr;
        if look.has_cr {
            // No line of this step is usual, so that no CR is missed.
            self.ends.clear(self.checked);
            self.pass_newline(text.as_bytes());
        }
        look.flaw
    }

    /// Goes on to the end of a newline: the scanner must see a run of CRs, and the LF behind it,
    /// as a whole.
    fn pass_newline(&mut self, bytes: &[u8]) {
        while self.checked < bytes.len()
            && bytes[self.checked - 1] == b'\r'
            && matches!(bytes[self.checked], b'\r' | b'\n')
        {
            self.checked += 1;
        }
    }

    /// Whether all lines of the last step have been passed, and another step would show more.
    #[inline]
    pub(crate) fn is_passed(&self, text: &str) -> bool {
        !self.skipped && self.checked < text.len() && self.ends.first().is_none()
    }

    /// Returns the end of the first line that has not been passed, if it is known.
    #[inline]
    pub(crate) fn line_end(&self) -> Option<usize> {
        self.ends.first()
    }

    /// Passes the end of a line.
    #[inline]
    pub(crate) fn pass_line(&mut self) {
        self.ends.next += 1;
    }

    /// Passes all ends of lines before `offset`.
    pub(crate) fn pass_lines(&mut self, offset: usize) {
        while self.ends.first().is_some_and(|end| end < offset) {
            self.ends.next += 1;
        }
    }
}

/// Offsets of newlines.
struct LineEnds {
    /// What the offsets count from.
    base: usize,
    offsets: [u16; Self::CAPACITY],
    length: usize,
    next: usize,
}

impl LineEnds {
    const CAPACITY: usize = 512;
    /// Taken without a look at how many there are: few blocks hold more.
    const USUAL: usize = 4;

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

    /// Adds the newlines of the block at `offset`; returns whether those of another one fit.
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
        let slots = self.offsets[length..].split_first_chunk_mut::<{ Self::USUAL }>();
        if let Some((usual, more)) = slots {
            let mut left = false;
            for slot in usual {
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

/// Returns the place of the lowest bit; 64 if there is none.
#[inline]
fn place(bits: u64) -> u16 {
    u16::try_from(bits.trailing_zeros()).unwrap_or_default()
}
