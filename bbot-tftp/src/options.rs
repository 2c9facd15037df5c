//! Options of RFC 2347, 2348, 2349 and 7440, and how much of them is granted.

/// The smallest block of RFC 2348.
pub const MIN_BLOCK_SIZE: u16 = 8;
/// The greatest block of RFC 2348.
pub const MAX_BLOCK_SIZE: u16 = 65464;
/// The block size without the option.
pub const DEFAULT_BLOCK_SIZE: u16 = 512;

/// A set of options: asked for in a request, or granted in an OACK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `blksize`, in bytes.
    pub block_size: Option<u16>,
    /// `windowsize`, in blocks.
    pub window_size: Option<u16>,
    /// `timeout`, in seconds.
    pub timeout: Option<u8>,
    /// `tsize`, in bytes.
    pub transfer_size: Option<u64>,
}

/// The most that a server grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The greatest block size.
    pub block_size: u16,
    /// The widest window.
    pub window_size: u16,
}

impl Options {
    /// Reads the pairs of a request or of an OACK.
    ///
    /// What is unknown, out of range or not a plain number is left out; of an option that is
    /// there twice the first counts. A `blksize` above the greatest is read as the greatest.
    pub fn parse(pairs: &[(&[u8], &[u8])]) -> Self {
        let mut options = Self::default();
        for (name, value) in pairs {
            let Some(value) = number(value) else { continue };
            if name.eq_ignore_ascii_case(b"blksize") {
                let size = value.min(u64::from(MAX_BLOCK_SIZE));
                let size = u16::try_from(size).ok().filter(|s| *s >= MIN_BLOCK_SIZE);
                options.block_size = options.block_size.or(size);
            } else if name.eq_ignore_ascii_case(b"windowsize") {
                let blocks = u16::try_from(value).ok().filter(|w| *w > 0);
                options.window_size = options.window_size.or(blocks);
            } else if name.eq_ignore_ascii_case(b"timeout") {
                let seconds = u8::try_from(value).ok().filter(|t| *t > 0);
                options.timeout = options.timeout.or(seconds);
            } else if name.eq_ignore_ascii_case(b"tsize") {
                options.transfer_size = options.transfer_size.or(Some(value));
            }
        }
        options
    }

    /// Returns what is granted of `self`: never more, never what was not asked for.
    ///
    /// `size` is the file's true size where it is known; else the asked one is echoed.
    ///
    /// ```
    /// use bbot_tftp::{Grant, Options};
    /// let asked = Options { block_size: Some(9000), window_size: Some(4), ..Options::default() };
    /// let granted = asked.negotiate(Grant { block_size: 1428, window_size: 64 }, None);
    /// assert_eq!((granted.block_size, granted.window_size), (Some(1428), Some(4)));
    /// assert_eq!(granted.transfer_size, None);
    /// ```
    #[must_use]
    pub fn negotiate(&self, most: Grant, size: Option<u64>) -> Self {
        Self {
            block_size: self.block_size.map(|b| b.min(most.block_size.max(MIN_BLOCK_SIZE))),
            window_size: self.window_size.map(|w| w.min(most.window_size.max(1))),
            timeout: self.timeout,
            transfer_size: self.transfer_size.map(|asked| size.unwrap_or(asked)),
        }
    }

    /// Tells whether a server that was asked for `self` may answer with `granted` (RFC 2347).
    pub fn allows(&self, granted: &Self) -> bool {
        fn shrunk(asked: Option<u16>, granted: Option<u16>) -> bool {
            granted.is_none() || (asked.is_some() && granted <= asked)
        }
        shrunk(self.block_size, granted.block_size)
            && shrunk(self.window_size, granted.window_size)
            && (granted.timeout.is_none() || granted.timeout == self.timeout)
            && (granted.transfer_size.is_none() || self.transfer_size.is_some())
    }

    /// Tells whether there is no option at all, and so no OACK.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns name and value of each option, as they go into a packet.
    pub fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::with_capacity(4);
        pairs.extend(self.block_size.map(|v| ("blksize", v.to_string())));
        pairs.extend(self.window_size.map(|v| ("windowsize", v.to_string())));
        pairs.extend(self.timeout.map(|v| ("timeout", v.to_string())));
        pairs.extend(self.transfer_size.map(|v| ("tsize", v.to_string())));
        pairs
    }
}

/// Reads ASCII digits only, at most 20 of them.
fn number(text: &[u8]) -> Option<u64> {
    let digits = (1..=20).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Grant = Grant { block_size: 1428, window_size: 16 };

    #[track_caller]
    fn check(pairs: &[(&str, &str)], expected: &[(&str, &str)]) {
        let raw: Vec<_> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let granted = Options::parse(&raw).negotiate(MOST, None).to_pairs();
        let granted: Vec<_> = granted.iter().map(|(n, v)| (*n, v.as_str())).collect();
        assert_eq!(granted, expected);
    }

    /// T7: options only shrink, each once, never one that was not asked for.
    #[test]
    fn only_shrink() {
        check(&[], &[]);
        check(&[("BlkSize", "9000"), ("blksize", "8")], &[("blksize", "1428")]);
        check(&[("multicast", ""), ("x", "1")], &[]);
        check(&[("windowsize", "64")], &[("windowsize", "16")]);
        check(&[("windowsize", "3")], &[("windowsize", "3")]);
    }

    /// T9: block sizes are strict numbers from 8 on.
    #[test]
    fn block_sizes() {
        check(&[("blksize", "8")], &[("blksize", "8")]);
        check(&[("blksize", "99999999999999999999")], &[]);
        check(&[("blksize", "70000")], &[("blksize", "1428")]);
        for bad in ["7", "0", "-1", "512x", "abc", "", " 512", "+512", "512.0", "0x200"] {
            check(&[("blksize", bad)], &[]);
        }
    }

    /// T10, T11: a timeout is taken unchanged or not at all; a window has at least one block.
    #[test]
    fn timeouts_and_windows() {
        check(&[("timeout", "255")], &[("timeout", "255")]);
        for bad in ["0", "256", "1.5"] {
            check(&[("timeout", bad)], &[]);
        }
        check(&[("windowsize", "0")], &[]);
        check(&[("windowsize", "65536")], &[]);
    }

    /// T10: a size is answered with the true size, or echoed.
    #[test]
    fn sizes() {
        let asked = Options::parse(&[(b"tsize", b"0")]);
        assert_eq!(asked.negotiate(MOST, Some(77)).transfer_size, Some(77));
        assert_eq!(Options::default().negotiate(MOST, Some(77)).transfer_size, None);
        check(&[("tsize", "4611686018427387904")], &[("tsize", "4611686018427387904")]);
    }

    /// T7, seen from the client: an OACK that grows or adds an option is refused.
    #[test]
    fn answers_are_checked() {
        let asked = Options { block_size: Some(1024), timeout: Some(2), ..Options::default() };
        assert!(asked.allows(&Options::default()));
        assert!(asked.allows(&Options { block_size: Some(512), ..Options::default() }));
        assert!(!asked.allows(&Options { block_size: Some(1025), ..Options::default() }));
        assert!(!asked.allows(&Options { timeout: Some(1), ..Options::default() }));
        assert!(!asked.allows(&Options { transfer_size: Some(1), ..Options::default() }));
        assert!(!asked.allows(&Options { window_size: Some(1), ..Options::default() }));
    }
}
