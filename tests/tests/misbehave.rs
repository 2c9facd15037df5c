//! Controllers that do not make sense: what the agent makes of them, and that nobody else suffers.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]

use std::time::Duration;

use bbot_manifest::{Manifest, ResultRequest, ResultStatus};
use bbot_tests::agent::{Agent, AgentSpec};
use bbot_tests::controller::{
    Controller, ControllerConfig, Exchange, KnownKey, Mischief, Outcome, Package, Request,
};
use bbot_tests::farm::layout;
use bbot_tests::pretend::WELL;
use bbot_tests::scene::{MACHINE, Scene};

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

fn is_result(request: &Request) -> bool {
    request.query() == "build-result"
}

fn controller(scene: &Scene) -> Controller {
    let config = ControllerConfig::default();
    Controller::start(scene.farm.inside(), layout::BRIDGE_ADDRESS.into(), config).unwrap()
}

/// A task for package libodd on this machine, to be answered at `controller`, with more values.
fn task(controller: &Controller, head: &str, machine: &str, repository: &str) -> Mischief {
    let result_url = controller.url().replace("build-task", "build-result");
    Mischief::manifest(&format!(
        ": 1\nsession: odd\nresult-url: {result_url}\n{head}:\nname: libodd\nversion: 1.0.0\n\
         repository-url: {repository}\nrepository-type: pkg\nmachine: {machine}\n\
         target: x86_64-linux-gnu\n"
    ))
}

/// How a controller misbehaves, how often it is asked by that in one round, and the status of the
/// answer that it gets, if any.
type Case = (Mischief, usize, Option<ResultStatus>);

const FAR: &str = "https://pkg.example.org/1/stable";

/// What may be wrong with an answer that is no task.
fn nonsense(controller: &Controller) -> Vec<Case> {
    let redirect = |status| Mischief::redirect(status, &controller.url());
    let mut cases: Vec<Case> = [301, 302, 303].map(|status| (redirect(status), 1, None)).into();
    // In a circle: five are followed.
    cases.extend([307, 308].map(|status| (redirect(status), 6, None)));
    cases.extend([400, 401, 404, 500, 502].map(|status| (Mischief::status(status), 1, None)));
    cases.extend([
        (Mischief::HangUp, 1, None),
        (Mischief::Endless, 1, None),
        (Mischief::retry_after(1), 1, None),
        (Mischief::manifest("rubbish"), 1, None),
        (Mischief::manifest(""), 1, None),
        (Mischief::manifest(": 1\nsession: odd\n"), 1, None),
    ]);
    cases
}

/// What may be wrong with a task.
fn odd_tasks(controller: &Controller) -> Vec<Case> {
    let (abort, interrupt) = (Some(ResultStatus::Abort), Some(ResultStatus::Interrupt));
    let task = |head, machine, repository| task(controller, head, machine, repository);
    let Mischief::Answer { body, .. } = task("", MACHINE, FAR) else { unreachable!() };
    let changed = |from: &str, to: &str| Mischief::manifest(&body.replacen(from, to, 1));
    let huge = Mischief::manifest(&format!("{body}more: {}\n", "x".repeat(1 << 20)));
    let interactive = Mischief::manifest(&format!("{body}interactive: error\n"));
    [
        (task("challenge: abc\n", MACHINE, FAR), None),
        (task("challenge: abc\n", "", FAR), None),
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
        (task("", "windows-never-offered", FAR), interrupt),
        (interactive, interrupt),
    ]
    .map(|(mischief, answer)| (mischief, 1, answer))
    .into()
}

/// The statuses of the results that a controller was brought.
fn answers(controller: &Controller) -> Vec<ResultStatus> {
    let exchanges = controller.exchanges();
    let results = exchanges.iter().filter(|exchange| is_result(&exchange.request));
    let status = |exchange: &Exchange| {
        ResultRequest::parse(&exchange.request.body, "result").unwrap().result.status
    };
    results.map(status).collect()
}

/// How often a controller was asked.
fn asked(controller: &Controller) -> usize {
    let exchanges = controller.exchanges();
    exchanges.iter().filter(|exchange| !is_result(&exchange.request)).count()
}

