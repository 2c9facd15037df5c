//! The character layer: UTF-8, of which a manifest holds graphic code points, tabs and newlines
//! (docs/format.md, section 1.1).

mod block;
mod check;
mod class;
mod error;
mod utf8;

pub use self::class::CodePointClass;
pub use self::error::EncodingError;

pub(crate) use self::block::BLOCK;
pub(crate) use self::check::{check, first_refused};
pub(crate) use self::error::InvalidCodePoint;
pub(crate) use self::utf8::{decode, malformed};
