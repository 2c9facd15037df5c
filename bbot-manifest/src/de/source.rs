//! Reads manifests from a parser, one at a time.

use std::borrow::Cow;
use std::io::BufRead;

use crate::error::{Error, ErrorKind};
use crate::position::Position;
use crate::text::{Event, Parser, StreamParser};

/// A name and its value.
pub(crate) struct Entry<'de> {
    pub(crate) name: Cow<'de, str>,
    pub(crate) value: Cow<'de, str>,
    pub(crate) name_at: Position,
    pub(crate) value_at: Position,
}

/// An event, as far as [`Manifests`] needs it.
pub(crate) enum Step<'de> {
    Start(Position),
    Entry(Entry<'de>),
    End(Position),
}

/// A parser whose names and values live for `'de`.
pub(crate) trait Source<'de> {
    fn next_step(&mut self) -> Result<Step<'de>, Error>;
}

pub(crate) struct InMemory<'de>(pub(crate) Parser<'de>);

impl<'de> Source<'de> for InMemory<'de> {
    fn next_step(&mut self) -> Result<Step<'de>, Error> {
        let at = self.0.position();
        Ok(match self.0.next().transpose()? {
            Some(Event::Start { name_at, .. }) => Step::Start(name_at),
            Some(Event::Pair(pair)) => Step::Entry(Entry {
                name: Cow::Borrowed(pair.name),
                value: pair.value,
                name_at: pair.name_at,
                value_at: pair.value_at,
            }),
            Some(Event::End { at } | Event::EndOfStream { at }) => Step::End(at),
            None => Step::End(at),
        })
    }
}

pub(crate) struct Streamed<R>(pub(crate) StreamParser<R>);

impl<'de, R: BufRead> Source<'de> for Streamed<R> {
    fn next_step(&mut self) -> Result<Step<'de>, Error> {
        let at = self.0.position();
        Ok(match self.0.next_event()? {
            Some(Event::Start { name_at, .. }) => Step::Start(name_at),
            Some(Event::Pair(pair)) => Step::Entry(Entry {
                name: Cow::Owned(pair.name.to_owned()),
                value: Cow::Owned(pair.value.into_owned()),
                name_at: pair.name_at,
                value_at: pair.value_at,
            }),
            Some(Event::End { at } | Event::EndOfStream { at }) => Step::End(at),
            None => Step::End(at),
        })
    }
}

/// A manifest: its values by name, in the order of the first value of each name.
pub(crate) struct Record<'de> {
    pub(crate) groups: Vec<Group<'de>>,
    pub(crate) end_at: Position,
}

/// The values of one name; at least one.
pub(crate) struct Group<'de> {
    pub(crate) first: Entry<'de>,
    pub(crate) others: Vec<Entry<'de>>,
}

/// The manifests of a stream.
pub(crate) struct Manifests<'s, S> {
    source: &'s mut S,
    /// The position of the next manifest, if its start has been read.
    ahead: Option<Position>,
    /// The position of the end of the last manifest.
    at: Position,
}

impl<'s, S> Manifests<'s, S> {
    pub(crate) fn new(source: &'s mut S) -> Self {
        Self { source, ahead: None, at: Position::START }
    }

    /// Whether there is another manifest.
    pub(crate) fn is_next<'de>(&mut self) -> Result<bool, Error>
    where
        S: Source<'de>,
    {
        if self.ahead.is_none() {
            match self.source.next_step()? {
                Step::Start(at) => self.ahead = Some(at),
                Step::Entry(entry) => self.at = entry.name_at,
                Step::End(at) => self.at = at,
            }
        }
        Ok(self.ahead.is_some())
    }

    /// Returns the next manifest; that there is none is an error.
    pub(crate) fn next_record<'de>(&mut self) -> Result<Record<'de>, Error>
    where
        S: Source<'de>,
    {
        if !self.is_next()? {
            return Err(Error::at(self.at, ErrorKind::ManifestExpected));
        }
        self.ahead = None;
        let mut entries = Vec::new();
        loop {
            match self.source.next_step()? {
                Step::Entry(entry) => entries.push(entry),
                Step::Start(at) | Step::End(at) => {
                    self.at = at;
                    return Ok(Record { groups: group(entries), end_at: at });
                }
            }
        }
    }

    /// Checks that no manifest is left.
    pub(crate) fn finish<'de>(mut self) -> Result<(), Error>
    where
        S: Source<'de>,
    {
        self.is_next()?;
        match self.ahead {
            None => Ok(()),
            Some(at) => Err(Error::at(at, ErrorKind::SingleManifestExpected)),
        }
    }
}

/// Groups values by name.
fn group(entries: Vec<Entry<'_>>) -> Vec<Group<'_>> {
    // Sorted by name to find repeated names, so that the time does not grow with the square of
    // their number.
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by(|&a, &b| entries[a].name.cmp(&entries[b].name));
    // The index of the first entry with the same name, for each entry.
    let mut first: Vec<usize> = (0..entries.len()).collect();
    for pair in order.windows(2) {
        if entries[pair[0]].name == entries[pair[1]].name {
            first[pair[1]] = first[pair[0]];
        }
    }
    let mut groups: Vec<Group<'_>> = Vec::with_capacity(entries.len());
    // The index of the group, for each entry that starts one.
    let mut places = first.clone();
    for (index, entry) in entries.into_iter().enumerate() {
        if first[index] == index {
            places[index] = groups.len();
            groups.push(Group { first: entry, others: Vec::new() });
        } else {
            groups[places[first[index]]].others.push(entry);
        }
    }
    groups
}
