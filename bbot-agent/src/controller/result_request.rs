//! What is posted for an entry.

use std::fmt;

use bbot_manifest::{Lines, Manifest, ResultRequest};

use super::auth::{AuthError, Signer};
use crate::outbox::Entry;

/// The logic version of this agent: as long as it stays, controllers keep what they know of
/// earlier builds.
pub(crate) const AGENT_CHECKSUM: &str = "2";

/// The most that a controller takes.
const REQUEST_MAX: usize = 10 << 20;

/// Why an entry cannot be posted.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The challenge is for a key that the agent does not have now.
    Key { wanted: Option<String> },
    /// The key does not sign.
    Sign { source: AuthError },
    /// The request cannot be written.
    Unwritable { source: bbot_manifest::Error },
    /// No controller would take it.
    TooLarge { size: usize },
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { wanted: Some(fingerprint) } => {
                write!(f, "the challenge is for the key {fingerprint}, which is not --auth-key")
            }
            Self::Key { wanted: None } => f.write_str("there is no --auth-key for the challenge"),
            Self::Sign { .. } => f.write_str("cannot sign the challenge"),
            Self::Unwritable { .. } => f.write_str("cannot write the result request"),
            Self::TooLarge { size } => {
                write!(f, "the result request has {size} bytes, more than {REQUEST_MAX}")
            }
        }
    }
}

impl std::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Sign { source } => Some(source),
            Self::Unwritable { source } => Some(source),
            Self::Key { .. } | Self::TooLarge { .. } => None,
        }
    }
}

/// Signs the challenge of an entry, if there is one (W37, W38).
pub(crate) fn signature(
    entry: &Entry,
    signer: Option<&Signer>,
) -> Result<Option<Vec<u8>>, RequestError> {
    let challenge = entry.challenge.as_deref().map(|challenge| sign(entry, challenge, signer));
    challenge.transpose()
}

/// Writes the request for an entry, with the signature of its challenge.
pub(crate) fn result_request(
    entry: &Entry,
    signature: Option<Vec<u8>>,
) -> Result<Vec<u8>, RequestError> {
    let mut request = ResultRequest::new(entry.session.clone(), entry.result.clone());
    request.challenge = signature;
    request.agent_checksum = Some(AGENT_CHECKSUM.to_owned());
    let text =
        request.to_text(Lines::Long).map_err(|source| RequestError::Unwritable { source })?;
    if text.len() > REQUEST_MAX {
        return Err(RequestError::TooLarge { size: text.len() });
    }
    Ok(text.into_bytes())
}

/// Another key's signature would be accepted without a word and the result dropped.
fn sign(entry: &Entry, challenge: &str, signer: Option<&Signer>) -> Result<Vec<u8>, RequestError> {
    let wanted = entry.fingerprint.as_deref();
    let fits = |signer: &&Signer| wanted.is_none_or(|wanted| wanted == signer.fingerprint());
    let signer = signer
        .filter(fits)
        .ok_or_else(|| RequestError::Key { wanted: wanted.map(ToOwned::to_owned) })?;
    signer.sign(challenge).map_err(|source| RequestError::Sign { source })
}

#[cfg(test)]
mod tests;
