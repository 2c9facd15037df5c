//! What the parsers give.

use std::borrow::Cow;

use crate::position::Position;

/// A step through a stream of manifests.
///
/// For each manifest comes a [`Start`](Self::Start), its [`Pair`](Self::Pair)s and an
/// [`End`](Self::End); after the last one comes one [`EndOfStream`](Self::EndOfStream).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A manifest starts.
    Start {
        /// Where its colon is.
        name_at: Position,
        /// Where the format version is, or would be.
        value_at: Position,
    },
    /// A name and its value.
    Pair(Pair<'a>),
    /// A manifest ends.
    End {
        /// Where the next one starts, or the stream ends.
        at: Position,
    },
    /// The stream ends.
    EndOfStream {
        /// Where.
        at: Position,
    },
}

/// A name and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The name; not empty.
    pub name: &'a str,
    /// The value: borrowed, unless the text breaks it with a backslash or a CR.
    pub value: Cow<'a, str>,
    /// Where the name is.
    pub name_at: Position,
    /// Where the value is: its first code point, or where that would be.
    pub value_at: Position,
}
