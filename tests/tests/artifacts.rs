//! W33: artifacts are uploaded before their result is posted, or the result is posted without them.
//! The real agent, a simulated guest, a controller that accepts artifacts, or does not.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bbot_manifest::ResultStatus;
use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::controller::{
    Artifact, Controller, Exchange, Fault, Outcome, Package, Receipt, Request, Verdict,
};
use bbot_tests::harness::hypervisor::building;
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::{MACHINE, Testbed};

const SECOND: u64 = 1_000_000_000;

/// A guest that uploads this archive before its result.
fn guest(archive: &str, status: &str) -> String {
    building(&["get task.manifest", archive, &format!("put-result {status}")])
}

/// The archive of one instance and one file.
const ONE: &str = "put-archive upload/bindist/archive/bindist-result.manifest:700";

/// A testbed with a controller that accepts artifacts of one type.
struct ArtifactTestbed {
    controller: Controller,
    testbed: Testbed,
}

impl ArtifactTestbed {
    fn new(script: &str, kind: &str) -> ArtifactTestbed {
        let testbed = Testbed::new(script, &[]).unwrap();
        let controller = testbed.add_controller_for(&[kind]).unwrap();
        controller.add(Package::new("libfoo", "1.0.0", MACHINE));
        ArtifactTestbed { controller, testbed }
    }

    fn start(&self) -> Agent {
        let spec = self.testbed.idle_agent(&[]).with_controller(self.controller.url());
        Agent::start(&self.testbed.farm, &spec).unwrap()
    }

    /// The outbox of instance 1.
    fn outbox(&self) -> PathBuf {
        self.testbed.state("outbox")
    }

    /// Waits until a result is stored; returns the uploads and posts until then, in order.
    fn posts(&self) -> Vec<Exchange> {
        let posts = |all: &[Exchange]| {
            let is_post = |one: &&Exchange| one.request.is_upload() || one.request.is_result();
            let posts: Vec<_> = all.iter().filter(is_post).cloned().collect();
            let stored = Verdict::Stored(ResultStatus::Success);
            let is_stored = |one: &Exchange| match &one.outcome {
                Outcome::Result { verdict, .. } => *verdict == stored,
                _ => false,
            };
            posts.last().is_some_and(is_stored).then_some(posts)
        };
        self.controller.wait(LIMIT, posts).expect("no result was stored")
    }

    fn wait_for_upload(&self, count: usize) -> Exchange {
        let find = |all: &[Exchange]| {
            all.iter().filter(|one| one.request.is_upload()).nth(count - 1).cloned()
        };
        self.controller.wait(LIMIT, find).expect("no artifact was uploaded")
    }
}

/// Each upload meets this fault.
fn at_uploads(fault: Fault) -> impl Fn(&Request) -> Option<Fault> {
    move |request| request.is_upload().then(|| fault.clone())
}

/// The subject of each upload and post: the artifact's instance, or `result`.
fn subjects(posts: &[Exchange]) -> Vec<String> {
    let subject = |post: &Exchange| match Artifact::parse(&post.request) {
        Ok(artifact) => artifact.instance,
        Err(_) => "result".to_owned(),
    };
    posts.iter().map(subject).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Each instance of the requested type is uploaded, signed, with its digest, before the result;
/// then the outbox is empty.
#[test]
fn artifacts_come_before_their_result() {
    let archive = "put-archive upload/bindist/debian/a.deb:3000 upload/bindist/archive/x/y:5 \
                   upload/other/z:1";
    let testbed = ArtifactTestbed::new(&guest(archive, "success"), "bindist");
    let mut agent = testbed.start();
    let posts = testbed.posts();
    assert_eq!(subjects(&posts), ["archive", "debian", "result"]);
    let session = match &posts[2].outcome {
        Outcome::Result { session, .. } => session.clone(),
        outcome => panic!("{outcome:?}"),
    };
    for (post, instance) in posts.iter().zip(["archive", "debian"]) {
        let expected = Outcome::Artifact {
            session: session.clone(),
            instance: instance.to_owned(),
            receipt: Receipt::Queued,
        };
        assert_eq!(post.outcome, expected);
        assert!(post.answered_at <= posts[2].received_at);
    }
    let artifact = Artifact::parse(&posts[1].request).unwrap();
    assert_eq!(artifact.name, "debian.tar");
    let mut members = tar::Archive::new(&*artifact.archive);
    let member = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    };
    let members: Vec<_> = members.entries().unwrap().map(member).collect();
    let expected = [("debian/", 0), ("debian/a.deb", 3000)];
    assert_eq!(members, expected.map(|(name, size)| (name.to_owned(), vec![b'x'; size])));
    agent.end().unwrap();
    assert_eq!(names(&testbed.outbox()), [""; 0]);
}

/// An upload that fails temporarily is repeated, and the result is not posted before.
#[test]
fn a_result_waits_for_its_artifacts() {
    let testbed = ArtifactTestbed::new(&guest(ONE, "success"), "bindist");
    testbed.controller.inject_some_faults(2, at_uploads(Fault::status(503)));
    let mut agent = testbed.start();
    let (first, second) = (testbed.wait_for_upload(1), testbed.wait_for_upload(2));
    agent.wait_for_line("cannot post a result: artifact archive: HTTP 503: not now").unwrap();
    let posts = testbed.posts();
    assert_eq!(subjects(&posts), ["archive", "archive", "archive", "result"]);
    assert!(second.received_at - first.answered_at >= SECOND);
    let archive = |post: &Exchange| Artifact::parse(&post.request).unwrap().archive;
    assert_eq!(archive(&posts[0]), archive(&posts[2]));
    agent.end().unwrap();
    assert_eq!(names(&testbed.outbox()), [""; 0]);
}

