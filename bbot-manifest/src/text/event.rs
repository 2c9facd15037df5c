//! The events that the parsers return.

use std::borrow::Cow;

use crate::position::Position;

/// A step through a stream of manifests.
///
/// Each manifest is a [`Start`](Self::Start), its [`Pair`](Self::Pair)s and an
/// [`End`](Self::End); one [`EndOfStream`](Self::EndOfStream) follows the last manifest.
///
/// The format is frozen, so that there will be no other events: a `match` needs no `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A manifest starts.
    Start {
        /// The position of its colon.
        name_at: Position,
        /// The position of the format version, or where one could be.
        value_at: Position,
    },
    /// A name and its value.
    Pair(Pair<'a>),
    /// A manifest ends.
    End {
        /// The position of the next manifest, or of the end of the stream.
        at: Position,
    },
    /// The stream ends.
    EndOfStream {
        /// The position of the end.
        at: Position,
    },
}

/// A name and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pair<'a> {
    /// The name; not empty.
    pub name: &'a str,
    /// The value: borrowed, unless the text continues a line or has a CR within it.
    pub value: Cow<'a, str>,
    /// The position of the name.
    pub name_at: Position,
    /// The position of the first code point of the value, or where that could be.
    pub value_at: Position,
}
