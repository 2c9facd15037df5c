//! Controllers that fail, and tasks that are malformed: how the agent handles them, and that the
//! other controllers are not affected.

use std::time::Duration;

use bbot_manifest::{Manifest, ResultRequest, ResultStatus};
use bbot_tests::harness::agent::{Agent, AgentSpec};
use bbot_tests::harness::controller::{
    Controller, ControllerConfig, Exchange, Fault, Outcome, Package,
};
use bbot_tests::harness::hypervisor::SUCCESSFUL;
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::{MACHINE, Testbed};

/// Starts a controller that does not authenticate agents.
fn controller(testbed: &Testbed) -> Controller {
    testbed.start_controller(ControllerConfig::default()).unwrap()
}

/// A task for the package libodd on this machine, whose result goes to `controller`; `head` is
/// added to the response manifest.
fn task(controller: &Controller, head: &str, machine: &str, repository: &str) -> Fault {
    let result_url = controller.url().replace("build-task", "build-result");
    Fault::manifest(&format!(
        ": 1\nsession: odd\nresult-url: {result_url}\n{head}:\nname: libodd\nversion: 1.0.0\n\
         repository-url: {repository}\nrepository-type: pkg\nmachine: {machine}\n\
         target: x86_64-linux-gnu\n"
    ))
}

/// The fault of a controller, how many requests it causes in one round, and the status of the
/// result that the controller gets, if any.
type Case = (Fault, usize, Option<ResultStatus>);

/// A repository that the agent does not access.
const REMOTE: &str = "https://pkg.example.org/1/stable";

/// Answers that are not tasks.
fn invalid_answers(controller: &Controller) -> Vec<Case> {
    let redirect = |status| Fault::redirect(status, &controller.url());
    let mut cases: Vec<Case> = [301, 302, 303].map(|status| (redirect(status), 1, None)).into();
    // To itself: five redirections are followed.
    cases.extend([307, 308].map(|status| (redirect(status), 6, None)));
    cases.extend([400, 401, 404, 500, 502].map(|status| (Fault::status(status), 1, None)));
    cases.extend([
        (Fault::Disconnect, 1, None),
        (Fault::EndlessAnswer, 1, None),
        (Fault::retry_after(1), 1, None),
        (Fault::manifest("malformed"), 1, None),
        (Fault::manifest(""), 1, None),
        (Fault::manifest(": 1\nsession: odd\n"), 1, None),
    ]);
    cases
}

/// Tasks that the agent cannot perform.
fn invalid_tasks(controller: &Controller) -> Vec<Case> {
    let (abort, interrupt) = (Some(ResultStatus::Abort), Some(ResultStatus::Interrupt));
    let task = |head, machine, repository| task(controller, head, machine, repository);
    let Fault::Answer { body, .. } = task("", MACHINE, REMOTE) else { unreachable!() };
    let changed = |from: &str, to: &str| Fault::manifest(&body.replacen(from, to, 1));
    let huge = Fault::manifest(&format!("{body}more: {}\n", "x".repeat(1 << 20)));
    let interactive = Fault::manifest(&format!("{body}interactive: error\n"));
    [
        (task("challenge: abc\n", MACHINE, REMOTE), None),
        (task("challenge: abc\n", "", REMOTE), None),
        (changed("name: libodd\n", ""), None),
        (changed("version: 1.0.0\n", ""), None),
        (changed("1.0.0", "1 0"), None),
        (changed("name: libodd", "name: lib/odd"), None),
        (changed("session: odd", "session:"), None),
        (changed("http:", "ftp:"), None),
        (changed("target:", "targt:"), abort),
        (huge, abort),
        (task("", MACHINE, "/var/pkg/1/stable"), abort),
        (task("", MACHINE, "file:///var/pkg/1/stable"), abort),
        (task("", "windows-never-offered", REMOTE), interrupt),
        (interactive, interrupt),
    ]
    .map(|(fault, answer)| (fault, 1, answer))
    .into()
}

