//! One manifest's values, read and written by name.

use std::borrow::Cow;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::event::{Event, Pair};
use crate::limits::Limits;
use crate::manifest::Body;
use crate::parser::Parser;
use crate::position::Position;
use crate::serializer::{Lines, Serializer};
use crate::value_error::ValueError;

/// The manifests of a stream.
pub(crate) struct Records<'a> {
    parser: Parser<'a>,
}

/// A manifest.
pub(crate) struct Record<'a> {
    pub(crate) start_at: Position,
    pub(crate) end_at: Position,
    /// The offset of the line that it starts with.
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

    /// Returns the next manifest, which must be there.
    pub(crate) fn required(&mut self) -> Result<Record<'a>, Error> {
        let missing =
            |records: &Self| Error::at(records.parser.position(), ErrorKind::ManifestExpected);
        self.next_record()?.ok_or_else(|| missing(self))
    }
}

/// What one can ask of a value.
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

    /// Returns the error that the value is wrong.
    fn invalid(&self, source: impl Into<ValueError>) -> Error;

    /// Returns the error that the manifest knows no such value.
    fn unknown(&self, manifest: &'static str) -> Error;

    /// Puts the value where it belongs, unless there is one already.
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
        self.value.parse().map_err(|_| self.invalid(ValueError::Word("true or false")))
    }

    fn invalid(&self, source: impl Into<ValueError>) -> Error {
        let kind = ErrorKind::Invalid { value: self.name.to_owned(), source: source.into() };
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

/// Returns a value that must be there; `at` is the end of the manifest.
pub(crate) fn required<T>(place: Option<T>, name: &str, at: Position) -> Result<T, Error> {
    place.ok_or_else(|| Error::at(at, ErrorKind::Missing { value: name.to_owned() }))
}

/// Writes manifests to a text.
pub(crate) struct Writer {
    serializer: Serializer<Vec<u8>>,
}

impl Writer {
    pub(crate) fn new(lines: Lines) -> Self {
        Self { serializer: Serializer::new(Vec::new(), lines) }
    }

    /// Writes a manifest.
    pub(crate) fn manifest(&mut self, body: &impl Body) -> Result<(), Error> {
        self.start()?;
        body.write(self)
    }

    /// Starts a manifest.
    pub(crate) fn start(&mut self) -> Result<(), Error> {
        self.serializer.start()
    }

    /// Writes a value.
    pub(crate) fn pair(&mut self, name: &str, value: impl ToText) -> Result<(), Error> {
        self.serializer.pair(name, &*value.to_text())
    }

    /// Writes a value that may be absent.
    pub(crate) fn optional(&mut self, name: &str, value: Option<impl ToText>) -> Result<(), Error> {
        value.map_or(Ok(()), |value| self.pair(name, value))
    }

    /// Writes a value that may be there several times.
    pub(crate) fn repeated<T: ToText>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = T>,
    ) -> Result<(), Error> {
        values.into_iter().try_for_each(|value| self.pair(name, value))
    }

    /// Returns the text.
    pub(crate) fn finish(self) -> Result<String, Error> {
        Ok(crate::serializer::text(self.serializer.finish()?))
    }
}

/// What can be written as a value.
pub(crate) trait ToText {
    /// Returns the text.
    fn to_text(&self) -> Cow<'_, str>;
}

impl<T: ToText + ?Sized> ToText for &T {
    fn to_text(&self) -> Cow<'_, str> {
        (**self).to_text()
    }
}

impl ToText for str {
    fn to_text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl ToText for String {
    fn to_text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

macro_rules! to_text {
    ($($type:ty),* $(,)?) => {$(
        impl ToText for $type {
            fn to_text(&self) -> Cow<'_, str> {
                Cow::Owned(self.to_string())
            }
        }
    )*};
}

to_text!(
    u64,
    bool,
    crate::InteractiveMode,
    crate::MacAddress,
    crate::MachineName,
    crate::MachineRole,
    crate::MachineType,
    crate::PackageName,
    crate::PackageVersion,
    crate::RepositoryType,
    crate::ResultStatus,
    crate::StandardVersion,
    crate::TargetTriplet,
    crate::TaskRequirement,
    crate::TestDependency,
);
