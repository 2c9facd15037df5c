//! Results that wait for their controller: when they are posted, when they are given up, and that
//! nobody waits for them. The real agent, a pretend guest, controllers that misbehave.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use bbot_manifest::{Manifest, ResultRequest, ResultStatus};
use bbot_tests::agent::{Agent, AgentSpec, wait_for_file, wait_for_status};
use bbot_tests::controller::{
    Controller, ControllerConfig, Exchange, KnownKey, Mischief, Outcome, Package, Request, Verdict,
};
use bbot_tests::farm::layout;
use bbot_tests::pretend::WELL;
use bbot_tests::scene::{MACHINE, Scene};
use rustix::process::Signal;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);
const SECOND: u64 = 1_000_000_000;

fn is_result(request: &Request) -> bool {
    request.query() == "build-result"
}

/// A whim: each result meets this.
fn at_results(mischief: Mischief) -> impl Fn(&Request) -> Option<Mischief> {
    move |request| is_result(request).then(|| mischief.clone())
}

/// Waits for the `count`th time that a result was brought, whatever became of it.
fn brought(controller: &Controller, count: usize) -> Exchange {
    let find = |all: &[Exchange]| {
        let mut results = all.iter().filter(|exchange| is_result(&exchange.request));
        results.nth(count - 1).cloned()
    };
    controller.wait(LIMIT, find).expect("no result came")
}

/// Waits for the first result that was taken in; returns what brought it and the verdict.
fn taken(controller: &Controller) -> (Exchange, Verdict) {
    let find = |all: &[Exchange]| {
        all.iter().find_map(|exchange| match &exchange.outcome {
            Outcome::Result { verdict, .. } => Some((exchange.clone(), verdict.clone())),
            _ => None,
        })
    };
    controller.wait(LIMIT, find).expect("no result was taken in")
}

fn tasks(controller: &Controller) -> usize {
    let exchanges = controller.exchanges();
    exchanges.iter().filter(|exchange| matches!(exchange.outcome, Outcome::Task { .. })).count()
}

fn wait_for_line(agent: &Agent, text: &str) {
    let says_so = |all: &[String]| all.iter().any(|line| line.contains(text)).then_some(());
    agent.wait_for(LIMIT, says_so).unwrap();
}

