//! Histories without violations, and each kind of violation.

use bbot_manifest::{ResultManifest, ResultStatus};

use super::*;
use crate::harness::controller::{Receipt, Verdict};

fn result(session: &str, status: ResultStatus) -> SessionResult {
    let name = "foo".parse().unwrap();
    let result = ResultManifest::new(name, "1.0.0".parse().unwrap(), status);
    SessionResult { session: session.to_owned(), result }
}

fn post(session: &str, status: ResultStatus, verdict: Option<Verdict>) -> Post {
    let body = format!("{session} {status}").into_bytes();
    Post { result: result(session, status), body, verdict, position: 9 }
}

fn artifact(session: &str, instance: &str) -> ArtifactId {
    let owned = str::to_owned;
    ArtifactId { session: owned(session), instance: owned(instance), sha256: owned("0") }
}

fn upload(session: &str, instance: &str, receipt: Option<Receipt>, position: usize) -> Upload {
    Upload { artifact: artifact(session, instance), receipt, position }
}

const GOOD: ResultStatus = ResultStatus::Success;
const CUT: ResultStatus = ResultStatus::Interrupt;

/// An agent that made the result of `a` durable and had a record of `b`, then one that posted all;
/// `c` was assigned last and is lost.
fn history() -> History {
    let first = EndState {
        assigned: 2,
        killed: true,
        task_record: Some(result("b", CUT)),
        outbox: vec![result("a", GOOD)],
        ..EndState::default()
    };
    let second = EndState { assigned: 3, killed: true, ..EndState::default() };
    let third = EndState { assigned: 3, ..EndState::default() };
    History {
        sessions: ["a", "b", "c"].map(str::to_owned).into(),
        ends: vec![first, second, third],
        posts: vec![
            post("a", GOOD, None),
            post("a", GOOD, Some(Verdict::Stored(GOOD))),
            post("a", GOOD, Some(Verdict::Expired)),
            post("b", CUT, Some(Verdict::PutBack)),
        ],
        ..History::default()
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut History), violation: &str) {
    check_in(history(), change, violation);
}

#[track_caller]
fn check_in(mut history: History, change: impl FnOnce(&mut History), violation: &str) {
    change(&mut history);
    let violations = history.evaluate().violations;
    assert_eq!(violations.first().map(String::as_str), Some(violation), "{violations:?}");
}

#[test]
fn a_history_without_violations_is_counted() {
    let evaluation = history().evaluate();
    let lost = vec!["c".to_owned()];
    let expected = Evaluation { lost, answered: 2, interrupted: 1, ..Evaluation::default() };
    assert_eq!(evaluation, expected);
}

#[test]
fn a_broken_promise_is_seen() {
    check(
        |history| history.posts.retain(|post| post.result.session != "b"),
        "b: lost, though on record after agent 0",
    );
    check(
        |history| history.posts.push(post("b", CUT, Some(Verdict::Refused("no".into())))),
        "b: not accepted: no",
    );
    check(
        |history| history.posts.push(post("x", CUT, Some(Verdict::Expired))),
        "x: an answer to no task",
    );
    check(|history| history.leftovers.push("tap".into()), "left at the end: tap");
    check(|history| history.ends[1].damage.push("damaged".into()), "agent 1: damaged");
    check(|history| history.posts[2].body.push(b'x'), "a: two different answers");
}

/// A durable result must have been posted, and nothing else in its place.
#[test]
fn another_result_than_the_durable_one_is_seen() {
    let mut history = history();
    history.posts.truncate(1);
    history.posts.push(post("b", CUT, Some(Verdict::PutBack)));
    let violations = history.evaluate().violations;
    assert_eq!(violations[0], "a: lost, though durable after agent 0");
    history.posts =
        vec![post("a", CUT, Some(Verdict::PutBack)), post("b", GOOD, Some(Verdict::Stored(GOOD)))];
    let violations = history.evaluate().violations;
    let expected =
        ["a: another result than the durable one", "b: on record only, but not interrupted"];
    assert_eq!(violations, expected);
}

/// A task may be lost only before it is on record.
#[test]
fn a_task_is_not_lost_without_a_reason() {
    check(|history| history.ends[1].killed = false, "c: no answer");
    check(
        |history| {
            history.sessions.push("d".into());
            history.ends[1].assigned = 4;
            history.posts.push(post("d", GOOD, Some(Verdict::Stored(GOOD))));
        },
        "c: no answer",
    );
}

/// The same; `a` has an artifact `x`, as each successful result has, and another one, `y`.
fn history_with_artifacts() -> History {
    let mut history = history();
    history.instances.push("x".to_owned());
    history.ends[0].artifacts = vec![artifact("a", "x"), artifact("a", "y")];
    history.uploads = vec![
        upload("a", "x", None, 1),
        upload("a", "x", Some(Receipt::Queued), 2),
        upload("a", "x", Some(Receipt::Queued), 3),
        upload("a", "y", Some(Receipt::Queued), 4),
    ];
    history
}

#[test]
fn artifacts_without_violations_are_counted() {
    let evaluation = history_with_artifacts().evaluate();
    assert_eq!(evaluation, Evaluation { artifacts: 2, ..history().evaluate() });
}

/// W33: durable artifacts are uploaded unchanged, before their result.
#[test]
fn an_artifact_that_is_missing_is_seen() {
    check_in(
        history_with_artifacts(),
        |history| drop(history.uploads.pop()),
        "a: artifact y lost, though durable after agent 0",
    );
    check_in(
        history_with_artifacts(),
        |history| history.uploads[3].position = 10,
        "a: its result came without y",
    );
    check_in(
        history_with_artifacts(),
        |history| history.uploads[3].artifact.sha256 = "1".into(),
        "a: another artifact y than the durable one",
    );
    check_in(
        history_with_artifacts(),
        |history| history.uploads[3].receipt = Some(Receipt::Expired),
        "a: artifact y lost, though durable after agent 0",
    );
}

/// W33: the same for artifacts that were never on disk at the end of an agent, since each
/// successful result has them.
#[test]
fn artifacts_are_expected_of_each_good_result() {
    let change = |change: fn(&mut History)| {
        move |history: &mut History| {
            history.ends[0].artifacts.clear();
            change(history);
        }
    };
    check_in(
        history_with_artifacts(),
        change(|history| drop(history.uploads.drain(1..3))),
        "a: its result came without x",
    );
    check_in(
        history_with_artifacts(),
        change(|history| history.uploads[2].artifact.sha256 = "1".into()),
        "a: two different artifacts x",
    );
    check_in(
        history_with_artifacts(),
        change(|history| history.uploads.push(upload("a", "y", Some(Receipt::Expired), 5))),
        "a: y not accepted: Some(Expired)",
    );
    check_in(
        history_with_artifacts(),
        change(|history| history.uploads.push(upload("b", "x", Some(Receipt::Queued), 5))),
        "b: artifact x of a bad result",
    );
}

/// A killed agent leaves orphans for the next one to remove; one that has ended in order does not.
#[test]
fn orphans_are_seen_after_an_orderly_end() {
    let mut history = history();
    history.ends[1].orphans.push("folder".into());
    assert_eq!(history.evaluate().violations, [""; 0]);
    check_in(
        history_with_artifacts(),
        |history| history.ends[2].orphans.push("folder".into()),
        "agent 2: an orphan folder",
    );
}
