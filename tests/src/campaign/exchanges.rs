//! What the controller saw in a run.

use bbot_manifest::{Manifest, ResultRequest};

use super::history::{ArtifactId, Post, SessionResult, Upload};
use crate::harness::controller::{Artifact, Exchange, Outcome};

/// The sessions that were assigned.
pub(super) fn sessions(exchanges: &[Exchange]) -> Vec<String> {
    let session = |exchange: &Exchange| match &exchange.outcome {
        Outcome::Task { session, .. } => Some(session.clone()),
        _ => None,
    };
    exchanges.iter().filter_map(session).collect()
}

/// The posts of results, whatever the controller did with them.
pub(super) fn posts(exchanges: &[Exchange]) -> Vec<Post> {
    let post = |(position, exchange): (usize, &Exchange)| {
        let verdict = match &exchange.outcome {
            Outcome::Result { verdict, .. } => Some(verdict.clone()),
            Outcome::Fault => None,
            _ => return None,
        };
        let body = &exchange.request.body;
        let request = ResultRequest::parse(body, "result").ok()?;
        let result = SessionResult { session: request.session, result: request.result };
        Some(Post { result, body: body.clone(), verdict, position })
    };
    exchanges.iter().enumerate().filter_map(post).collect()
}

/// The uploads of artifacts, whatever the controller did with them.
pub(super) fn uploads(exchanges: &[Exchange]) -> Vec<Upload> {
    let upload = |(position, exchange): (usize, &Exchange)| {
        let Artifact { session, instance, sha256, .. } = Artifact::parse(&exchange.request).ok()?;
        let receipt = match &exchange.outcome {
            Outcome::Artifact { receipt, .. } => Some(receipt.clone()),
            _ => None,
        };
        Some(Upload { artifact: ArtifactId { session, instance, sha256 }, receipt, position })
    };
    exchanges.iter().enumerate().filter_map(upload).collect()
}
