//! An agent sends a controller the result of a task.

use crate::base64_text::{decode_base64, encode_base64};
use crate::error::Error;
use crate::limits::Limits;
use crate::manifest::record::{PairExt, Record, Writer, required};
use crate::manifest::result::ResultManifest;
use crate::manifest::{Body, Manifest, parse_stream, write_stream};
use crate::serializer::Lines;

/// A result and what shows that it belongs to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRequest {
    /// The session of the task.
    pub session: String,
    /// The signature of the task's challenge.
    pub challenge: Option<Vec<u8>>,
    /// The checksum of what the agent does.
    pub agent_checksum: Option<String>,
    /// The result.
    pub result: ResultManifest,
}

impl ResultRequest {
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
        writer.manifest(&self.result)
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
