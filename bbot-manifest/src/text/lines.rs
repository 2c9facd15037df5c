//! The lengths of written lines.

/// How long a written line may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Lines {
    /// Lines are broken so that they have at most 78 code points, where the format allows it.
    #[default]
    Wrapped,
    /// Lines are as long as the lines of the values.
    Long,
}