/// The statuses of the results that were posted to a controller.
fn answers(controller: &Controller) -> Vec<ResultStatus> {
    let exchanges = controller.exchanges();
    let results = exchanges.iter().filter(|exchange| exchange.request.is_result());
    let status = |exchange: &Exchange| {
        ResultRequest::parse(&exchange.request.body, "result").unwrap().result.status
    };
    results.map(status).collect()
}

/// How many requests for a task a controller has got.
fn asked(controller: &Controller) -> usize {
    let exchanges = controller.exchanges();
    exchanges.iter().filter(|exchange| !exchange.request.is_result()).count()
}

/// Waits until `controller` has the result of its task, and was asked again; controllers with
/// greater priorities were asked before, unless they rest.
fn wait_until_done_and_asked(controller: &Controller, agent: &Agent) {
    let no_task = |all: &[Exchange]| {
        let is_asked = all.iter().any(|exchange| exchange.outcome == Outcome::NoTask);
        (is_asked && controller.is_done()).then_some(())
    };
    let done = controller.wait(LIMIT, no_task);
    assert!(done.is_some(), "the task is not done: {:#?}", agent.lines());
}

/// Starts an agent without a key for a faulty controller for each case, and one without faults
/// after them. Checks that the task of the last one is done, and the requests to the others.
fn check_cases(cases: impl Fn(&Controller) -> Vec<Case>) {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let good = controller(&testbed);
    good.add(Package::new("libfoo", "1.0.0", MACHINE));
    let count = cases(&good).len();
    let bad: Vec<_> = (0..count).map(|_| controller(&testbed)).collect();
    let mut spec = keyless(&testbed, &[]);
    for (index, controller) in bad.iter().enumerate() {
        let fault = cases(controller).swap_remove(index).0;
        controller.inject_faults(move |request| (!request.is_result()).then(|| fault.clone()));
        // The one without faults has no priority, and is asked last.
        spec.arguments.push(format!("0001={}", controller.url()).into());
    }
    spec.arguments.push(good.url().into());
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    wait_until_done_and_asked(&good, &agent);
    agent.end().unwrap();
    for (index, controller) in bad.iter().enumerate() {
        let (fault, requests, answer) = cases(controller).swap_remove(index);
        let fault = format!("{fault:.200?}");
        assert_eq!(answers(controller), Vec::from_iter(answer), "{fault}");
        assert_eq!(asked(controller), requests, "{fault}");
    }
}

/// An agent without a key, which does not accept a challenge.
fn keyless(testbed: &Testbed, options: &[&str]) -> AgentSpec {
    let mut spec = testbed.idle_agent(options);
    let key = spec.arguments.iter().position(|word| word == "--auth-key").unwrap();
    spec.arguments.drain(key..key + 2);
    spec
}

/// W21, D14: a controller that refuses, answers without sense or end, or redirects in a circle or
/// by a status that would lose the request's body, is asked once a round, and then rests; the
/// others are asked all the same.
#[test]
fn invalid_answers_do_not_affect_other_controllers() {
    check_cases(invalid_answers);
}

/// W22: a task that cannot be performed is refused, and a result posted where possible: `abort` if
/// no agent could perform it, `interrupt` if another one may. The controller rests.
#[test]
fn an_invalid_task_is_answered() {
    check_cases(invalid_tasks);
}

/// W21: a controller that refuses connections, or whose host does not exist, rests, and the others
/// are asked all the same.
#[test]
fn a_controller_that_is_down_is_passed_over() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let down = controller(&testbed).url();
    let unknown = "http://controller.invalid/?build-task";
    let spec = [&*down, unknown]
        .iter()
        .fold(testbed.agent(&[]), |spec, url| spec.with_controller(format!("0001={url}")));
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    wait_until_done_and_asked(&testbed.controller, &agent);
    agent.end().unwrap();
    for url in [&down, unknown] {
        let start = format!("error: unable to request task from {url}: no answer: ");
        let reports = agent.lines().iter().filter(|line| line.starts_with(&start)).count();
        assert_eq!(reports, 1, "{url}: {:#?}", agent.lines());
    }
}

