//! The text format, without serde: [`Parser`] and [`StreamParser`] return events, [`Serializer`]
//! writes pairs. And the notations that some values are written in: comments, lists of quoted words
//! and base64.
//!
//! `docs/format.md` specifies the format.
//!
//! ```
//! use bbot_manifest::{Event, Lines, Parser, Serializer};
//!
//! // Copies manifests without one of their values.
//! let input = ": 1\nname: libhello\nsecret: x\n:\nname: libbye\n";
//! let mut serializer = Serializer::new(Vec::new(), Lines::Wrapped);
//! for event in Parser::new(input).with_name("input") {
//!     match event? {
//!         Event::Start { .. } => serializer.start()?,
//!         Event::Pair(pair) if pair.name == "secret" => {}
//!         Event::Pair(pair) => serializer.pair(pair.name, &*pair.value)?,
//!         Event::End { .. } | Event::EndOfStream { .. } => {}
//!     }
//! }
//! assert_eq!(serializer.finish()?, b": 1\nname: libhello\n:\nname: libbye\n");
//! # Ok::<(), bbot_manifest::Error>(())
//! ```

mod ascii;
mod event;
mod fragment;
mod lines;
mod parser;
mod paths;
mod scanner;
mod sequence;
mod serializer;
mod stream;
mod unescape;
mod validated;
mod window;

pub use crate::encoding::{CodePointClass, EncodingError};
pub use crate::limits::{Limit, Limits};
pub use crate::position::Position;
pub use crate::value::base64::{Base64Error, decode_base64, encode_base64};
pub use crate::value::comment::Commented;
pub use crate::value::quoting::{QuotingError, quote_words, unquote_words};

pub use self::event::{Event, Pair};
pub use self::lines::Lines;
pub use self::parser::Parser;
pub use self::serializer::Serializer;
pub use self::stream::StreamParser;

pub(crate) use self::serializer::text as written_text;
