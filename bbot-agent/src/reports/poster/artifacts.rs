//! Artifacts go before their result (W33).

use std::time::{Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Means, Posting, chain, kept};
use crate::controller::client::{ClientError, Delivery};
use crate::controller::upload::Upload;
use crate::diag;
use crate::outbox::{Entry, EntryId};
use crate::reports::patience::patience;
use crate::reports::schedule::Failure;

impl Means {
    /// Posts the artifacts of an entry that have not been taken yet. After that its result is due,
    /// unless there is a reason why the entry is kept for now.
    pub(super) fn deliver_artifacts(
        &self,
        id: &EntryId,
        entry: &Entry,
        signature: Option<&[u8]>,
    ) -> Result<(), Posting> {
        let challenge = signature.map(|signature| STANDARD.encode(signature));
        for (number, artifact) in self.outbox.pending(id, entry) {
            let archive = self.outbox.artifact(id, number);
            let upload = Upload {
                session: &entry.session,
                challenge: challenge.as_deref(),
                instance: &artifact.instance,
                archive: &archive,
                sha256: &artifact.sha256,
            };
            if let Some(reason) = self.refusal(id, &artifact.url, &upload)? {
                let (name, session) = (&artifact.instance, &entry.session);
                diag::error(format_args!("artifact {name} of {session} is not posted: {reason}"));
            }
            // What cannot be removed is posted again: at least once is what the outbox promises.
            let removed = self.outbox.remove_artifact(id, number);
            removed.map_err(|error| kept(chain(error), None))?;
        }
        Ok(())
    }

    /// Posts an artifact. Returns why it never will be taken, if so.
    fn refusal(
        &self,
        id: &EntryId,
        url: &str,
        upload: &Upload<'_>,
    ) -> Result<Option<String>, Posting> {
        let over = "its result has waited long enough";
        let Some(left) = patience(id.age(SystemTime::now())) else {
            return Ok(Some(over.to_owned()));
        };
        let start = Instant::now();
        let delivery = self.client.post_artifact(url, upload, start + self.limit.min(left));
        let (reason, retry_after) = match delivery {
            Ok(Delivery::Taken) => {
                let keys = [("session", upload.session), ("instance", upload.instance)];
                diag::phase("artifact", start.elapsed(), &keys);
                return Ok(None);
            }
            Ok(Delivery::Refused { status, reason }) => {
                return Ok(Some(format!("{url} refused it: {status} {reason}")));
            }
            Err(error @ ClientError::Url { .. }) => return Ok(Some(chain(error))),
            Ok(Delivery::Transient { reason, retry_after }) => (reason, retry_after),
            Err(error) => (chain(error), None),
        };
        match patience(id.age(SystemTime::now())) {
            None => Ok(Some(format!("{over} ({reason})"))),
            Some(patience) => Err(Posting::Kept {
                reason: format!("artifact {}: {reason}", upload.instance),
                failure: Failure::ArtifactNotTaken { retry_after, patience },
            }),
        }
    }
}
