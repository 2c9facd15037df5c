//! Histories that are in order, and what is seen in those that are not.

use super::*;

fn answer(session: &str, status: ResultStatus) -> Answer {
    let name = "foo".parse().unwrap();
    let result = ResultManifest::new(name, "1.0.0".parse().unwrap(), status);
    Answer { session: session.to_owned(), result }
}

fn arrival(session: &str, status: ResultStatus, verdict: Option<Verdict>) -> Arrival {
    let body = format!("{session} {status}").into_bytes();
    Arrival { answer: answer(session, status), body, verdict }
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
        faults: Vec::new(),
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
        leftovers: Vec::new(),
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut History), violation: &str) {
    let mut history = history();
    change(&mut history);
    let violations = history.judge().violations;
    assert_eq!(violations.first().map(String::as_str), Some(violation), "{violations:?}");
}

#[test]
fn a_history_in_order_is_counted() {
    let judgement = history().judge();
    let lost = vec!["c".to_owned()];
    let expected = Judgement { violations: Vec::new(), lost, answered: 2, interrupted: 1 };
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
