//! The errors of `Serialize` implementations.

use std::fmt::Display;

use crate::error::{Error, ErrorKind};

impl serde::ser::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(ErrorKind::Custom { value: None, message: message.to_string() })
    }
}