/// The names of the files in a folder of instance 1's state.
fn state(scene: &Scene, folder: &str) -> Vec<PathBuf> {
    let folder = scene.farm.state().join("default-1").join(folder);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The reasons of the dead letters.
fn reasons(scene: &Scene) -> Vec<String> {
    let paths = state(scene, "dead-letters");
    let is_reason = |path: &&PathBuf| path.extension().is_some_and(|end| end == "reason");
    paths.iter().filter(is_reason).map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// A second controller, which knows the scene's key if it is `strict`.
fn another_controller(scene: &Scene, strict: bool, packages: &[&str]) -> Controller {
    let public = scene.farm.scratch().join("key.pub.pem");
    let config = ControllerConfig {
        packages: packages.iter().map(|name| Package::new(name, "1.0.0", MACHINE)).collect(),
        keys: if strict { vec![KnownKey::read(&public).unwrap()] } else { Vec::new() },
        ..ControllerConfig::default()
    };
    Controller::start(scene.farm.inside(), layout::BRIDGE_ADDRESS.into(), config).unwrap()
}

/// An agent for the scene's controller and another one, whose priority is greater.
fn agent_for_both(scene: &Scene, other: &Controller, options: &[&str]) -> AgentSpec {
    let mut spec = scene.agent(options);
    spec.arguments.push(format!("0001={}", other.url()).into());
    spec
}

/// An openssl that knows the key, and signs nothing while there is a file `broken` beside it.
fn moody_openssl(folder: &Path) {
    let script = "#!/bin/sh\ncase \"$1\" in pkeyutl|rsautl)\n\
        [ -e /run/broken ] && { echo no token >&2; exit 1; };; esac\nexec openssl \"$@\"\n";
    let program = folder.join("openssl");
    std::fs::write(&program, script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, executable).unwrap();
}

/// W4, W38: a result that its controller cannot take is posted again after 1 s, 2 s and so on, also
/// in an idle pause, always with the same bytes; and nobody waits for it.
#[test]
fn a_result_is_posted_again_until_it_is_taken() {
    let scene = Scene::new(WELL, &["libfoo"]).unwrap();
    scene.controller.misbehave(at_results(Mischief::status(503)));
    let mut agent = Agent::start(&scene.farm, &scene.agent(&[])).unwrap();
    let first = brought(&scene.controller, 1);
    // The round goes on: there is nothing to do, and the pause begins.
    wait_for_status(&scene.runtime_folder(), "idle", LIMIT).unwrap();
    let (second, third) = (brought(&scene.controller, 2), brought(&scene.controller, 3));
    scene.controller.behave();
    let (last, verdict) = taken(&scene.controller);
    assert_eq!(verdict, Verdict::Stored(ResultStatus::Success));
    assert!(second.received_at - first.answered_at >= SECOND);
    assert!(third.received_at - second.answered_at >= 2 * SECOND);
    for attempt in [&first, &second, &third] {
        assert_eq!(attempt.request.body, last.request.body);
    }
    // Four posts, and not one round of asking more than before them.
    assert_eq!(brought(&scene.controller, 4).received_at, last.received_at);
    assert!(agent.phases().iter().filter(|phase| phase.name == "enumerate").count() <= 3);
    assert!(agent.terminate().unwrap().success());
    assert!(state(&scene, "outbox").is_empty());
}

/// W38: `Retry-After` draws the pause out.
#[test]
fn a_controller_is_left_alone_for_as_long_as_it_wishes() {
    let scene = Scene::new(WELL, &["libfoo"]).unwrap();
    scene.controller.misbehave(at_results(Mischief::retry_after(4)));
    let mut agent = Agent::start(&scene.farm, &scene.agent(&[])).unwrap();
    let first = brought(&scene.controller, 1);
    scene.controller.behave();
    let (second, _) = taken(&scene.controller);
    assert!(second.received_at - first.answered_at >= 4 * SECOND);
    assert!(agent.terminate().unwrap().success());
}

/// W38: what may pass is waited for: no answer, 408, 429, 5xx. Whatever else a controller answers
/// is a refusal for good: the result goes to the dead letters, with the reason, and the agent says
/// so; nothing is lost.
#[test]
fn a_refused_result_is_a_dead_letter() {
    const ANSWERS: [(&str, bool); 9] = [
        ("400", false),
        ("404", false),
        ("413", false),
        ("302", false),
        ("408", true),
        ("429", true),
        ("500", true),
        ("599", true),
        ("gone", true),
    ];
    let packages = ANSWERS.map(|(answer, _)| format!("lib{answer}"));
    let names: Vec<_> = packages.iter().map(String::as_str).collect();
    let scene = Scene::new(WELL, &names).unwrap();
    scene.controller.misbehave(|request| {
        let result = ResultRequest::parse(&request.body, "result").ok()?;
        let name = result.result.name.to_string();
        Some(match name.strip_prefix("lib")?.parse() {
            Ok(302) => Mischief::redirect(302, "http://10.99.0.1/login"),
            Ok(status) => Mischief::status(status),
            Err(_) => Mischief::HangUp,
        })
    });
    let mut agent = Agent::start(&scene.farm, &scene.agent(&[])).unwrap();
    let each_once = |all: &[Exchange]| {
        let came = |name: &String| {
            let field = format!("/{name}/");
            let is_it = |one: &&Exchange| is_result(&one.request);
            all.iter().filter(is_it).any(|one| contains(&one.request.body, &field))
        };
        packages.iter().all(came).then_some(())
    };
    scene.controller.wait(LIMIT, each_once).expect("not every result came");
    wait_for_line(&agent, "cannot post a result: no answer");
    assert!(agent.terminate().unwrap().success());
    let kept = ANSWERS.iter().filter(|(_, kept)| *kept).count();
    assert_eq!(state(&scene, "outbox").len(), kept);
    let reasons = reasons(&scene).concat();
    for (answer, kept) in ANSWERS {
        assert_eq!(reasons.contains(&format!("refused it: {answer} ")), !kept, "{reasons}");
    }
    let lines = agent.lines();
    let said = lines.iter().filter(|line| line.contains("moved to the dead letters")).count();
    assert_eq!(said, ANSWERS.len() - kept);
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

/// W38, design.md rule 5: a result waits across restarts, and across a SIGKILL: it arrives with the
/// bytes that were posted before, and is not replaced by an `interrupt` (W41).
#[test]
fn a_result_waits_across_restarts() {
    let scene = Scene::new(WELL, &["libfoo"]).unwrap();
    scene.controller.misbehave(at_results(Mischief::HangUp));
    let mut agent = Agent::start(&scene.farm, &scene.agent(&[])).unwrap();
    let first = brought(&scene.controller, 1);
    agent.process().signal(Signal::KILL).unwrap();
    agent.wait(LIMIT).unwrap();
    let mut agent = Agent::start(&scene.farm, &scene.agent(&[])).unwrap();
    let second = brought(&scene.controller, 2);
    assert!(agent.terminate().unwrap().success());
    scene.controller.behave();
    let mut agent = Agent::start(&scene.farm, &scene.agent(&[])).unwrap();
    let (last, verdict) = taken(&scene.controller);
    assert_eq!(verdict, Verdict::Stored(ResultStatus::Success));
    assert_eq!(first.request.body, last.request.body);
    assert_eq!(second.request.body, last.request.body);
    assert!(agent.terminate().unwrap().success());
    let sessions = |exchange: &Exchange| {
        ResultRequest::parse(&exchange.request.body, "result").ok().map(|result| result.session)
    };
    let exchanges = scene.controller.exchanges();
    let results = exchanges.iter().filter(|exchange| is_result(&exchange.request));
    let mut sessions: Vec<_> = results.filter_map(sessions).collect();
    sessions.dedup();
    assert_eq!(sessions.len(), 1, "one session, and nothing but its result");
}

/// W38: a result that is older than `--outbox-days` gets one more try, and is a dead letter then;
/// so is, at once, one that was damaged on disk.
#[test]
fn an_old_or_damaged_result_is_given_up() {
    let scene = Scene::new(WELL, &["libfoo"]).unwrap();
    scene.controller.misbehave(at_results(Mischief::status(503)));
    let mut agent = Agent::start(&scene.farm, &scene.agent(&[])).unwrap();
    brought(&scene.controller, 1);
    assert!(agent.terminate().unwrap().success());
    let entries = state(&scene, "outbox");
    let old = entries[0].with_file_name("00000000000000000001-1.manifest");
    std::fs::rename(&entries[0], &old).unwrap();
    // The damaged one is not old.
    let damaged = &entries[0];
    std::fs::write(damaged, &std::fs::read(&old).unwrap()[..100]).unwrap();
    let before = scene.controller.exchanges().len();
    let mut agent = Agent::start(&scene.farm, &scene.agent(&["--outbox-days", "1"])).unwrap();
    let dead = scene.farm.state().join("default-1/dead-letters");
    for entry in [&old, damaged] {
        wait_for_file(&dead.join(entry.file_name().unwrap()), LIMIT).unwrap();
    }
    assert!(agent.terminate().unwrap().success());
    assert!(state(&scene, "outbox").is_empty());
    let reasons = reasons(&scene);
    assert!(reasons[0].starts_with("too old (HTTP 503: not now)"), "{reasons:?}");
    assert!(
        reasons[1].contains("cannot use ") && reasons[1].contains(": its digest is not"),
        "{reasons:?}"
    );
    let exchanges = scene.controller.exchanges();
    let posts = exchanges[before..].iter().filter(|exchange| is_result(&exchange.request));
    assert_eq!(posts.count(), 1);
}

/// W38: from `--outbox-limit` on no new task is asked for, and below it again.
#[test]
fn a_full_outbox_ends_the_asking() {
    let scene = Scene::new(WELL, &["libfoo", "libbar"]).unwrap();
    scene.controller.misbehave(at_results(Mischief::status(503)));
    let mut agent = Agent::start(&scene.farm, &scene.agent(&["--outbox-limit", "100"])).unwrap();
    wait_for_line(&agent, "no task is asked for from 100 on");
    wait_for_status(&scene.runtime_folder(), "idle", LIMIT).unwrap();
    assert!(agent.terminate().unwrap().success());
    assert_eq!(tasks(&scene.controller), 1);
    let mut agent = Agent::start(&scene.farm, &scene.agent(&["--outbox-limit", "100000"])).unwrap();
    agent.wait_for_phase(LIMIT, "durable", 1).unwrap();
    assert!(agent.terminate().unwrap().success());
    assert_eq!(tasks(&scene.controller), 2);
}

/// W39: a controller that hangs keeps no machine: its lock is free before the result is posted,
/// and another controller's task is done on it meanwhile. Nor does it delay that one's result.
#[test]
fn a_hanging_controller_keeps_no_machine() {
    let scene = Scene::new(WELL, &[]).unwrap();
    let lock = scene.farm.machine_folder(MACHINE).join(format!("{MACHINE}-default.lock"));
    let inside = scene.farm.inside().clone();
    let (seen, arrived) = std::sync::mpsc::channel();
    let other = another_controller(&scene, true, &["libfoo"]);
    other.misbehave(move |request| {
        is_result(request).then(|| {
            let is_there = inside.run(|| lock.symlink_metadata().is_ok()).unwrap();
            seen.send(is_there).unwrap();
            Mischief::Silence
        })
    });
    let mut agent = Agent::start(&scene.farm, &agent_for_both(&scene, &other, &[])).unwrap();
    let is_locked = arrived.recv_timeout(LIMIT).unwrap();
    assert!(!is_locked, "the machine is locked while its result is posted");
    assert!(agent.terminate().unwrap().success());
    scene.controller.add(Package::new("libbar", "1.0.0", MACHINE));
    let mut agent = Agent::start(&scene.farm, &agent_for_both(&scene, &other, &[])).unwrap();
    arrived.recv_timeout(LIMIT).unwrap();
    // It hangs again.
    assert_eq!(taken(&scene.controller).1, Verdict::Stored(ResultStatus::Success));
    assert!(agent.terminate().unwrap().success());
    assert_eq!(state(&scene, "outbox").len(), 1, "what hangs is kept");
}

/// W37: as long as the key does not sign, no authenticated work is asked for, but other work is.
/// What could not be signed is kept, and posted as soon as it can be.
#[test]
fn without_signatures_only_unauthenticated_work_is_done() {
    let scene = Scene::new(WELL, &["libfoo"]).unwrap();
    moody_openssl(&scene.farm.run());
    std::fs::write(scene.farm.run().join("broken"), "").unwrap();
    let options = ["--openssl", "/run/openssl"];
    let mut agent = Agent::start(&scene.farm, &scene.agent(&options)).unwrap();
    wait_for_line(&agent, "no authenticated work is asked for until signing works again");
    wait_for_line(&agent, "no token");
    assert!(agent.terminate().unwrap().success());
    assert_eq!(tasks(&scene.controller), 1);
    // Two controllers now, and the result that cannot be signed: the first round may still show
    // the key, as nothing is known of it yet; every later one does not.
    scene.controller.add(Package::new("libbar", "1.0.0", MACHINE));
    let easy = another_controller(&scene, false, &["libeasy", "libeasier"]);
    let both = agent_for_both(&scene, &easy, &options);
    let mut agent = Agent::start(&scene.farm, &both).unwrap();
    wait_for_line(&agent, "no authenticated work is asked for until signing works again");
    let done = |_: &[Exchange]| easy.is_done().then_some(());
    easy.wait(LIMIT, done).expect("unauthenticated work is not done");
    wait_for_status(&scene.runtime_folder(), "idle", LIMIT).unwrap();
    assert!(agent.terminate().unwrap().success());
    assert_eq!(tasks(&scene.controller), 1, "{:#?}", agent.lines());
    std::fs::remove_file(scene.farm.run().join("broken")).unwrap();
    let mut agent = Agent::start(&scene.farm, &both).unwrap();
    let done = |_: &[Exchange]| scene.controller.is_done().then_some(());
    scene.controller.wait(LIMIT, done).expect("authenticated work is not done again");
    assert!(agent.terminate().unwrap().success());
}
