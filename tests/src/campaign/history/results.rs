//! The evaluation of a history: which promises about results were broken.

use std::collections::BTreeMap;

use bbot_manifest::ResultStatus;

use super::record::{EndState, History, Post};
use crate::harness::controller::Verdict;

/// The evaluation of a history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// The broken promises, one line each.
    pub violations: Vec<String>,
    /// The sessions without an answer, since the agent was killed before they were on record.
    pub lost: Vec<String>,
    /// How many sessions were answered.
    pub answered: usize,
    /// How many of them with `interrupt`.
    pub interrupted: usize,
    /// How many artifacts the controller has accepted.
    pub artifacts: usize,
}

impl History {
    /// Evaluates the history.
    pub fn evaluate(&self) -> Evaluation {
        let mut evaluation = Evaluation::default();
        let violations = &mut evaluation.violations;
        violations.extend(self.leftovers.iter().map(|item| format!("left at the end: {item}")));
        for (number, end) in self.ends.iter().enumerate() {
            violations.extend(end.damage.iter().map(|damage| format!("agent {number}: {damage}")));
            // After a kill, the next agent removes them.
            let orphans = end.orphans.iter().filter(|_| !end.killed);
            violations.extend(orphans.map(|orphan| format!("agent {number}: an orphan {orphan}")));
            self.check_promises(number, end, violations);
        }
        self.check_posts(violations);
        self.check_artifacts(violations);
        evaluation.artifacts = self.accepted_artifacts();
        for (index, session) in self.sessions.iter().enumerate() {
            match self.answered(session).next() {
                None if self.may_be_lost(index) => evaluation.lost.push(session.clone()),
                None => violations.push(format!("{session}: no answer")),
                Some(post) => {
                    let status = post.result.result.status;
                    evaluation.answered += 1;
                    evaluation.interrupted += usize::from(status == ResultStatus::Interrupt);
                }
            }
        }
        evaluation
    }

    /// A result in the outbox is what the controller got; a task with a record alone was
    /// interrupted.
    fn check_promises(&self, number: usize, end: &EndState, violations: &mut Vec<String>) {
        for promised in &end.outbox {
            let session = &promised.session;
            if self.answered(session).next().is_none() {
                violations.push(format!("{session}: lost, though durable after agent {number}"));
            }
            if self.posts_of(session).any(|post| post.result.result != promised.result) {
                violations.push(format!("{session}: another result than the durable one"));
            }
        }
        let Some(record) = &end.task_record else { return };
        let session = &record.session;
        if end.outbox.iter().any(|result| result.session == *session) {
            return;
        }
        if self.answered(session).next().is_none() {
            violations.push(format!("{session}: lost, though on record after agent {number}"));
        }
        let interrupt = ResultStatus::Interrupt;
        if self.posts_of(session).any(|post| post.result.result.status != interrupt) {
            violations.push(format!("{session}: on record only, but not interrupted"));
        }
    }

    /// A session gets one answer, byte for byte, and one that its controller accepts.
    fn check_posts(&self, violations: &mut Vec<String>) {
        let mut first: BTreeMap<&str, &Post> = BTreeMap::new();
        for post in &self.posts {
            let session = post.result.session.as_str();
            let earlier = first.entry(session).or_insert(post);
            if earlier.body != post.body {
                violations.push(format!("{session}: two different answers"));
            }
            if !self.sessions.iter().any(|assigned| assigned == session) {
                violations.push(format!("{session}: an answer to no task"));
            }
            if let Some(Verdict::Unauthenticated(reason) | Verdict::Refused(reason)) = &post.verdict
            {
                violations.push(format!("{session}: not accepted: {reason}"));
            }
        }
    }

    /// Whether the task with this index was the last one of an agent that was killed, and the disk
    /// had neither its record nor its result.
    fn may_be_lost(&self, index: usize) -> bool {
        let Some(end) = self.ends.iter().find(|end| end.assigned > index) else {
            return false;
        };
        let session = &self.sessions[index];
        let known = end.task_record.iter().chain(&end.outbox);
        let is_known = known.into_iter().any(|result| result.session == *session);
        end.killed && end.assigned == index + 1 && !is_known
    }
}
