//! Changes to a task that keep the rest of its text.

use std::ops::Range;

use crate::error::{Error, ErrorKind};
use crate::text::{Event, Lines, Parser, Serializer};

/// What an agent changes in a task before it passes it on to a worker.
///
/// All other pairs, known or not, stay as they are, byte for byte.
///
/// ```
/// use bbot_manifest::protocol::TaskEdit;
///
/// let task = ":\nname: libhello\nx-new:   as it was\nworker-checksum: 1\n";
/// let trust = ["yes".to_owned()];
/// let mut edit = TaskEdit::default();
/// edit.trust = Some(&trust);
/// edit.drop_worker_checksum = true;
/// assert_eq!(edit.apply(task)?, ": 1\nname: libhello\ntrust: yes\nx-new:   as it was\n");
/// # Ok::<(), bbot_manifest::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TaskEdit<'a> {
    /// The values that replace those of `trust`.
    pub trust: Option<&'a [String]>,
    /// Whether `worker-checksum` is removed.
    pub drop_worker_checksum: bool,
}

/// The name of a pair, and the span of its lines.
struct PairSpan<'a> {
    name: &'a str,
    lines: Range<usize>,
}

impl TaskEdit<'_> {
    /// Returns the changed task, as a stream; `task` starts with the first line of the task.
    ///
    /// # Errors
    ///
    /// The text is not one manifest, or a value of `trust` cannot be written.
    pub fn apply(&self, task: &str) -> Result<String, Error> {
        let (body, pairs) = pair_spans(task)?;
        let insert_at = self.trust.and_then(|_| trust_start(&pairs)).unwrap_or(task.len());
        let mut text = String::with_capacity(task.len() + 4);
        text.push_str(": 1\n");
        let mut copied = body;
        let mut inserted = self.trust.is_none();
        for pair in &pairs {
            if !inserted && pair.lines.start >= insert_at {
                text.push_str(&task[copied..pair.lines.start]);
                copied = pair.lines.start;
                self.push_trust(&mut text)?;
                inserted = true;
            }
            if self.drops(pair.name) {
                text.push_str(&task[copied..pair.lines.start]);
                copied = pair.lines.end;
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

/// Returns the offset of the first line after the start pair, and the spans of the pairs.
fn pair_spans(task: &str) -> Result<(usize, Vec<PairSpan<'_>>), Error> {
    let mut parser = Parser::continued(task.as_bytes());
    let mut body = None;
    let mut pairs = Vec::new();
    while let Some(event) = parser.next() {
        match event? {
            Event::Start { name_at, .. } => {
                if body.is_some() {
                    return Err(Error::at(name_at, ErrorKind::SingleManifestExpected));
                }
                body = Some(parser.last_end());
            }
            Event::Pair(pair) => {
                pairs.push(PairSpan {
                    name: pair.name,
                    lines: parser.last_line_start()..parser.last_end(),
                });
            }
            Event::End { .. } | Event::EndOfStream { .. } => {}
        }
    }
    let body = body.ok_or_else(|| Error::at(parser.position(), ErrorKind::ManifestExpected))?;
    Ok((body, pairs))
}

/// Returns the offset for `trust`: that of the present one, or after those that precede it in a
/// task.
///
/// It is always the offset of a pair, never the end of the text, which can be part of the value of
/// the last pair.
fn trust_start(pairs: &[PairSpan<'_>]) -> Option<usize> {
    const BEFORE: [&str; 4] = ["name", "version", "repository-url", "repository-type"];
    let old = pairs.iter().find(|pair| pair.name == "trust");
    let next = || pairs.iter().find(|pair| !BEFORE.contains(&pair.name));
    let place = old.or_else(next).or_else(|| pairs.first())?;
    Some(place.lines.start)
}
