//! The response of a controller to an agent that asks for a task.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::protocol::manifest::{Body, Manifest, parse_stream, write_manifest, write_stream};
use crate::protocol::record::{PairExt, Record, required};
use crate::protocol::task::TaskManifest;
use crate::protocol::writer::Writer;
use crate::text::Lines;

/// The response of a controller: a task, or, by default, none.
///
/// Unknown values are ignored (D8).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TaskResponse {
    /// The session that the task belongs to; empty if there is no task.
    pub session: String,
    /// The challenge that the agent has to sign.
    pub challenge: Option<String>,
    /// The URL for the result.
    pub result_url: Option<String>,
    /// The values `<type>-upload-url`, by type: the URLs for artifacts, which precede the result.
    pub upload_urls: BTreeMap<String, String>,
    /// The agent checksum of the previous result.
    pub agent_checksum: Option<String>,
    /// The task.
    pub task: Option<TaskManifest>,
    /// The text of the task as it was received, from its first line. It is not written again.
    pub task_text: Option<String>,
}

const UPLOAD_URL: &str = "-upload-url";

impl TaskResponse {
    /// Returns a response with a task.
    pub fn new(
        session: impl Into<String>,
        task: TaskManifest,
        result_url: impl Into<String>,
    ) -> Self {
        let (session, result_url) = (session.into(), Some(result_url.into()));
        Self { session, result_url, task: Some(task), ..Self::default() }
    }

    fn read(record: &Record<'_>) -> Result<Self, Error> {
        let (mut session, mut challenge, mut result_url, mut checksum) = (None, None, None, None);
        let mut upload_urls = BTreeMap::new();
        for pair in &record.pairs {
            match pair.name {
                "session" => pair.put(&mut session, pair.value.clone().into_owned())?,
                "challenge" => pair.put(&mut challenge, pair.filled()?)?,
                "result-url" => pair.put(&mut result_url, pair.filled()?)?,
                "agent-checksum" => pair.put(&mut checksum, pair.filled()?)?,
                name => match name.strip_suffix(UPLOAD_URL) {
                    Some(kind) if !kind.is_empty() => {
                        let mut url = upload_urls.remove(kind);
                        pair.put(&mut url, pair.filled()?)?;
                        upload_urls.extend(url.map(|url| (kind.to_owned(), url)));
                    }
                    _ => {}
                },
            }
        }
        let response = Self {
            session: required(session, "session", record.end_at)?,
            challenge,
            result_url,
            upload_urls,
            agent_checksum: checksum,
            task: None,
            task_text: None,
        };
        response.check().map_err(|kind| Error::at(record.end_at, kind))?;
        Ok(response)
    }

    /// Checks which values are present.
    fn check(&self) -> Result<(), ErrorKind> {
        if !self.session.is_empty() {
            return match self.result_url {
                Some(_) => Ok(()),
                None => Err(ErrorKind::Missing { value: "result-url".to_owned() }),
            };
        }
        let alone = self.challenge.is_none()
            && self.result_url.is_none()
            && self.upload_urls.is_empty()
            && self.agent_checksum.is_none();
        if alone { Ok(()) } else { Err(ErrorKind::Conflict("values of a task without session")) }
    }

    fn write(&self, writer: &mut Writer) -> Result<(), Error> {
        writer.start()?;
        writer.pair("session", &self.session)?;
        writer.optional("challenge", self.challenge.as_ref())?;
        writer.optional("result-url", self.result_url.as_ref())?;
        for (kind, url) in &self.upload_urls {
            writer.pair(&format!("{kind}{UPLOAD_URL}"), url)?;
        }
        writer.optional("agent-checksum", self.agent_checksum.as_ref())?;
        self.task.as_ref().map_or(Ok(()), |task| write_manifest(writer, task))
    }
}

impl Manifest for TaskResponse {
    fn parse_within(input: &[u8], name: &str, limits: Limits) -> Result<Self, Error> {
        parse_stream(input, name, limits, |records| {
            let mut response = Self::read(&records.required()?)?;
            if !response.session.is_empty() {
                let task = records.required()?;
                // It has been parsed, so it is UTF-8.
                let text = String::from_utf8_lossy(&input[task.start..]);
                response.task_text = Some(text.into_owned());
                response.task = Some(TaskManifest::read(task)?);
            }
            Ok(response)
        })
    }

    /// Writes the stream; the task from its values, not from its text.
    fn to_text(&self, lines: Lines) -> Result<String, Error> {
        write_stream(lines, |writer| self.write(writer))
    }
}
