//! Histories that are in order, and what is seen in those that are not.

use super::*;

fn answer(session: &str, status: ResultStatus) -> Answer {
    let name = "foo".parse().unwrap();
    let result = ResultManifest::new(name, "1.0.0".parse().unwrap(), status);
    Answer { session: session.to_owned(), result }
}

fn arrival(session: &str, status: ResultStatus, verdict: Option<Verdict>) -> Arrival {
    let body = format!("{session} {status}").into_bytes();
    Arrival { answer: answer(session, status), body, verdict, place: 9 }
}

fn attachment(session: &str, instance: &str) -> Attachment {
    let owned = str::to_owned;
    Attachment { session: owned(session), instance: owned(instance), sha256: owned("0") }
}

fn upload(session: &str, instance: &str, receipt: Option<Receipt>, place: usize) -> Upload {
    Upload { attachment: attachment(session, instance), receipt, place }
}

const GOOD: ResultStatus = ResultStatus::Success;
const CUT: ResultStatus = ResultStatus::Interrupt;

/// A life in which `a` became durable and `b` was on record, then one in which all was posted;
/// `c` was handed out last and is lost.
fn history() -> History {
    let first = Death {
        handed: 2,
        killed: true,
        on_record: Some(answer("b", CUT)),
        waiting: vec![answer("a", GOOD)],
        ..Death::default()
    };
    let second = Death { handed: 3, killed: true, ..Death::default() };
    let third = Death { handed: 3, ..Death::default() };
    History {
        handed: ["a", "b", "c"].map(str::to_owned).into(),
        deaths: vec![first, second, third],
        arrivals: vec![
            arrival("a", GOOD, None),
            arrival("a", GOOD, Some(Verdict::Stored(GOOD))),
            arrival("a", GOOD, Some(Verdict::Expired)),
            arrival("b", CUT, Some(Verdict::PutBack)),
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
    let violations = history.judge().violations;
    assert_eq!(violations.first().map(String::as_str), Some(violation), "{violations:?}");
}

#[test]
fn a_history_in_order_is_counted() {
    let judgement = history().judge();
    let lost = vec!["c".to_owned()];
    let expected = Judgement { lost, answered: 2, interrupted: 1, ..Judgement::default() };
    assert_eq!(judgement, expected);
}

#[test]
fn a_broken_promise_is_seen() {
    check(
        |history| history.arrivals.retain(|arrival| arrival.answer.session != "b"),
        "b: lost, though on record after life 0",
    );
    check(
        |history| history.arrivals.push(arrival("b", CUT, Some(Verdict::Refused("no".into())))),
        "b: not accepted: no",
    );
    check(
        |history| history.arrivals.push(arrival("x", CUT, Some(Verdict::Expired))),
        "x: an answer to no task",
    );
    check(|history| history.leftovers.push("tap".into()), "left at the end: tap");
    check(|history| history.deaths[1].faults.push("damaged".into()), "life 1: damaged");
    check(|history| history.arrivals[2].body.push(b'x'), "a: two different answers");
}

/// What was durable must have come, and nothing else in its place.
#[test]
fn another_result_than_the_durable_one_is_seen() {
    let mut history = history();
    history.arrivals.truncate(1);
    history.arrivals.push(arrival("b", CUT, Some(Verdict::PutBack)));
    let violations = history.judge().violations;
    assert_eq!(violations[0], "a: lost, though durable after life 0");
    history.arrivals = vec![
        arrival("a", CUT, Some(Verdict::PutBack)),
        arrival("b", GOOD, Some(Verdict::Stored(GOOD))),
    ];
    let violations = history.judge().violations;
    let expected =
        ["a: another result than the durable one", "b: on record only, but not interrupted"];
    assert_eq!(violations, expected);
}

/// A task may be lost only in the instant before it is on record.
#[test]
fn a_task_is_not_lost_without_a_reason() {
    check(|history| history.deaths[1].killed = false, "c: nobody answered");
    check(
        |history| {
            history.handed.push("d".into());
            history.deaths[1].handed = 4;
            history.arrivals.push(arrival("d", GOOD, Some(Verdict::Stored(GOOD))));
        },
        "c: nobody answered",
    );
}

/// The same: `a` comes with an artifact `x`, as each good result does, and with another one.
fn laden() -> History {
    let mut history = history();
    history.instances.push("x".to_owned());
    history.deaths[0].attachments = vec![attachment("a", "x"), attachment("a", "y")];
    history.uploads = vec![
        upload("a", "x", None, 1),
        upload("a", "x", Some(Receipt::Queued), 2),
        upload("a", "x", Some(Receipt::Queued), 3),
        upload("a", "y", Some(Receipt::Queued), 4),
    ];
    history
}

#[test]
fn artifacts_in_order_are_counted() {
    let judgement = laden().judge();
    assert_eq!(judgement, Judgement { artifacts: 2, ..history().judge() });
}

/// W33: what was durable with a result is with its controller, as it was, before it.
#[test]
fn an_artifact_that_is_missing_is_seen() {
    check_in(
        laden(),
        |history| drop(history.uploads.pop()),
        "a: artifact y lost, though durable after life 0",
    );
    check_in(laden(), |history| history.uploads[3].place = 10, "a: its result came without y");
    check_in(
        laden(),
        |history| history.uploads[3].attachment.sha256 = "1".into(),
        "a: another artifact y than the durable one",
    );
    check_in(
        laden(),
        |history| history.uploads[3].receipt = Some(Receipt::Expired),
        "a: artifact y lost, though durable after life 0",
    );
}

/// W33: so is what no death has seen, since each good result has it.
#[test]
fn artifacts_are_expected_of_each_good_result() {
    let change = |change: fn(&mut History)| {
        move |history: &mut History| {
            history.deaths[0].attachments.clear();
            change(history);
        }
    };
    check_in(
        laden(),
        change(|history| drop(history.uploads.drain(1..3))),
        "a: its result came without x",
    );
    check_in(
        laden(),
        change(|history| history.uploads[2].attachment.sha256 = "1".into()),
        "a: two different artifacts x",
    );
    check_in(
        laden(),
        change(|history| history.uploads.push(upload("a", "y", Some(Receipt::Expired), 5))),
        "a: y not accepted: Some(Expired)",
    );
    check_in(
        laden(),
        change(|history| history.uploads.push(upload("b", "x", Some(Receipt::Queued), 5))),
        "b: artifact x of a bad result",
    );
}

/// Who was killed leaves its next start to sweep; who has ended in order has swept.
#[test]
fn orphans_are_seen_after_an_orderly_end() {
    let mut history = history();
    history.deaths[1].orphans.push("folder".into());
    assert_eq!(history.judge().violations, [""; 0]);
    check_in(
        laden(),
        |history| history.deaths[2].orphans.push("folder".into()),
        "life 2: an orphan folder",
    );
}
