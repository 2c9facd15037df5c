//! The size of a block.

use std::fmt;
use std::str::FromStr;

/// The number of bytes in each block of a file but the last: 8 to 65464 (RFC 2348).
///
/// ```
/// use bbot_tftp::BlockSize;
/// assert_eq!(BlockSize::default().get(), 512);
/// assert_eq!(BlockSize::new(7), None);
/// assert_eq!("1428".parse(), Ok(BlockSize::new(1428).unwrap()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize(u16);

impl BlockSize {
    /// The smallest block size.
    pub const MIN: Self = Self(8);
    /// The largest block size.
    pub const MAX: Self = Self(65464);
    /// The block size of a transfer without the option (RFC 1350).
    pub const DEFAULT: Self = Self(512);

    /// Returns a block size of `bytes`, or `None` where RFC 2348 does not allow it.
    pub const fn new(bytes: u16) -> Option<Self> {
        if bytes < Self::MIN.0 || bytes > Self::MAX.0 { None } else { Some(Self(bytes)) }
    }

    /// The number of bytes.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for BlockSize {
    /// Returns [`BlockSize::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<BlockSize> for u16 {
    fn from(size: BlockSize) -> Self {
        size.0
    }
}

impl From<BlockSize> for u64 {
    fn from(size: BlockSize) -> Self {
        size.0.into()
    }
}

impl From<BlockSize> for usize {
    fn from(size: BlockSize) -> Self {
        size.0.into()
    }
}

impl TryFrom<u16> for BlockSize {
    type Error = InvalidBlockSize;

    fn try_from(bytes: u16) -> Result<Self, InvalidBlockSize> {
        Self::new(bytes).ok_or(InvalidBlockSize)
    }
}

impl FromStr for BlockSize {
    type Err = InvalidBlockSize;

    fn from_str(text: &str) -> Result<Self, InvalidBlockSize> {
        text.parse().ok().and_then(Self::new).ok_or(InvalidBlockSize)
    }
}

/// A number is not a block size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("a block size is a number from 8 to 65464")]
pub struct InvalidBlockSize;