/// An artifact that the controller refuses permanently is not uploaded again, and the result is
/// posted.
#[test]
fn a_result_goes_without_refused_artifacts() {
    let two = "put-archive upload/bindist/a/x:1 upload/bindist/b/x:1";
    let testbed = ArtifactTestbed::new(&guest(two, "success"), "bindist");
    testbed.controller.inject_faults(|request| {
        let artifact = Artifact::parse(request).ok()?;
        let page = ": 1\nstatus: 422\nmessage: checksum mismatch\n".to_owned();
        let refusal = Fault::Answer { status: 422, header: None, body: page };
        (artifact.instance == "a").then_some(refusal)
    });
    let mut agent = testbed.start();
    let posts = testbed.posts();
    assert_eq!(subjects(&posts), ["a", "b", "result"]);
    agent.wait_for_line("refused it: 422 checksum mismatch").unwrap();
    agent.end().unwrap();
    assert_eq!(names(&testbed.outbox()), [""; 0]);
}

/// An artifact that was accepted is not uploaded again when the result is posted again.
#[test]
fn an_accepted_artifact_is_posted_once() {
    let testbed = ArtifactTestbed::new(&guest(ONE, "success"), "bindist");
    let at_results = |request: &Request| request.is_result().then(|| Fault::status(503));
    testbed.controller.inject_some_faults(1, at_results);
    let mut agent = testbed.start();
    assert_eq!(subjects(&testbed.posts()), ["archive", "result", "result"]);
    agent.end().unwrap();
    assert_eq!(names(&testbed.outbox()), [""; 0]);
}

/// An artifact and its result stay in the outbox across a SIGKILL, and are posted unchanged.
#[test]
fn artifacts_wait_across_a_crash() {
    let testbed = ArtifactTestbed::new(&guest(ONE, "success"), "bindist");
    testbed.controller.inject_faults(at_uploads(Fault::NoAnswer));
    let mut agent = testbed.start();
    let first = testbed.wait_for_upload(1);
    agent.kill().unwrap();
    assert_eq!(names(&testbed.outbox()).len(), 2);
    testbed.controller.stop_faults();
    let mut agent = testbed.start();
    let posts = testbed.posts();
    assert_eq!(subjects(&posts), ["archive", "archive", "result"]);
    let artifact = |post: &Exchange| Artifact::parse(&post.request).unwrap();
    assert_eq!(artifact(&first), artifact(&posts[1]), "the same bytes, the same signature");
    agent.end().unwrap();
    assert_eq!(names(&testbed.outbox()), [""; 0]);
}

/// A result that has waited for an hour, across restarts, is posted without its artifacts.
#[test]
fn a_result_does_not_wait_for_ever() {
    let testbed = ArtifactTestbed::new(&guest(ONE, "success"), "bindist");
    testbed.controller.inject_faults(at_uploads(Fault::status(503)));
    let mut agent = testbed.start();
    testbed.wait_for_upload(1);
    agent.end().unwrap();
    let before = testbed.controller.exchanges().len();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let hour_ago = now.saturating_sub(Duration::from_secs(3600)).as_nanos();
    for name in names(&testbed.outbox()) {
        let (_, end) = name.split_once('-').unwrap();
        let old = testbed.outbox().join(format!("{hour_ago:020}-{end}"));
        fs::rename(testbed.outbox().join(&name), old).unwrap();
    }
    let mut agent = testbed.start();
    testbed.posts();
    agent.wait_for_line("artifact archive of /libfoo/1.0.0/").unwrap();
    agent.wait_for_line("is not posted: its result has waited long enough").unwrap();
    agent.end().unwrap();
    let exchanges = testbed.controller.exchanges();
    let uploads = exchanges[before..].iter().filter(|one| one.request.is_upload());
    assert_eq!(uploads.count(), 0);
    assert_eq!(names(&testbed.outbox()), [""; 0]);
}

/// A file that is not an archive, and an archive of another type, do not delay the result.
#[test]
fn a_result_goes_without_a_bad_archive() {
    for (archive, kind, line) in [
        ("put upload.tar 10240", "bindist", Some("this is no header of a tar archive")),
        ("put-archive upload/bindist/a/x:1", "other", None),
    ] {
        let testbed = ArtifactTestbed::new(&guest(archive, "success"), kind);
        let mut agent = testbed.start();
        assert_eq!(subjects(&testbed.posts()), ["result"]);
        agent.end().unwrap();
        let lines = agent.lines().concat();
        assert_eq!(lines.contains("the result goes without artifacts"), line.is_some(), "{lines}");
        assert!(lines.contains(line.unwrap_or_default()), "{lines}");
    }
}

/// Whatever its size, an artifact is neither unpacked nor posted in memory.
#[test]
fn a_large_artifact_is_streamed() {
    let large = "put-archive upload/bindist/archive/large:12000000";
    let testbed = ArtifactTestbed::new(&guest(large, "success"), "bindist");
    let mut agent = testbed.start();
    let posts = testbed.posts();
    assert_eq!(subjects(&posts), ["archive", "result"]);
    assert!(posts[0].request.body.len() > 12_000_000);
    let status = fs::read_to_string(format!("/proc/{}/status", agent.process().pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    assert!(peak < 20_000, "{peak} KiB");
    agent.end().unwrap();
}
