//! From pairs to manifests: where each starts and ends.

use crate::error::{Error, ErrorKind};
use crate::event::{Event, Pair};
use crate::limits::Limit;
use crate::position::Position;
use crate::scan::{Line, RawPair, Scanner, Stop, Window};
use crate::survey::Survey;
use crate::unfold::unfold;

/// A step, as offsets.
pub(crate) enum RawEvent {
    Start { name_at: Position, value_at: Position },
    Pair(RawPair),
    End { at: Position },
    EndOfStream { at: Position },
}

impl RawEvent {
    /// Returns the event with its text, which is in `text`.
    pub(crate) fn resolve(self, text: &str) -> Event<'_> {
        match self {
            Self::Start { name_at, value_at } => Event::Start { name_at, value_at },
            Self::Pair(RawPair { name, name_at, value, form, value_at }) => {
                let value = unfold(&text[value], form);
                Event::Pair(Pair { name: &text[name], value, name_at, value_at })
            }
            Self::End { at } => Event::End { at },
            Self::EndOfStream { at } => Event::EndOfStream { at },
        }
    }
}

/// What the next step can be.
enum Stage {
    /// The start of the first manifest, or the end of the stream.
    First,
    /// A pair, or the end of a manifest.
    Inside,
    /// The start of a manifest whose start pair has been read.
    Start { name_at: Position, value_at: Position },
    /// The end of the stream, after the end of its last manifest.
    Ended,
    /// Nothing.
    Done,
}

/// Makes events of pairs.
pub(crate) struct Sequence {
    pub(crate) scanner: Scanner,
    stage: Stage,
    manifests: u64,
    /// The version was said before: the first start need not say it.
    inherits: bool,
}

impl Sequence {
    pub(crate) fn new() -> Self {
        Self { scanner: Scanner::new(), stage: Stage::First, manifests: 0, inherits: false }
    }

    /// Lets the first manifest inherit the version.
    pub(crate) fn inherit_version(&mut self) {
        self.inherits = true;
    }

    /// Makes the present step the last one.
    pub(crate) fn close(&mut self) {
        self.stage = Stage::Done;
    }

    /// Whether there is no next step.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Whether the next step is a pair, or the end of a manifest.
    pub(crate) fn is_inside(&self) -> bool {
        matches!(self.stage, Stage::Inside)
    }

    /// Takes the next pair if it is a usual one, and all of it is in the window.
    #[inline]
    pub(crate) fn next_line(&mut self, text: &str, survey: &mut Survey) -> Option<Line> {
        if self.is_inside() { self.scanner.next_line(text, survey) } else { None }
    }

    /// Takes the next end or start of a manifest if it is a usual one.
    #[inline]
    pub(crate) fn next_mark(&mut self, text: &str, survey: &mut Survey) -> Option<Event<'static>> {
        match self.stage {
            Stage::Inside if self.manifests < self.scanner.limits().manifests => {
                let at = self.scanner.next_bare_start(text, survey)?;
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

    /// Returns the next step; `None` after the last one and after an error.
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
        // The value as it is written may have a newline where the value itself is empty.
        let version = unfold(&w.text[pair.value.clone()], pair.form);
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

    /// Judges a start pair: an empty version is the one of the manifest before.
    fn start(&mut self, w: Window<'_>, pair: &RawPair) -> Result<(), Stop> {
        let version = unfold(&w.text[pair.value.clone()], pair.form);
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
