//! What was promised and what was kept: a judgement on plain values.

use std::collections::BTreeMap;

use bbot_manifest::{ResultManifest, ResultStatus};

use crate::controller::{Receipt, Verdict};

/// What an agent owes to a controller.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The session.
    pub session: String,
    /// The result.
    pub result: ResultManifest,
}

/// An artifact that belongs to a result.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment {
    /// The session.
    pub session: String,
    /// Its instance.
    pub instance: String,
    /// The digest of its file.
    pub sha256: String,
}

/// What lay on the disk of an agent that had just ended.
#[derive(Debug, Clone, Default)]
pub struct Death {
    /// How many tasks had been handed out until then.
    pub handed: usize,
    /// Whether it was killed.
    pub killed: bool,
    /// The record of its task at hand.
    pub on_record: Option<Answer>,
    /// The results that waited.
    pub waiting: Vec<Answer>,
    /// What was to be brought before them, be it there still or not.
    pub attachments: Vec<Attachment>,
    /// Folders of artifacts without a result.
    pub orphans: Vec<String>,
    /// What was there that should not be.
    pub faults: Vec<String>,
}

/// A result that was brought to the controller.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// What it says.
    pub answer: Answer,
    /// The request's bytes.
    pub body: Vec<u8>,
    /// What became of it; `None` if the controller was not in the mood.
    pub verdict: Option<Verdict>,
    /// Its place in the order of all that was said.
    pub place: usize,
}

/// An artifact that was brought to the controller.
#[derive(Debug, Clone)]
pub struct Upload {
    /// What it is.
    pub attachment: Attachment,
    /// What became of it; `None` if the controller was not in the mood.
    pub receipt: Option<Receipt>,
    /// Its place in the order of all that was said.
    pub place: usize,
}

/// Everything that happened in a run.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The sessions of the tasks in the order in which they were handed out.
    pub handed: Vec<String>,
    /// The ends of the agent's lives, in order.
    pub deaths: Vec<Death>,
    /// The results in the order in which they arrived.
    pub arrivals: Vec<Arrival>,
    /// The artifacts in the order in which they arrived.
    pub uploads: Vec<Upload>,
    /// The instances of artifacts that come with each good result.
    pub instances: Vec<String>,
    /// What was left at the end and should not be.
    pub leftovers: Vec<String>,
}

/// What a history comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What was promised and not kept, one line each.
    pub violations: Vec<String>,
    /// The sessions that nobody answered, since the agent was killed before they were on record.
    pub lost: Vec<String>,
    /// How many sessions were answered.
    pub answered: usize,
    /// How many of them with `interrupt`.
    pub interrupted: usize,
    /// How many artifacts the controller has.
    pub artifacts: usize,
}

impl History {
    /// Judges.
    pub fn judge(&self) -> Judgement {
        let mut judgement = Judgement::default();
        let violations = &mut judgement.violations;
        violations.extend(self.leftovers.iter().map(|item| format!("left at the end: {item}")));
        for (number, death) in self.deaths.iter().enumerate() {
            violations.extend(death.faults.iter().map(|fault| format!("life {number}: {fault}")));
            // Who was killed has its next start to sweep them.
            let orphans = death.orphans.iter().filter(|_| !death.killed);
            violations.extend(orphans.map(|orphan| format!("life {number}: an orphan {orphan}")));
            self.check_promises(number, death, violations);
        }
        self.check_arrivals(violations);
        self.check_attachments(violations);
        judgement.artifacts = self.received();
        for (place, session) in self.handed.iter().enumerate() {
            match self.taken(session).next() {
                None if self.may_be_lost(place) => judgement.lost.push(session.clone()),
                None => violations.push(format!("{session}: nobody answered")),
                Some(arrival) => {
                    let status = arrival.answer.result.status;
                    judgement.answered += 1;
                    judgement.interrupted += usize::from(status == ResultStatus::Interrupt);
                }
            }
        }
        judgement
    }

    /// What was durable is what the controller got; what was only on record was interrupted.
    fn check_promises(&self, number: usize, death: &Death, violations: &mut Vec<String>) {
        for promised in &death.waiting {
            let session = &promised.session;
            if self.taken(session).next().is_none() {
                violations.push(format!("{session}: lost, though durable after life {number}"));
            }
            let other = self.of(session).find(|arrival| arrival.answer.result != promised.result);
            if other.is_some() {
                violations.push(format!("{session}: another result than the durable one"));
            }
        }
        let Some(record) = &death.on_record else { return };
        let session = &record.session;
        if death.waiting.iter().any(|answer| answer.session == *session) {
            return;
        }
        if self.taken(session).next().is_none() {
            violations.push(format!("{session}: lost, though on record after life {number}"));
        }
        let interrupt = ResultStatus::Interrupt;
        if self.of(session).any(|arrival| arrival.answer.result.status != interrupt) {
            violations.push(format!("{session}: on record only, but not interrupted"));
        }
    }

    /// A session gets one answer, byte for byte, and one that its controller likes.
    fn check_arrivals(&self, violations: &mut Vec<String>) {
        let mut first: BTreeMap<&str, &Arrival> = BTreeMap::new();
        for arrival in &self.arrivals {
            let session = arrival.answer.session.as_str();
            let earlier = first.entry(session).or_insert(arrival);
            if earlier.body != arrival.body {
                violations.push(format!("{session}: two different answers"));
            }
            if !self.handed.iter().any(|handed| handed == session) {
                violations.push(format!("{session}: an answer to no task"));
            }
            if let Some(Verdict::Unauthenticated(reason) | Verdict::Refused(reason)) =
                &arrival.verdict
            {
                violations.push(format!("{session}: not accepted: {reason}"));
            }
        }
    }

    /// Only the last task of a life that was cut short, and if the disk knew nothing of it.
    fn may_be_lost(&self, place: usize) -> bool {
        let Some(death) = self.deaths.iter().find(|death| death.handed > place) else {
            return false;
        };
        let session = &self.handed[place];
        let known = death.on_record.iter().chain(&death.waiting);
        let is_known = known.into_iter().any(|answer| answer.session == *session);
        death.killed && death.handed == place + 1 && !is_known
    }

    fn of<'a>(&'a self, session: &'a str) -> impl Iterator<Item = &'a Arrival> {
        self.arrivals.iter().filter(move |arrival| arrival.answer.session == session)
    }

    fn taken<'a>(&'a self, session: &'a str) -> impl Iterator<Item = &'a Arrival> {
        self.of(session).filter(|arrival| arrival.verdict.is_some())
    }
}

mod attachments;

#[cfg(test)]
mod tests;
