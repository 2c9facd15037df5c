//! The request by which an agent sends a result to a controller.

use crate::error::Error;
use crate::limits::Limits;
use crate::protocol::manifest::{Body, Manifest, parse_stream, write_manifest, write_stream};
use crate::protocol::record::{PairExt, Record, required};
use crate::protocol::result::ResultManifest;
use crate::protocol::writer::Writer;
use crate::text::Lines;
use crate::value::base64::{decode_base64, encode_base64};

/// A result, and what proves to the controller that it belongs to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResultRequest {
    /// The session of the task.
    pub session: String,
    /// The signature of the challenge that came with the task.
    pub challenge: Option<Vec<u8>>,
    /// The checksum of the agent's logic.
    pub agent_checksum: Option<String>,
    /// The result.
    pub result: ResultManifest,
}

impl ResultRequest {
    /// Returns a request with the required values.
    pub fn new(session: impl Into<String>, result: ResultManifest) -> Self {
        Self { session: session.into(), challenge: None, agent_checksum: None, result }
    }

    fn read(record: &Record<'_>, result: Record<'_>) -> Result<Self, Error> {
        let (mut session, mut challenge, mut agent_checksum) = (None, None, None);
        for pair in &record.pairs {
            match pair.name {
                "session" => pair.put(&mut session, pair.filled()?)?,
                "challenge" => {
                    let bytes = decode_base64(&pair.filled()?).map_err(|e| pair.invalid(e))?;
                    pair.put(&mut challenge, bytes)?;
                }
                "agent-checksum" => pair.put(&mut agent_checksum, pair.filled()?)?,
                _ => return Err(pair.unknown("result request")),
            }
        }
        let session = required(session, "session", record.end_at)?;
        Ok(Self { session, challenge, agent_checksum, result: ResultManifest::read(result)? })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), Error> {
        writer.start()?;
        writer.pair("session", &self.session)?;
        writer.optional("challenge", self.challenge.as_deref().map(encode_base64))?;
        writer.optional("agent-checksum", self.agent_checksum.as_ref())?;
        write_manifest(writer, &self.result)
    }
}

impl Manifest for ResultRequest {
    fn parse_within(input: &[u8], name: &str, limits: Limits) -> Result<Self, Error> {
        parse_stream(input, name, limits, |records| {
            Self::read(&records.required()?, records.required()?)
        })
    }

    fn to_text(&self, lines: Lines) -> Result<String, Error> {
        write_stream(lines, |writer| self.write(writer))
    }
}