/// Waits until `controller` has had its task done, and was asked again: so were all whose priority
/// is greater, if they did not rest.
fn wait_until_done_and_asked(controller: &Controller, agent: &Agent) {
    let no_task = |all: &[Exchange]| {
        let is_asked = all.iter().any(|exchange| exchange.outcome == Outcome::NoTask);
        (is_asked && controller.is_done()).then_some(())
    };
    let done = controller.wait(LIMIT, no_task);
    assert!(done.is_some(), "the task is not done: {:#?}", agent.lines());
}

/// Starts an agent without a key for one misbehaving controller for each case, and a good one after
/// them. Checks that the good one's task is done, and what the others were asked and told.
fn check_cases(cases: impl Fn(&Controller) -> Vec<Case>) {
    let scene = Scene::new(WELL, &[]).unwrap();
    let good = controller(&scene);
    good.add(Package::new("libfoo", "1.0.0", MACHINE));
    let count = cases(&good).len();
    let bad: Vec<_> = (0..count).map(|_| controller(&scene)).collect();
    let mut spec = keyless(&scene, &[]);
    for (index, controller) in bad.iter().enumerate() {
        let mischief = cases(controller).swap_remove(index).0;
        controller.misbehave(move |request| (!is_result(request)).then(|| mischief.clone()));
        // The good one, without a priority, is asked last.
        spec.arguments.push(format!("0001={}", controller.url()).into());
    }
    spec.arguments.push(good.url().into());
    let mut agent = Agent::start(&scene.farm, &spec).unwrap();
    wait_until_done_and_asked(&good, &agent);
    assert!(agent.terminate().unwrap().success());
    for (index, controller) in bad.iter().enumerate() {
        let (mischief, requests, answer) = cases(controller).swap_remove(index);
        let mischief = format!("{mischief:.200?}");
        assert_eq!(answers(controller), Vec::from_iter(answer), "{mischief}");
        assert_eq!(asked(controller), requests, "{mischief}");
    }
}

/// An agent that shows no key: a challenge is not expected.
fn keyless(scene: &Scene, options: &[&str]) -> AgentSpec {
    let mut spec = scene.idle_agent(options);
    let key = spec.arguments.iter().position(|word| word == "--auth-key").unwrap();
    spec.arguments.drain(key..key + 2);
    spec
}

/// W21, decisions 14: a controller that refuses, talks nonsense or without end, redirects in a
/// circle or to where a request would be lost, is asked once a round, and then rests; the others
/// are asked all the same.
#[test]
fn nonsense_harms_nobody() {
    check_cases(nonsense);
}

/// W22: a task that cannot be taken is refused, and its controller told, where that can be: with
/// `abort` what nobody could do, with `interrupt` what another agent may. The controller rests.
#[test]
fn a_task_that_does_not_fit_is_answered() {
    check_cases(odd_tasks);
}

/// W21: nobody listens, or there is no such host: it rests, and the others are asked all the same.
#[test]
fn a_controller_that_is_down_is_passed_over() {
    let scene = Scene::new(WELL, &["libfoo"]).unwrap();
    let down = controller(&scene).url();
    let unknown = "http://controller.invalid/?build-task";
    let mut spec = scene.agent(&[]);
    for url in [&down, unknown] {
        spec.arguments.push(format!("0001={url}").into());
    }
    let mut agent = Agent::start(&scene.farm, &spec).unwrap();
    wait_until_done_and_asked(&scene.controller, &agent);
    assert!(agent.terminate().unwrap().success());
    for url in [&down, unknown] {
        let start = format!("error: unable to request task from {url}: no answer: ");
        let said = agent.lines().iter().filter(|line| line.starts_with(&start)).count();
        assert_eq!(said, 1, "{url}: {:#?}", agent.lines());
    }
}