/// W21: a controller that hangs, in its answer or before it accepts the connection, delays one
/// round, by `--request-timeout` at most. Then it rests, and the others are asked at once, without
/// an idle pause.
#[test]
fn a_hanging_controller_costs_its_limit_once() {
    // The controller that does not hang must answer in that time, too.
    const TIMEOUT: Duration = Duration::from_secs(3);
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let hanging = [Fault::NoAnswer, Fault::PartialAnswer].map(|fault| {
        let controller = controller(&testbed);
        controller.inject_faults(move |_| Some(fault.clone()));
        controller
    });
    // A host on the bridge that does not exist: connecting to it takes long.
    let mut spec = testbed.idle_agent(&["--request-timeout", "3", "--fake-bootstrap"]);
    let urls = hanging.iter().map(Controller::url);
    for url in urls.chain(["http://10.99.0.77/?build-task".to_owned()]) {
        spec.arguments.push(format!("0001={url}").into());
    }
    spec.arguments.push(testbed.controller.url().into());
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    let start = agent.wait_for_phase(LIMIT, "enumerate", 2).unwrap().at;
    let fourth = agent.wait_for_phase(LIMIT, "enumerate", 5).unwrap().at;
    wait_until_done_and_asked(&testbed.controller, &agent);
    agent.end().unwrap();
    let first = testbed.controller.exchanges()[0].received_at;
    let took = Duration::from_nanos(first - start);
    let rounds = 3 * TIMEOUT;
    // An idle pause alone would take 50 s.
    assert!((rounds..rounds + Duration::from_secs(30)).contains(&took), "{took:?}");
    assert!(fourth < first, "more than one of them was waited for in one round");
    assert!(hanging.iter().all(|controller| asked(controller) == 1));
}

/// W22: an agent for interactive builds refuses other tasks; a refusal is a result like any other:
/// for the task's session and package, signed if there is a challenge.
#[test]
fn a_refusal_is_signed() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let odd = task(&testbed.controller, "challenge: abc\n", MACHINE, REMOTE);
    testbed.controller.inject_faults(move |request| (!request.is_result()).then(|| odd.clone()));
    let mut agent = testbed.start(&["--interactive", "true"]).unwrap();
    let result = |all: &[Exchange]| {
        let result = all.iter().find(|exchange| exchange.request.is_result())?;
        Some(ResultRequest::parse(&result.request.body, "result").unwrap())
    };
    let answer = testbed.controller.wait(LIMIT, result).expect("the refusal is not sent");
    agent.end().unwrap();
    assert_eq!((answer.session.as_str(), answer.result.status), ("odd", ResultStatus::Interrupt));
    assert_eq!(answer.result.name.to_string(), "libodd");
    assert_eq!(answer.result.version.to_string(), "1.0.0");
    let key = testbed.known_key();
    assert!(key.verify("abc", &answer.challenge.unwrap()).unwrap());
    let reason = "refused: non-interactive task";
    assert_eq!(agent.count(reason), 1);
}

/// W21: the host is locked while a controller is asked, so that no other instance takes an offered
/// machine before it has answered.
#[test]
fn the_host_is_locked_while_a_controller_is_asked() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let host = testbed.host_lock_file();
    let host = std::fs::File::create(host).unwrap();
    let (seen, is_locked) = std::sync::mpsc::channel();
    testbed.controller.inject_faults(move |request| {
        if !request.is_result() {
            let got = host.try_lock();
            seen.send(matches!(got, Err(std::fs::TryLockError::WouldBlock))).unwrap();
        }
        None
    });
    let mut agent = testbed.start(&[]).unwrap();
    // For the task, and again after it.
    for _ in 0..2 {
        assert!(is_locked.recv_timeout(LIMIT).unwrap());
    }
    agent.end().unwrap();
}

