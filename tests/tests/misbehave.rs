//! Controllers that do not make sense: what the agent makes of them, and that nobody else suffers.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]

use std::time::Duration;

use bbot_manifest::{Manifest, ResultRequest, ResultStatus};
use bbot_tests::agent::Agent;
use bbot_tests::controller::{
    Controller, ControllerConfig, Exchange, Mischief, Outcome, Package, Request,
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

/// What each of them says when it is asked, and the status of the answer that it gets, if any.
fn tasks(controller: &Controller) -> Vec<(Mischief, Option<ResultStatus>)> {
    const FAR: &str = "https://pkg.example.org/1/stable";
    let task = |head, machine, repository| task(controller, head, machine, repository);
    let Mischief::Answer { body, .. } = task("", MACHINE, FAR) else { unreachable!() };
    let malformed = Mischief::manifest(&body.replace("target:", "targt:"));
    let nameless = Mischief::manifest(&body.replace("name: libodd\n", ""));
    vec![
        (Mischief::HangUp, None),
        (Mischief::Endless, None),
        (Mischief::status(404), None),
        (Mischief::retry_after(1), None),
        (Mischief::redirect(302, "http://10.99.0.1/login"), None),
        (Mischief::redirect(308, &controller.url()), None),
        (Mischief::manifest("rubbish"), None),
        (Mischief::manifest(""), None),
        (task("challenge: abc\n", MACHINE, FAR), None),
        (nameless, None),
        (malformed, Some(ResultStatus::Abort)),
        (task("", MACHINE, "/var/pkg/1/stable"), Some(ResultStatus::Abort)),
        (task("", "windows-never-offered", FAR), Some(ResultStatus::Interrupt)),
    ]
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

/// W21, W22: a controller that is down, refuses, talks nonsense or without end, redirects in a
/// circle, or offers a task that cannot be taken, is asked once a round, and the others are asked
/// all the same. It is told that its task is not taken, where that can be told.
#[test]
fn a_misbehaving_controller_harms_nobody() {
    let scene = Scene::new(WELL, &[]).unwrap();
    let good = controller(&scene);
    good.add(Package::new("libfoo", "1.0.0", MACHINE));
    let count = tasks(&good).len();
    let bad: Vec<_> = (0..count).map(|_| controller(&scene)).collect();
    // No key: a challenge is not expected.
    let mut spec = scene.idle_agent(&[]);
    let key = spec.arguments.iter().position(|word| word == "--auth-key").unwrap();
    spec.arguments.drain(key..key + 2);
    let mut expected = Vec::new();
    for (index, controller) in bad.iter().enumerate() {
        let (mischief, answer) = tasks(controller).swap_remove(index);
        expected.push(answer);
        controller.misbehave(move |request| (!is_result(request)).then(|| mischief.clone()));
        // The good one, without a priority, is asked last.
        spec.arguments.push(format!("0001={}", controller.url()).into());
    }
    spec.arguments.push(good.url().into());
    let mut agent = Agent::start(&scene.farm, &spec).unwrap();
    let done = |_: &[Exchange]| good.is_done().then_some(());
    good.wait(LIMIT, done).expect("the good controller's task is not done");
    assert!(agent.terminate().unwrap().success());
    for ((index, controller), expected) in bad.iter().enumerate().zip(expected) {
        let mischief = &tasks(controller)[index].0;
        assert_eq!(answers(controller), Vec::from_iter(expected), "{mischief:?}");
        let exchanges = controller.exchanges();
        let asked = exchanges.iter().filter(|exchange| !is_result(&exchange.request)).count();
        let circle = if matches!(index, 5) { 6 } else { 1 };
        assert_eq!(asked, circle, "{mischief:?}");
    }
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
