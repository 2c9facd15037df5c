//! What was promised and kept of artifacts (W33): each is there before its result.

use std::collections::BTreeSet;

use bbot_manifest::ResultStatus;

use super::{History, Upload};
use crate::controller::Receipt;

impl History {
    /// What was durable has come as it was, all of it before its result; nothing else has come.
    pub(super) fn check_attachments(&self, violations: &mut Vec<String>) {
        for (number, death) in self.deaths.iter().enumerate() {
            for owed in &death.attachments {
                let (session, instance) = (&owed.session, &owed.instance);
                let mut taken = self.uploads_of(session, instance).filter(|one| one.is_taken());
                if taken.next().is_none() {
                    violations.push(format!(
                        "{session}: artifact {instance} lost, though durable after life {number}"
                    ));
                }
                let mut all = self.uploads_of(session, instance);
                if all.any(|one| one.attachment.sha256 != owed.sha256) {
                    violations.push(format!(
                        "{session}: another artifact {instance} than the durable one"
                    ));
                }
            }
        }
        self.check_order(violations);
        self.check_uploads(violations);
    }

    /// A result comes after all that belongs to it: nothing here takes as long as it would wait.
    fn check_order(&self, violations: &mut Vec<String>) {
        for arrival in &self.arrivals {
            let session = &arrival.answer.session;
            let is_good = arrival.answer.result.status == ResultStatus::Success;
            let expected = self.instances.iter().filter(|_| is_good);
            let owed = self.deaths.iter().flat_map(|death| &death.attachments);
            let owed = owed.filter(|owed| owed.session == *session).map(|owed| &owed.instance);
            for instance in expected.chain(owed).collect::<BTreeSet<_>>() {
                let mut before = self.uploads_of(session, instance);
                if !before.any(|one| one.is_taken() && one.place < arrival.place) {
                    violations.push(format!("{session}: its result came without {instance}"));
                }
            }
        }
    }

    /// An artifact is always the same, and one that its controller likes.
    fn check_uploads(&self, violations: &mut Vec<String>) {
        for upload in &self.uploads {
            let (session, instance) = (&upload.attachment.session, &upload.attachment.instance);
            let first = self.uploads_of(session, instance).next();
            if first.is_some_and(|first| first.attachment != upload.attachment) {
                violations.push(format!("{session}: two different artifacts {instance}"));
            }
            if upload.receipt.is_some() && !upload.is_taken() {
                let receipt = &upload.receipt;
                violations.push(format!("{session}: {instance} not accepted: {receipt:?}"));
            }
            let good = ResultStatus::Success;
            if self.of(session).any(|arrival| arrival.answer.result.status != good) {
                violations.push(format!("{session}: artifact {instance} of a bad result"));
            }
        }
    }

    /// How many artifacts the controller has.
    pub(super) fn received(&self) -> usize {
        let taken = self.uploads.iter().filter(|upload| upload.is_taken());
        taken.map(|upload| &upload.attachment).collect::<BTreeSet<_>>().len()
    }

    fn uploads_of<'a>(
        &'a self,
        session: &'a str,
        instance: &'a str,
    ) -> impl Iterator<Item = &'a Upload> {
        let is_it = move |one: &&Upload| {
            one.attachment.session == session && one.attachment.instance == instance
        };
        self.uploads.iter().filter(is_it)
    }
}

impl Upload {
    fn is_taken(&self) -> bool {
        self.receipt == Some(Receipt::Queued)
    }
}
