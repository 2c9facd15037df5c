//! From pairs to manifests: the start and end of each.

use crate::error::{Error, ErrorKind};
use crate::limits::Limit;
use crate::position::Position;
use crate::text::event::{Event, Pair};
use crate::text::scanner::{Line, RawPair, Scanner, Stop};
use crate::text::unescape::unescape;
use crate::text::validated::Validated;
use crate::text::window::Window;

/// An event, as offsets into the window.
pub(crate) enum RawEvent {
    Start { name_at: Position, value_at: Position },
    Pair(RawPair),
    End { at: Position },
    EndOfStream { at: Position },
}

impl RawEvent {
    /// Returns the event; `text` is the text of the window.
    pub(crate) fn resolve(self, text: &str) -> Event<'_> {
        match self {
            Self::Start { name_at, value_at } => Event::Start { name_at, value_at },
            Self::Pair(RawPair { name, name_at, value, form, value_at }) => {
                let value = unescape(&text[value], form);
                Event::Pair(Pair { name: &text[name], value, name_at, value_at })
            }
            Self::End { at } => Event::End { at },
            Self::EndOfStream { at } => Event::EndOfStream { at },
        }
    }
}

/// What the next event can be.
enum Stage {
    /// The start of the first manifest, or the end of the stream.
    First,
    /// A pair, or the end of a manifest.
    Inside,
    /// The start of a manifest whose start pair has been scanned.
    Start { name_at: Position, value_at: Position },
    /// The end of the stream, after the end of its last manifest.
    Ended,
    /// Nothing.
    Done,
}

/// Returns events for pairs.
pub(crate) struct Sequence {
    pub(crate) scanner: Scanner,
    stage: Stage,
    manifests: u64,
    /// The first start pair may leave the version out.
    inherits: bool,
}

impl Sequence {
    pub(crate) fn new() -> Self {
        Self { scanner: Scanner::new(), stage: Stage::First, manifests: 0, inherits: false }
    }

    /// Lets the first start pair leave the version out.
    pub(crate) fn inherit_version(&mut self) {
        self.inherits = true;
    }

    /// Ends the sequence of events.
    pub(crate) fn close(&mut self) {
        self.stage = Stage::Done;
    }

    /// Whether there is no next event.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Whether the next event is a pair, or the end of a manifest.
    pub(crate) fn is_inside(&self) -> bool {
        matches!(self.stage, Stage::Inside)
    }

    /// Takes the next pair if the fast path can.
    #[inline]
    pub(crate) fn next_line(&mut self, text: &str, validated: &mut Validated) -> Option<Line> {
        if self.is_inside() { self.scanner.next_line(text, validated) } else { None }
    }

    /// Takes the next end or start of a manifest if the fast path can.
    #[inline]
    pub(crate) fn next_mark(
        &mut self,
        text: &str,
        validated: &mut Validated,
    ) -> Option<Event<'static>> {
        match self.stage {
            Stage::Inside if self.manifests < self.scanner.limits().manifests => {
                let at = self.scanner.next_bare_start(text, validated)?;
                self.manifests += 1;
                self.stage = Stage::Start { name_at: at, value_at: at.right(1) };
                Some(Event::End { at })
            }
            Stage::Start { name_at, value_at } => {
                self.stage = Stage::Inside;
                Some(Event::Start { name_at, value_at })
            }
            _ => None,
        }
    }

    /// Returns the next event by the general path; `None` after the last one and after an error.
    pub(crate) fn next_event(&mut self, w: Window<'_>) -> Result<Option<RawEvent>, Stop> {
        let event = match self.stage {
            Stage::First => self.first(w),
            Stage::Inside => self.inside(w),
            Stage::Start { name_at, value_at } => {
                self.stage = Stage::Inside;
                Ok(RawEvent::Start { name_at, value_at })
            }
            Stage::Ended => {
                self.stage = Stage::Done;
                Ok(RawEvent::EndOfStream { at: self.scanner.position() })
            }
            Stage::Done => return Ok(None),
        };
        if let Err(Stop::Fail(_)) = event {
            self.stage = Stage::Done;
        }
        event.map(Some)
    }

    fn first(&mut self, w: Window<'_>) -> Result<RawEvent, Stop> {
        let Some(pair) = self.scanner.next_pair(w)? else {
            self.stage = Stage::Done;
            return Ok(RawEvent::EndOfStream { at: self.scanner.position() });
        };
        if !pair.name.is_empty() {
            return Err(Error::at(pair.name_at, ErrorKind::VersionPairExpected).into());
        }
        // The value as it is written can hold a newline although the value is empty.
        let version = unescape(&w.text[pair.value.clone()], pair.form);
        if version.is_empty() && !self.inherits {
            return Err(Error::at(pair.value_at, ErrorKind::VersionValueExpected).into());
        }
        self.start(w, &pair)?;
        self.stage = Stage::Inside;
        Ok(RawEvent::Start { name_at: pair.name_at, value_at: pair.value_at })
    }

    fn inside(&mut self, w: Window<'_>) -> Result<RawEvent, Stop> {
        let Some(pair) = self.scanner.next_pair(w)? else {
            self.stage = Stage::Ended;
            return Ok(RawEvent::End { at: self.scanner.position() });
        };
        if !pair.name.is_empty() {
            return Ok(RawEvent::Pair(pair));
        }
        self.start(w, &pair)?;
        self.stage = Stage::Start { name_at: pair.name_at, value_at: pair.value_at };
        Ok(RawEvent::End { at: pair.name_at })
    }

    /// Checks a start pair: an empty version stands for that of the manifest before.
    fn start(&mut self, w: Window<'_>, pair: &RawPair) -> Result<(), Stop> {
        let version = unescape(&w.text[pair.value.clone()], pair.form);
        if !matches!(&*version, "" | "1") {
            let kind = ErrorKind::UnsupportedVersion(version.into_owned());
            return Err(Error::at(pair.value_at, kind).into());
        }
        self.count(pair.name_at)
    }

    /// Counts a manifest that starts at `at`.
    fn count(&mut self, at: Position) -> Result<(), Stop> {
        self.manifests += 1;
        let maximum = self.scanner.limits().manifests;
        if self.manifests > maximum {
            let kind = ErrorKind::Limit { limit: Limit::Manifests, maximum };
            return Err(Error::at(at, kind).into());
        }
        Ok(())
    }
}
