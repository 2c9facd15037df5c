//! The scanner: finds the pairs in a window of text, as offsets into it.
//!
//! It knows neither where the text comes from nor how values are built.

mod fast;
mod general;
mod state;
mod values;

pub(crate) use self::fast::Line;
pub(crate) use self::state::{RawPair, Scanner, Stop};