/// W21: a controller that hangs, in its answer or before it even takes the connection, costs one
/// round, and that no more than `--request-timeout`. It rests then, and the others are asked at
/// once, without an idle pause.
#[test]
fn a_hanging_controller_costs_its_limit_once() {
    const REQUEST: Duration = Duration::from_secs(1);
    let scene = Scene::new(WELL, &["libfoo"]).unwrap();
    let hanging = [Mischief::Silence, Mischief::HalfAnAnswer].map(|mischief| {
        let controller = controller(&scene);
        controller.misbehave(move |_| Some(mischief.clone()));
        controller
    });
    // A neighbour that is not there: nobody says so at once.
    let mut spec = scene.idle_agent(&["--request-timeout", "1", "--fake-bootstrap"]);
    let urls = hanging.iter().map(Controller::url);
    for url in urls.chain(["http://10.99.0.77/?build-task".to_owned()]) {
        spec.arguments.push(format!("0001={url}").into());
    }
    spec.arguments.push(scene.controller.url().into());
    let mut agent = Agent::start(&scene.farm, &spec).unwrap();
    let start = agent.wait_for_phase(LIMIT, "enumerate", 2).unwrap().at;
    let fourth = agent.wait_for_phase(LIMIT, "enumerate", 5).unwrap().at;
    wait_until_done_and_asked(&scene.controller, &agent);
    assert!(agent.terminate().unwrap().success());
    let first = scene.controller.exchanges()[0].received_at;
    let took = Duration::from_nanos(first - start);
    let rounds = 3 * REQUEST;
    // An idle pause alone would be 50 s.
    assert!((rounds..rounds + Duration::from_secs(20)).contains(&took), "{took:?}");
    assert!(fourth < first, "more than one of them was waited for in one round");
    assert!(hanging.iter().all(|controller| asked(controller) == 1));
}

/// W22: an agent for interactive builds gives back what is none; a refusal is a result like others:
/// for the task's session and package, signed if it is challenged.
#[test]
fn a_refusal_is_signed() {
    let scene = Scene::new(WELL, &[]).unwrap();
    let odd = task(&scene.controller, "challenge: abc\n", MACHINE, FAR);
    scene.controller.misbehave(move |request| (!is_result(request)).then(|| odd.clone()));
    let mut agent = Agent::start(&scene.farm, &scene.agent(&["--interactive", "true"])).unwrap();
    let result = |all: &[Exchange]| {
        let result = all.iter().find(|exchange| is_result(&exchange.request))?;
        Some(ResultRequest::parse(&result.request.body, "result").unwrap())
    };
    let answer = scene.controller.wait(LIMIT, result).expect("the refusal is not sent");
    assert!(agent.terminate().unwrap().success());
    assert_eq!((answer.session.as_str(), answer.result.status), ("odd", ResultStatus::Interrupt));
    assert_eq!(answer.result.name.to_string(), "libodd");
    assert_eq!(answer.result.version.to_string(), "1.0.0");
    let key = KnownKey::read(&scene.farm.scratch().join("key.pub.pem")).unwrap();
    assert!(key.verify("abc", &answer.challenge.unwrap()).unwrap());
    let reason = "refused: non-interactive task";
    assert_eq!(agent.lines().iter().filter(|line| line.contains(reason)).count(), 1);
}

/// W21: the host is locked while a controller is asked, so that nobody takes a machine that it is
/// offered before it has answered.
#[test]
fn the_host_is_locked_while_a_controller_is_asked() {
    let scene = Scene::new(WELL, &["libfoo"]).unwrap();
    let host = scene.farm.run().join("lock/bbot-agent-default.lock");
    let host = std::fs::File::create(host).unwrap();
    let (seen, is_locked) = std::sync::mpsc::channel();
    scene.controller.misbehave(move |request| {
        if !is_result(request) {
            let got = host.try_lock();
            seen.send(matches!(got, Err(std::fs::TryLockError::WouldBlock))).unwrap();
        }
        None
    });
    let mut agent = Agent::start(&scene.farm, &scene.agent(&[])).unwrap();
    // For the task, and once more after it.
    for _ in 0..2 {
        assert!(is_locked.recv_timeout(LIMIT).unwrap());
    }
    assert!(agent.terminate().unwrap().success());
}

