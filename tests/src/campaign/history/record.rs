//! What happened in a run.

use bbot_manifest::ResultManifest;

use crate::harness::controller::{Receipt, Verdict};

/// A result of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionResult {
    /// The session.
    pub session: String,
    /// The result.
    pub result: ResultManifest,
}

/// An artifact of a session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArtifactId {
    /// The session.
    pub session: String,
    /// Its instance.
    pub instance: String,
    /// The SHA-256 of its file, in hexadecimal.
    pub sha256: String,
}

/// The disk of an agent that has just ended.
#[derive(Debug, Clone, Default)]
pub struct EndState {
    /// How many tasks had been assigned until then.
    pub assigned: usize,
    /// Whether the agent was killed.
    pub killed: bool,
    /// The task record.
    pub task_record: Option<SessionResult>,
    /// The results in the outbox.
    pub outbox: Vec<SessionResult>,
    /// The artifacts of the results in the outbox, uploaded already or not.
    pub artifacts: Vec<ArtifactId>,
    /// Folders of artifacts without a result.
    pub orphans: Vec<String>,
    /// Damaged files, and files that should not exist.
    pub damage: Vec<String>,
}

/// A post of a result to the controller.
#[derive(Debug, Clone)]
pub struct Post {
    /// The result.
    pub result: SessionResult,
    /// The request's body.
    pub body: Vec<u8>,
    /// What the controller did with it; `None` if it failed on purpose.
    pub verdict: Option<Verdict>,
    /// Its position among all requests.
    pub position: usize,
}

/// An upload of an artifact to the controller.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The artifact.
    pub artifact: ArtifactId,
    /// What the controller did with it; `None` if it failed on purpose.
    pub receipt: Option<Receipt>,
    /// Its position among all requests.
    pub position: usize,
}

/// Everything that happened in a run.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The sessions of the tasks in the order in which they were assigned.
    pub sessions: Vec<String>,
    /// The disk at the end of each agent process, in order.
    pub ends: Vec<EndState>,
    /// The posts of results, in order.
    pub posts: Vec<Post>,
    /// The uploads of artifacts, in order.
    pub uploads: Vec<Upload>,
    /// The instances of the artifacts that come with each successful result.
    pub instances: Vec<String>,
    /// What was left at the end of the run and should have been removed.
    pub leftovers: Vec<String>,
}

impl Upload {
    /// Whether the controller accepted the artifact.
    pub(super) fn is_accepted(&self) -> bool {
        self.receipt == Some(Receipt::Queued)
    }
}

impl History {
    /// The posts of a session's result.
    pub(super) fn posts_of<'a>(&'a self, session: &'a str) -> impl Iterator<Item = &'a Post> {
        self.posts.iter().filter(move |post| post.result.session == session)
    }

    /// The posts of a session's result that the controller answered.
    pub(super) fn answered<'a>(&'a self, session: &'a str) -> impl Iterator<Item = &'a Post> {
        self.posts_of(session).filter(|post| post.verdict.is_some())
    }

    /// The uploads of one artifact of a session.
    pub(super) fn uploads_of<'a>(
        &'a self,
        session: &'a str,
        instance: &'a str,
    ) -> impl Iterator<Item = &'a Upload> {
        let is_it = move |one: &&Upload| {
            one.artifact.session == session && one.artifact.instance == instance
        };
        self.uploads.iter().filter(is_it)
    }
}
