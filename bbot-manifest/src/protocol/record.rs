//! Reads the values of a manifest by name.

use std::str::FromStr;

use crate::error::{Error, ErrorKind, ValueError};
use crate::limits::Limits;
use crate::position::Position;
use crate::text::{Event, Pair, Parser};

/// The manifests of a stream.
pub(crate) struct Records<'a> {
    parser: Parser<'a>,
}

/// A manifest.
pub(crate) struct Record<'a> {
    pub(crate) start_at: Position,
    pub(crate) end_at: Position,
    /// The offset of its first line.
    pub(crate) start: usize,
    pub(crate) pairs: Vec<Pair<'a>>,
}

impl<'a> Records<'a> {
    pub(crate) fn new(input: &'a [u8], limits: Limits) -> Self {
        Self { parser: Parser::new(input).with_limits(limits) }
    }

    /// Returns the next manifest, if there is one.
    pub(crate) fn next_record(&mut self) -> Result<Option<Record<'a>>, Error> {
        let mut record = None;
        while let Some(event) = self.parser.next() {
            match event? {
                Event::Start { name_at, .. } => {
                    let start = self.parser.last_line_start();
                    record = Some(Record {
                        start_at: name_at,
                        end_at: name_at,
                        start,
                        pairs: Vec::new(),
                    });
                }
                Event::Pair(pair) => {
                    if let Some(record) = &mut record {
                        record.pairs.push(pair);
                    }
                }
                Event::End { at } => {
                    if let Some(record) = &mut record {
                        record.end_at = at;
                    }
                    break;
                }
                Event::EndOfStream { .. } => break,
            }
        }
        Ok(record)
    }

    /// Returns the next manifest; that there is none is an error.
    pub(crate) fn required(&mut self) -> Result<Record<'a>, Error> {
        let missing =
            |records: &Self| Error::at(records.parser.position(), ErrorKind::ManifestExpected);
        self.next_record()?.ok_or_else(|| missing(self))
    }
}

/// Reads the value of a pair.
pub(crate) trait PairExt {
    /// Returns the value, which must not be empty.
    fn filled(&self) -> Result<String, Error>;

    /// Parses the value.
    fn parsed<T: FromStr>(&self) -> Result<T, Error>
    where
        ValueError: From<T::Err>;

    /// Parses a number.
    fn number(&self) -> Result<u64, Error>;

    /// Parses `true` or `false`.
    fn boolean(&self) -> Result<bool, Error>;

    /// Returns the error that the value is invalid.
    fn invalid(&self, error: impl Into<ValueError>) -> Error;

    /// Returns the error that the kind of manifest has no such value.
    fn unknown(&self, manifest: &'static str) -> Error;

    /// Stores the value in its place, which must be empty.
    fn put<T>(&self, place: &mut Option<T>, value: T) -> Result<(), Error>;
}

impl PairExt for Pair<'_> {
    fn filled(&self) -> Result<String, Error> {
        if self.value.is_empty() {
            let kind = ErrorKind::Empty { value: self.name.to_owned() };
            return Err(Error::at(self.value_at, kind));
        }
        Ok(self.value.clone().into_owned())
    }

    fn parsed<T: FromStr>(&self) -> Result<T, Error>
    where
        ValueError: From<T::Err>,
    {
        self.value.parse().map_err(|error: T::Err| self.invalid(error))
    }

    fn number(&self) -> Result<u64, Error> {
        self.value.parse().map_err(|_| self.invalid(ValueError::Number))
    }

    fn boolean(&self) -> Result<bool, Error> {
        self.value.parse().map_err(|_| self.invalid(ValueError::Boolean))
    }

    fn invalid(&self, error: impl Into<ValueError>) -> Error {
        let kind = ErrorKind::Invalid { value: self.name.to_owned(), error: error.into() };
        Error::at(self.value_at, kind)
    }

    fn unknown(&self, manifest: &'static str) -> Error {
        let kind = ErrorKind::UnknownName { value: self.name.to_owned(), manifest };
        Error::at(self.name_at, kind)
    }

    fn put<T>(&self, place: &mut Option<T>, value: T) -> Result<(), Error> {
        if place.is_some() {
            let kind = ErrorKind::Redefinition { value: self.name.to_owned() };
            return Err(Error::at(self.name_at, kind));
        }
        *place = Some(value);
        Ok(())
    }
}

/// Returns a required value; `at` is the end of the manifest.
pub(crate) fn required<T>(place: Option<T>, name: &str, at: Position) -> Result<T, Error> {
    place.ok_or_else(|| Error::at(at, ErrorKind::Missing { value: name.to_owned() }))
}
