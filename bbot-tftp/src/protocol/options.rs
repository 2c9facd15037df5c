//! Options of RFC 2347, 2348, 2349 and 7440, and which values of them are granted.

use std::num::{NonZeroU8, NonZeroU16};

use super::block_size::BlockSize;

/// A set of options: requested by a client, or granted by a server in an OACK.
///
/// ```
/// use bbot_tftp::{BlockSize, Options};
/// let requested = Options { block_size: BlockSize::new(1428), ..Options::default() };
/// assert_eq!(requested.to_pairs(), [("blksize", "1428".to_owned())]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Options {
    /// `blksize`, in bytes (RFC 2348).
    pub block_size: Option<BlockSize>,
    /// `windowsize`, in blocks (RFC 7440).
    pub window_size: Option<NonZeroU16>,
    /// `timeout`, in seconds (RFC 2349).
    pub timeout: Option<NonZeroU8>,
    /// `tsize`, in bytes (RFC 2349).
    pub transfer_size: Option<u64>,
}

/// The greatest values that a server grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OptionLimits {
    /// The largest block size.
    pub block_size: BlockSize,
    /// The largest window size, in blocks.
    pub window_size: NonZeroU16,
}

impl OptionLimits {
    /// Limits of the two options that a server may lower.
    pub const fn new(block_size: BlockSize, window_size: NonZeroU16) -> Self {
        Self { block_size, window_size }
    }
}

impl Options {
    /// Reads the pairs of a request or of an OACK.
    ///
    /// Options that are unknown, out of range or not a plain decimal number are left out. Of an
    /// option that occurs twice, the first counts. A `blksize` above the largest is read as the
    /// largest.
    pub fn parse(pairs: &[(&[u8], &[u8])]) -> Self {
        let mut options = Self::default();
        for (name, value) in pairs {
            let Some(value) = number(value) else { continue };
            if name.eq_ignore_ascii_case(b"blksize") {
                let bytes = value.min(BlockSize::MAX.into());
                let size = u16::try_from(bytes).ok().and_then(BlockSize::new);
                options.block_size = options.block_size.or(size);
            } else if name.eq_ignore_ascii_case(b"windowsize") {
                let blocks = u16::try_from(value).ok().and_then(NonZeroU16::new);
                options.window_size = options.window_size.or(blocks);
            } else if name.eq_ignore_ascii_case(b"timeout") {
                let seconds = u8::try_from(value).ok().and_then(NonZeroU8::new);
                options.timeout = options.timeout.or(seconds);
            } else if name.eq_ignore_ascii_case(b"tsize") {
                options.transfer_size = options.transfer_size.or(Some(value));
            }
        }
        options
    }

    /// Returns the options to grant: never a greater value than requested, never an option that
    /// was not requested (T7).
    ///
    /// `size` is the true size of a file that is read; of one that is written, the requested size
    /// is repeated.
    ///
    /// ```
    /// use std::num::NonZeroU16;
    /// use bbot_tftp::{BlockSize, OptionLimits, Options};
    /// let requested = Options {
    ///     block_size: BlockSize::new(9000),
    ///     window_size: NonZeroU16::new(4),
    ///     ..Options::default()
    /// };
    /// let limits = OptionLimits::new(BlockSize::new(1428).unwrap(), NonZeroU16::MAX);
    /// let granted = requested.negotiate(limits, None);
    /// assert_eq!(granted.block_size, BlockSize::new(1428));
    /// assert_eq!(granted.window_size, NonZeroU16::new(4));
    /// assert_eq!(granted.transfer_size, None);
    /// ```
    #[must_use]
    pub fn negotiate(&self, limits: OptionLimits, size: Option<u64>) -> Self {
        Self {
            block_size: self.block_size.map(|b| b.min(limits.block_size)),
            window_size: self.window_size.map(|w| w.min(limits.window_size)),
            timeout: self.timeout,
            transfer_size: self.transfer_size.map(|requested| size.unwrap_or(requested)),
        }
    }