/// W22, W37: a challenge that the key cannot sign is refused at once: it is not taken for a broken
/// key, and authenticated work of others is done.
#[test]
fn a_challenge_beyond_the_key_harms_nobody() {
    let scene = Scene::new(WELL, &["libfoo"]).unwrap();
    let odd = [1, 2].map(|_| controller(&scene));
    let long = format!("challenge: {}\n", "c".repeat(65));
    for (controller, head) in odd.iter().zip([long.as_str(), "challenge:\n"]) {
        let mischief = task(controller, head, MACHINE, FAR);
        controller.misbehave(move |_| Some(mischief.clone()));
    }
    let mut spec = scene.idle_agent(&[]);
    spec.arguments.extend(odd.iter().map(|one| format!("0001={}", one.url()).into()));
    spec.arguments.push(scene.controller.url().into());
    let mut agent = Agent::start(&scene.farm, &spec).unwrap();
    wait_until_done_and_asked(&scene.controller, &agent);
    assert!(agent.terminate().unwrap().success());
    let lines = agent.lines();
    assert!(lines.iter().any(|line| line.contains("challenge of 65 bytes, the key signs 64")));
    assert!(!lines.iter().any(|line| line.contains("no authenticated work")), "{lines:#?}");
    assert!(odd.iter().all(|controller| asked(controller) == 1 && answers(controller).is_empty()));
}

/// W23: a result goes where its task says, also to another host; of that the agent warns, once.
#[test]
fn a_result_may_go_elsewhere() {
    let scene = Scene::new(WELL, &[]).unwrap();
    let listener = || std::net::TcpListener::bind("127.0.0.1:0");
    let listener = scene.farm.inside().run(listener).unwrap().unwrap();
    let elsewhere = Controller::on(listener, ControllerConfig::default()).unwrap();
    let there = task(&elsewhere, "", MACHINE, FAR);
    let tasks = std::sync::atomic::AtomicUsize::new(2);
    scene.controller.misbehave(move |_| {
        use std::sync::atomic::Ordering::Relaxed;
        let left = tasks.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        left.is_ok().then(|| there.clone())
    });
    let mut agent = Agent::start(&scene.farm, &scene.agent(&[])).unwrap();
    let both = |all: &[Exchange]| (all.len() == 2).then_some(());
    elsewhere.wait(LIMIT, both).expect("not both results came");
    assert!(agent.terminate().unwrap().success());
    let warning = "warning: results of tasks from ";
    let lines = agent.lines();
    assert_eq!(lines.iter().filter(|line| line.starts_with(warning)).count(), 1, "{lines:#?}");
}

/// W38, decisions 14: a result is taken as soon as the controller says so, however long it goes
/// on; and it follows where 308 leads, as it is.
#[test]
fn a_result_arrives_in_spite_of_mischief() {
    let scene = Scene::new(WELL, &["libfoo", "libbar"]).unwrap();
    let url = scene.controller.url().replace("build-task", "build-result&there");
    scene.controller.misbehave(move |request| {
        let name = ResultRequest::parse(&request.body, "result").ok()?.result.name.to_string();
        match (name.as_str(), is_result(request)) {
            ("libfoo", _) => Some(Mischief::Endless),
            (_, true) => Some(Mischief::redirect(308, &url)),
            (_, false) => None,
        }
    });
    let mut agent = Agent::start(&scene.farm, &scene.agent(&[])).unwrap();
    agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
    let followed = |all: &[Exchange]| {
        all.iter().any(|one| one.request.query() == "build-result&there").then_some(())
    };
    scene.controller.wait(LIMIT, followed).expect("the redirection is not followed");
    assert!(agent.terminate().unwrap().success());
    let exchanges = scene.controller.exchanges();
    let outcome = |query: &str| {
        let mut found = exchanges.iter().filter(|one| one.request.query() == query);
        found.next_back().map(|one| (one.request.body.clone(), one.outcome.clone())).unwrap()
    };
    let (sent, redirected) = outcome("build-result");
    let (arrived, refused) = outcome("build-result&there");
    assert_eq!((redirected, refused), (Outcome::Mischief, Outcome::Refused));
    assert_eq!(sent, arrived);
    let outbox = scene.farm.state().join("default-1/outbox");
    assert_eq!(std::fs::read_dir(outbox).unwrap().count(), 0);
}
