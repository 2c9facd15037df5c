//! The part of the input that a scanner works on.

use crate::encoding::InvalidCodePoint;

/// Text that has been validated, and what follows it.
#[derive(Clone, Copy)]
pub(crate) struct Window<'w> {
    pub(crate) text: &'w str,
    pub(crate) end: WindowEnd,
}

/// What follows a window.
#[derive(Clone, Copy)]
pub(crate) enum WindowEnd {
    /// Text that has not been validated or read. A run of CRs never reaches to here.
    More,
    /// The end of the input.
    Eof,
    /// A code point that is refused.
    Invalid(InvalidCodePoint),
}

impl<'w> Window<'w> {
    #[inline]
    pub(crate) fn bytes(&self) -> &'w [u8] {
        self.text.as_bytes()
    }
}
