//! Changes to a task that leave the rest of its text alone.

use std::ops::Range;

use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::parser::Parser;
use crate::serializer::{Lines, Serializer};

/// What an agent changes in a task before a worker gets it.
///
/// Pairs that it does not change stay byte for byte, those that it does not know too.
///
/// ```
/// use bbot_manifest::TaskEdit;
///
/// let task = ":\nname: libhello\nx-new:   as it was\nworker-checksum: 1\n";
/// let edit = TaskEdit { trust: Some(&["yes".to_owned()]), drop_worker_checksum: true };
/// assert_eq!(edit.apply(task)?, ": 1\nname: libhello\ntrust: yes\nx-new:   as it was\n");
/// # Ok::<(), bbot_manifest::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskEdit<'a> {
    /// The values of `trust` that replace those of the task.
    pub trust: Option<&'a [String]>,
    /// `worker-checksum` goes.
    pub drop_worker_checksum: bool,
}

/// A pair's name and lines.
struct Lot<'a> {
    name: &'a str,
    lines: Range<usize>,
}

impl TaskEdit<'_> {
    /// Returns the task, changed, as a stream of its own; `task` starts with its first line.
    ///
    /// # Errors
    ///
    /// The text is not one manifest, or a value of `trust` cannot be written.
    pub fn apply(&self, task: &str) -> Result<String, Error> {
        let (body, lots) = lots(task)?;
        let insert_at = self.trust.and_then(|_| trust_place(&lots)).unwrap_or(task.len());
        let mut text = String::with_capacity(task.len() + 4);
        text.push_str(": 1\n");
        let mut copied = body;
        let mut inserted = self.trust.is_none();
        for lot in &lots {
            if !inserted && lot.lines.start >= insert_at {
                text.push_str(&task[copied..lot.lines.start]);
                copied = lot.lines.start;
                self.push_trust(&mut text)?;
                inserted = true;
            }
            if self.drops(lot.name) {
                text.push_str(&task[copied..lot.lines.start]);
                copied = lot.lines.end;
            }
        }
        if !inserted {
            self.push_trust(&mut text)?;
        }
        text.push_str(&task[copied..]);
        Ok(text)
    }

    fn drops(&self, name: &str) -> bool {
        match name {
            "trust" => self.trust.is_some(),
            "worker-checksum" => self.drop_worker_checksum,
            _ => false,
        }
    }

    fn push_trust(&self, text: &mut String) -> Result<(), Error> {
        let mut serializer = Serializer::new(Vec::new(), Lines::Wrapped);
        serializer.start()?;
        for value in self.trust.unwrap_or_default() {
            serializer.pair("trust", value)?;
        }
        let stream = serializer.finish()?;
        let pairs = stream.strip_prefix(b": 1\n").unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(pairs));
        Ok(())
    }
}

/// Returns where the pairs begin, and the pairs.
fn lots(task: &str) -> Result<(usize, Vec<Lot<'_>>), Error> {
    let mut parser = Parser::continued(task.as_bytes());
    let mut body = None;
    let mut lots = Vec::new();
    while let Some(event) = parser.next() {
        match event? {
            Event::Start { name_at, .. } => {
                if body.is_some() {
                    return Err(Error::at(name_at, ErrorKind::SingleManifestExpected));
                }
                body = Some(parser.last_end());
            }
            Event::Pair(pair) => {
                lots.push(Lot {
                    name: pair.name,
                    lines: parser.last_line_start()..parser.last_end(),
                });
            }
            Event::End { .. } | Event::EndOfStream { .. } => {}
        }
    }
    let body = body.ok_or_else(|| Error::at(parser.position(), ErrorKind::ManifestExpected))?;
    Ok((body, lots))
}

/// Returns where `trust` belongs: where it is, or after what comes before it in a task.
///
/// It is always put before a pair, never after the last one, whose value the end of the text
/// may belong to.
fn trust_place(lots: &[Lot<'_>]) -> Option<usize> {
    const BEFORE: [&str; 4] = ["name", "version", "repository-url", "repository-type"];
    let old = lots.iter().find(|lot| lot.name == "trust");
    let next = || lots.iter().find(|lot| !BEFORE.contains(&lot.name));
    let place = old.or_else(next).or_else(|| lots.first())?;
    Some(place.lines.start)
}
