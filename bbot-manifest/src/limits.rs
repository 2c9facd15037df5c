//! Bounds of what a parser accepts.

/// Bounds of what a parser accepts from a source that is not trusted.
///
/// The defaults are far above what the protocol needs and far below what harms a host.
///
/// ```
/// use bbot_manifest::{Limits, Parser};
///
/// let mut limits = Limits::default();
/// limits.value = 10;
/// let mut parser = Parser::new(b": 1\nsummary: longer than ten bytes\n").with_limits(limits);
/// assert!(parser.next().unwrap().is_ok()); // The start.
/// let error = parser.next().unwrap().unwrap_err();
/// assert_eq!(error.to_string(), "2:10: error: value is longer than 10");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the stream.
    pub bytes: u64,
    /// Manifests of the stream.
    pub manifests: u64,
    /// Pairs of the stream.
    pub pairs: u64,
    /// Bytes of a name.
    pub name: u64,
    /// Bytes of a value as it is written, including its line continuations; and of the spaces
    /// around the colon before it.
    pub value: u64,
}

impl Limits {
    /// No limits, for input that is trusted.
    pub const NONE: Self = Self {
        bytes: u64::MAX,
        manifests: u64::MAX,
        pairs: u64::MAX,
        name: u64::MAX,
        value: u64::MAX,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1 << 30, manifests: 1 << 22, pairs: 1 << 24, name: 1 << 12, value: 1 << 26 }
    }
}

/// One of the [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::bytes`].
    Bytes,
    /// [`Limits::manifests`].
    Manifests,
    /// [`Limits::pairs`].
    Pairs,
    /// [`Limits::name`].
    Name,
    /// [`Limits::value`].
    Value,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes of input are more than",
            Self::Manifests => "manifests are more than",
            Self::Pairs => "pairs are more than",
            Self::Name => "name is longer than",
            Self::Value => "value is longer than",
        })
    }
}