/// W22, W37: a challenge that the key cannot sign is refused at once: the key is not considered
/// broken, and authenticated tasks of others are performed.
#[test]
fn a_challenge_beyond_the_key_does_not_affect_other_controllers() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let odd = [1, 2].map(|_| controller(&testbed));
    let long = format!("challenge: {}\n", "c".repeat(65));
    for (controller, head) in odd.iter().zip([long.as_str(), "challenge:\n"]) {
        let fault = task(controller, head, MACHINE, REMOTE);
        controller.inject_faults(move |_| Some(fault.clone()));
    }
    let mut spec = testbed.idle_agent(&[]);
    spec.arguments.extend(odd.iter().map(|one| format!("0001={}", one.url()).into()));
    spec.arguments.push(testbed.controller.url().into());
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    wait_until_done_and_asked(&testbed.controller, &agent);
    agent.end().unwrap();
    let lines = agent.lines();
    assert!(lines.iter().any(|line| line.contains("challenge of 65 bytes, the key signs 64")));
    assert!(!lines.iter().any(|line| line.contains("no authenticated work")), "{lines:#?}");
    assert!(odd.iter().all(|controller| asked(controller) == 1 && answers(controller).is_empty()));
}

/// W23: a result is posted to the URL in its task, also on another host; the agent warns, once.
#[test]
fn a_result_may_go_to_another_host() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let listener = || std::net::TcpListener::bind("127.0.0.1:0");
    let listener = testbed.farm.namespaces().run(listener).unwrap().unwrap();
    let other = Controller::on(listener, ControllerConfig::default()).unwrap();
    let there = task(&other, "", MACHINE, REMOTE);
    testbed.controller.inject_some_faults(2, move |_| Some(there.clone()));
    let mut agent = testbed.start(&[]).unwrap();
    let both = |all: &[Exchange]| (all.len() == 2).then_some(());
    other.wait(LIMIT, both).expect("a result is missing");
    agent.end().unwrap();
    let warning = "warning: results of tasks from ";
    let lines = agent.lines();
    assert_eq!(lines.iter().filter(|line| line.starts_with(warning)).count(), 1, "{lines:#?}");
}

/// W38, W61, D14: an empty answer takes a result, also one with another media type; an answer
/// without an end does not, and does not hang the agent; a redirection with 308 is followed with
/// the same body.
#[test]
fn a_result_is_posted_in_spite_of_faults() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo", "libbar"]).unwrap();
    let url = testbed.controller.url().replace("build-task", "build-result&there");
    let endless = std::sync::atomic::AtomicUsize::new(0);
    testbed.controller.inject_faults(move |request| {
        let name = ResultRequest::parse(&request.body, "result").ok()?.result.name.to_string();
        match (name.as_str(), request.is_result()) {
            ("libfoo", _) if endless.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 => {
                Some(Fault::EndlessAnswer)
            }
            ("libfoo", _) => Some(Fault::manifest("")),
            (_, true) => Some(Fault::redirect(308, &url)),
            (_, false) => None,
        }
    });
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
    let followed = |all: &[Exchange]| {
        all.iter().any(|one| one.request.query() == "build-result&there").then_some(())
    };
    testbed.controller.wait(LIMIT, followed).expect("the redirection is not followed");
    agent.end().unwrap();
    let exchanges = testbed.controller.exchanges();
    let outcome = |query: &str| {
        let is_bar = |one: &&Exchange| one.request.body.windows(8).any(|part| part == b"/libbar/");
        let mut found = exchanges.iter().filter(is_bar).filter(|one| one.request.query() == query);
        found.next_back().map(|one| (one.request.body.clone(), one.outcome.clone())).unwrap()
    };
    let (sent, redirected) = outcome("build-result");
    let (arrived, refused) = outcome("build-result&there");
    assert_eq!((redirected, refused), (Outcome::Fault, Outcome::Refused));
    assert_eq!(sent, arrived);
    // What was refused once is kept.
    let outbox = testbed.state("outbox");
    assert_eq!(std::fs::read_dir(outbox).unwrap().count(), 1);
}
