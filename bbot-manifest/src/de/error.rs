//! The errors of `Deserialize` implementations.

use std::fmt;

use crate::error::{Error, ErrorKind};

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(ErrorKind::Custom { value: None, message: message.to_string() })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(ErrorKind::Missing { value: field.to_owned() })
    }

    fn unknown_field(field: &str, _expected: &'static [&'static str]) -> Self {
        Self::new(ErrorKind::UnknownName { value: field.to_owned(), manifest: "" })
    }
}
