//! Which promises about artifacts were broken (W33): each is uploaded before its result is posted.

use std::collections::BTreeSet;

use bbot_manifest::ResultStatus;

use super::record::{History, Upload};

impl History {
    /// Durable artifacts were uploaded unchanged, before their result; no others were uploaded.
    pub(super) fn check_artifacts(&self, violations: &mut Vec<String>) {
        for (number, end) in self.ends.iter().enumerate() {
            for durable in &end.artifacts {
                let (session, instance) = (&durable.session, &durable.instance);
                if !self.uploads_of(session, instance).any(Upload::is_accepted) {
                    violations.push(format!(
                        "{session}: artifact {instance} lost, though durable after agent {number}"
                    ));
                }
                let mut all = self.uploads_of(session, instance);
                if all.any(|one| one.artifact.sha256 != durable.sha256) {
                    violations.push(format!(
                        "{session}: another artifact {instance} than the durable one"
                    ));
                }
            }
        }
        self.check_order(violations);
        self.check_uploads(violations);
    }

    /// A result is posted after all its artifacts: no upload here takes as long as the agent waits.
    fn check_order(&self, violations: &mut Vec<String>) {
        for post in &self.posts {
            let session = &post.result.session;
            let is_success = post.result.result.status == ResultStatus::Success;
            let expected = self.instances.iter().filter(|_| is_success);
            let durable = self.ends.iter().flat_map(|end| &end.artifacts);
            let durable = durable.filter(|one| one.session == *session).map(|one| &one.instance);
            for instance in expected.chain(durable).collect::<BTreeSet<_>>() {
                let mut uploads = self.uploads_of(session, instance);
                if !uploads.any(|one| one.is_accepted() && one.position < post.position) {
                    violations.push(format!("{session}: its result came without {instance}"));
                }
            }
        }
    }

    /// An artifact is always the same, of a successful result, and one that its controller accepts.
    fn check_uploads(&self, violations: &mut Vec<String>) {
        for upload in &self.uploads {
            let (session, instance) = (&upload.artifact.session, &upload.artifact.instance);
            let first = self.uploads_of(session, instance).next();
            if first.is_some_and(|first| first.artifact != upload.artifact) {
                violations.push(format!("{session}: two different artifacts {instance}"));
            }
            if upload.receipt.is_some() && !upload.is_accepted() {
                let receipt = &upload.receipt;
                violations.push(format!("{session}: {instance} not accepted: {receipt:?}"));
            }
            let success = ResultStatus::Success;
            if self.posts_of(session).any(|post| post.result.result.status != success) {
                violations.push(format!("{session}: artifact {instance} of a bad result"));
            }
        }
    }

    /// How many artifacts the controller has accepted.
    pub(super) fn accepted_artifacts(&self) -> usize {
        let accepted = self.uploads.iter().filter(|upload| upload.is_accepted());
        accepted.map(|upload| &upload.artifact).collect::<BTreeSet<_>>().len()
    }
}
