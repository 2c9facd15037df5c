//! The request that is posted for an entry of the outbox.

use bbot_manifest::{Lines, Manifest, ResultRequest};

use super::auth::{AuthError, Signer};
use crate::outbox::Entry;

/// The logic version of this agent: while it stays the same, controllers keep the results of
/// earlier builds.
pub(crate) const AGENT_CHECKSUM: &str = "2";

/// The most bytes of a request that a controller accepts.
const REQUEST_MAX: usize = 10 << 20;

/// Why an entry cannot be posted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// There is no key.
    #[error("there is no --auth-key for the challenge, whose key is {fingerprint}")]
    NoKey { fingerprint: String },
    /// The challenge is for another key than the one in the file (W63).
    #[error("cannot sign the challenge for now")]
    OtherKey { source: AuthError },
    /// The key does not sign.
    #[error("cannot sign the challenge")]
    Sign { source: AuthError },
    /// The request cannot be written.
    #[error("cannot write the result request")]
    Unwritable { source: bbot_manifest::Error },
    /// No controller would accept it.
    #[error("the result request has {size} bytes, more than {REQUEST_MAX}")]
    TooLarge { size: usize },
}

/// Returns the signature of the challenge of an entry, if it has one (W37, W38).
pub(crate) fn signature(
    entry: &Entry,
    signer: Option<&Signer>,
) -> Result<Option<Vec<u8>>, RequestError> {
    let challenge = entry.challenge.as_deref().map(|challenge| sign(entry, challenge, signer));
    challenge.transpose()
}

/// Returns the text of the request for an entry, with the signature of its challenge.
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

/// Signs `challenge` by the key that it was made for.
fn sign(entry: &Entry, challenge: &str, signer: Option<&Signer>) -> Result<Vec<u8>, RequestError> {
    let unknown = || entry.fingerprint.clone().unwrap_or_else(|| "not known".to_owned());
    let signer = signer.ok_or_else(|| RequestError::NoKey { fingerprint: unknown() })?;
    let signature = signer.sign(challenge, entry.fingerprint.as_deref());
    signature.map_err(|source| match source {
        AuthError::OtherKey { .. } => RequestError::OtherKey { source },
        source => RequestError::Sign { source },
    })
}

#[cfg(test)]
mod tests;