    /// Returns whether a server may grant `granted` where `self` was requested (RFC 2347).
    pub fn allows(&self, granted: &Self) -> bool {
        fn is_at_most<T: Copy + Ord>(granted: Option<T>, requested: Option<T>) -> bool {
            granted.is_none() || (requested.is_some() && granted <= requested)
        }
        is_at_most(granted.block_size, self.block_size)
            && is_at_most(granted.window_size, self.window_size)
            && (granted.timeout.is_none() || granted.timeout == self.timeout)
            && (granted.transfer_size.is_none() || self.transfer_size.is_some())
    }

    /// Returns whether the set is empty, so that no OACK is sent (T7).
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the name and the value of each option, as they are written into a packet.
    pub fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::with_capacity(4);
        pairs.extend(self.block_size.map(|v| ("blksize", v.to_string())));
        pairs.extend(self.window_size.map(|v| ("windowsize", v.to_string())));
        pairs.extend(self.timeout.map(|v| ("timeout", v.to_string())));
        pairs.extend(self.transfer_size.map(|v| ("tsize", v.to_string())));
        pairs
    }
}

/// Parses 1 to 20 ASCII digits.
fn number(text: &[u8]) -> Option<u64> {
    let digits = (1..=20).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> OptionLimits {
        OptionLimits::new(BlockSize::new(1428).unwrap(), NonZeroU16::new(16).unwrap())
    }

    #[track_caller]
    fn check(pairs: &[(&str, &str)], expected: &[(&str, &str)]) {
        let raw: Vec<_> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let granted = Options::parse(&raw).negotiate(limits(), None).to_pairs();
        let granted: Vec<_> = granted.iter().map(|(n, v)| (*n, v.as_str())).collect();
        assert_eq!(granted, expected);
    }

    /// T7: values only decrease; each option occurs once, and only if it was requested.
    #[test]
    fn values_only_decrease() {
        check(&[], &[]);
        check(&[("BlkSize", "9000"), ("blksize", "8")], &[("blksize", "1428")]);
        check(&[("multicast", ""), ("x", "1")], &[]);
        check(&[("windowsize", "64")], &[("windowsize", "16")]);
        check(&[("windowsize", "3")], &[("windowsize", "3")]);
    }

    /// T9: a block size is a decimal number of at least 8.
    #[test]
    fn block_sizes() {
        check(&[("blksize", "8")], &[("blksize", "8")]);
        check(&[("blksize", "99999999999999999999")], &[]);
        check(&[("blksize", "70000")], &[("blksize", "1428")]);
        for bad in ["7", "0", "-1", "512x", "abc", "", " 512", "+512", "512.0", "0x200"] {
            check(&[("blksize", bad)], &[]);
        }
    }

    /// T10, T11: a timeout is granted unchanged or not at all; a window has at least one block.
    #[test]
    fn timeouts_and_windows() {
        check(&[("timeout", "255")], &[("timeout", "255")]);
        for bad in ["0", "256", "1.5"] {
            check(&[("timeout", bad)], &[]);
        }
        check(&[("windowsize", "0")], &[]);
        check(&[("windowsize", "65536")], &[]);
    }

    /// T10: `tsize` is answered with the true size, or repeated.
    #[test]
    fn sizes() {
        let requested = Options::parse(&[(b"tsize", b"0")]);
        assert_eq!(requested.negotiate(limits(), Some(77)).transfer_size, Some(77));
        assert_eq!(Options::default().negotiate(limits(), Some(77)).transfer_size, None);
        check(&[("tsize", "4611686018427387904")], &[("tsize", "4611686018427387904")]);
    }

    /// T7, seen from the client: an OACK with a greater value or an added option is refused.
    #[test]
    fn answers_are_checked() {
        let blocks = |bytes| Options { block_size: BlockSize::new(bytes), ..Options::default() };
        let timeout = |seconds| Options { timeout: NonZeroU8::new(seconds), ..Options::default() };
        let requested = Options { block_size: BlockSize::new(1024), ..timeout(2) };
        assert!(requested.allows(&Options::default()));
        assert!(requested.allows(&blocks(512)));
        assert!(!requested.allows(&blocks(1025)));
        assert!(!requested.allows(&timeout(1)));
        assert!(!requested.allows(&Options { transfer_size: Some(1), ..Options::default() }));
        let window_size = NonZeroU16::new(1);
        assert!(!requested.allows(&Options { window_size, ..Options::default() }));
    }
}
