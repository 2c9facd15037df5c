//! Results that cannot be posted at once: when they are posted again, when they are moved to the
//! dead letters, and that they do not delay anything else. The real agent, a simulated guest,
//! controllers with faults.

use std::path::PathBuf;

use bbot_manifest::{Manifest, ResultRequest, ResultStatus};
use bbot_tests::harness::agent::{Agent, AgentSpec};
use bbot_tests::harness::controller::{
    Controller, ControllerConfig, Exchange, Fault, Package, Request, Verdict,
};
use bbot_tests::harness::hypervisor::SUCCESSFUL;
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::{MACHINE, Testbed};
use bbot_tests::harness::watch::wait_for_file;

const SECOND: u64 = 1_000_000_000;

/// Each post of a result meets this fault.
fn at_results(fault: Fault) -> impl Fn(&Request) -> Option<Fault> {
    move |request| request.is_result().then(|| fault.clone())
}

/// Waits for the first result that was stored; returns its post and the verdict.
fn stored(controller: &Controller) -> (Exchange, Verdict) {
    let (verdict, exchange) = controller.wait_for_verdict(1, LIMIT).unwrap();
    (exchange, verdict)
}

/// The names of the files in a folder of instance 1's state.
fn state(testbed: &Testbed, folder: &str) -> Vec<PathBuf> {
    let folder = testbed.farm.state().join("default-1").join(folder);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The reasons of the dead letters.
fn reasons(testbed: &Testbed) -> Vec<String> {
    let paths = state(testbed, "dead-letters");
    let is_reason = |path: &&PathBuf| path.extension().is_some_and(|end| end == "reason");
    paths.iter().filter(is_reason).map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// A second controller, which authenticates agents if it is `strict`.
fn another_controller(testbed: &Testbed, strict: bool, packages: &[&str]) -> Controller {
    let config = ControllerConfig {
        packages: packages.iter().map(|name| Package::new(name, "1.0.0", MACHINE)).collect(),
        keys: if strict { vec![testbed.known_key().clone()] } else { Vec::new() },
        ..ControllerConfig::default()
    };
    testbed.start_controller(config).unwrap()
}

/// An agent for the testbed's controller and another one, whose priority is greater.
fn agent_for_both(testbed: &Testbed, other: &Controller, options: &[&str]) -> AgentSpec {
    testbed.agent(options).with_controller(format!("0001={}", other.url()))
}

/// Installs an openssl that signs nothing while the file `/run/broken` exists.
fn install_breakable_openssl(testbed: &Testbed) {
    let script = "#!/bin/sh\ncase \"$1\" in pkeyutl|rsautl)\n\
        [ -e /run/broken ] && { echo no token >&2; exit 1; };; esac\nexec openssl \"$@\"\n";
    testbed.farm.install_script("openssl", script).unwrap();
}

/// W4, W38: a result whose post fails is posted again after 1 s, 2 s and so on, also in an idle
/// pause, always with the same bytes; nothing else is delayed.
#[test]
fn a_result_is_posted_again_until_it_is_taken() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    testbed.controller.inject_some_faults(3, at_results(Fault::status(503)));
    let mut agent = testbed.start(&[]).unwrap();
    let first = testbed.controller.wait_for_post(1).unwrap();
    // The round goes on: there is nothing to do, and the pause begins.
    testbed.wait_until_idle().unwrap();
    let (second, third) = (
        testbed.controller.wait_for_post(2).unwrap(),
        testbed.controller.wait_for_post(3).unwrap(),
    );
    let (last, verdict) = stored(&testbed.controller);
    assert_eq!(verdict, Verdict::Stored(ResultStatus::Success));
    assert!(second.received_at - first.answered_at >= SECOND);
    assert!(third.received_at - second.answered_at >= 2 * SECOND);
    for attempt in [&first, &second, &third] {
        assert_eq!(attempt.request.body, last.request.body);
    }
    // Four posts, and no further round of requests.
    assert_eq!(testbed.controller.wait_for_post(4).unwrap().received_at, last.received_at);
    assert!(agent.count_phases("enumerate") <= 3);
    agent.end().unwrap();
    assert!(state(&testbed, "outbox").is_empty());
}

/// W38: `Retry-After` extends the pause.
#[test]
fn a_result_is_posted_again_not_before_retry_after() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    testbed.controller.inject_some_faults(1, at_results(Fault::retry_after(4)));
    let mut agent = testbed.start(&[]).unwrap();
    let first = testbed.controller.wait_for_post(1).unwrap();
    let (second, _) = stored(&testbed.controller);
    assert!(second.received_at - first.answered_at >= 4 * SECOND);
    agent.end().unwrap();
}

/// A login page.
const PAGE: &str = "<!DOCTYPE html>\n<title>Log in</title>\n";

/// W61: what a proxy or a login page answers for a while neither takes a result nor refuses it.
#[test]
fn a_result_survives_the_answers_of_proxies() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let faults = [
        Fault::manifest(PAGE),
        Fault::redirect(302, "http://10.99.0.1/login"),
        Fault::status(403),
        Fault::status(404),
    ];
    let count = faults.len();
    let faults = std::sync::Mutex::new(faults.into_iter());
    testbed.controller.inject_some_faults(count, move |request| {
        request.is_result().then(|| faults.lock().unwrap().next()).flatten()
    });
    let mut agent = testbed.start(&[]).unwrap();
    let (_, verdict) = stored(&testbed.controller);
    assert_eq!(verdict, Verdict::Stored(ResultStatus::Success));
    agent.end().unwrap();
    let warning = "warning: cannot post a result: HTTP ";
    for answer in ["200 not the empty answer of a controller, but: <!DOCTYPE html>", "302 ", "403 "]
    {
        let lines = agent.lines();
        let start = format!("{warning}{answer}");
        assert!(lines.iter().any(|line| line.starts_with(&start)), "{answer}: {lines:#?}");
    }
    assert!(state(&testbed, "outbox").is_empty() && state(&testbed, "dead-letters").is_empty());
}

/// W38, W61: no answer, 408, 429 and 5xx never refuse a result. Any other answer refuses it once it
/// has been the same for an hour, also over a restart: the result goes to the dead letters, with
/// the reason, and the agent reports it; none is lost.
#[test]
fn a_refused_result_is_a_dead_letter() {
    const ANSWERS: [(&str, bool); 10] = [
        ("400", false),
        ("404", false),
        ("413", false),
        ("302", false),
        ("200", false),
        ("408", true),
        ("429", true),
        ("500", true),
        ("599", true),
        ("gone", true),
    ];
    let packages = ANSWERS.map(|(answer, _)| format!("lib{answer}"));
    let names: Vec<_> = packages.iter().map(String::as_str).collect();
    let testbed = Testbed::new(SUCCESSFUL, &names).unwrap();
    testbed.controller.inject_faults(|request| {
        let result = ResultRequest::parse(&request.body, "result").ok()?;
        let name = result.result.name.to_string();
        Some(match name.strip_prefix("lib")?.parse() {
            Ok(302) => Fault::redirect(302, "http://10.99.0.1/login"),
            Ok(200) => Fault::manifest(PAGE),
            Ok(status) => Fault::status(status),
            Err(_) => Fault::Disconnect,
        })
    });
    let mut agent = testbed.start(&[]).unwrap();
    for (answer, _) in ANSWERS {
        let start = if answer == "gone" { "no answer".into() } else { format!("HTTP {answer}") };
        agent.wait_for_line(&format!("cannot post a result: {start}")).unwrap();
    }
    agent.end().unwrap();
    assert_eq!(state(&testbed, "outbox").len(), ANSWERS.len());
    assert!(state(&testbed, "dead-letters").is_empty());
    let_almost_an_hour_pass(&testbed);
    let mut agent = testbed.start(&[]).unwrap();
    for (answer, _) in ANSWERS.iter().filter(|(_, kept)| !kept) {
        agent.wait_for_line(&format!("refused it: {answer} ")).unwrap();
    }
    agent.end().unwrap();
    let kept = ANSWERS.iter().filter(|(_, kept)| *kept).count();
    assert_eq!(state(&testbed, "outbox").len(), kept);
    let reasons = reasons(&testbed).concat();
    for (answer, kept) in ANSWERS {
        assert_eq!(reasons.contains(&format!("refused it: {answer} ")), !kept, "{reasons}");
    }
    let lines = agent.lines();
    let reports = lines.iter().filter(|line| line.contains("moved to the dead letters")).count();
    assert_eq!(reports, ANSWERS.len() - kept);
    let answers = std::fs::read(testbed.state("foreign-answers.json")).unwrap();
    assert_eq!(answers, b"{}");
}

/// Changes what a stopped instance remembers: each answer has been the same for 3599 seconds.
fn let_almost_an_hour_pass(testbed: &Testbed) {
    let path = testbed.state("foreign-answers.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let parts: Vec<_> = text.split("\"seconds\":").collect();
    let rests = parts.iter().map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
    let changed = rests.collect::<Vec<_>>().join("\"seconds\":3599");
    std::fs::write(path, changed).unwrap();
}

/// W38, I5: a result stays in the outbox across restarts and a SIGKILL: it is posted with the same
/// bytes as before, and is not replaced by an `interrupt` (W41).
#[test]
fn a_result_waits_across_restarts() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    testbed.controller.inject_faults(at_results(Fault::Disconnect));
    let mut agent = testbed.start(&[]).unwrap();
    let first = testbed.controller.wait_for_post(1).unwrap();
    agent.kill().unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    let second = testbed.controller.wait_for_post(2).unwrap();
    agent.end().unwrap();
    testbed.controller.stop_faults();
    let mut agent = testbed.start(&[]).unwrap();
    let (last, verdict) = stored(&testbed.controller);
    assert_eq!(verdict, Verdict::Stored(ResultStatus::Success));
    assert_eq!(first.request.body, last.request.body);
    assert_eq!(second.request.body, last.request.body);
    agent.end().unwrap();
    let sessions = |exchange: &Exchange| {
        ResultRequest::parse(&exchange.request.body, "result").ok().map(|result| result.session)
    };
    let exchanges = testbed.controller.exchanges();
    let results = exchanges.iter().filter(|exchange| exchange.request.is_result());
    let mut sessions: Vec<_> = results.filter_map(sessions).collect();
    sessions.dedup();
    assert_eq!(sessions.len(), 1, "one session, and nothing but its result");
}

/// W38: a result that is older than `--outbox-days` is posted once more, and then moved to the dead
/// letters; one that is damaged on disk is moved at once.
#[test]
fn an_old_or_damaged_result_is_given_up() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    testbed.controller.inject_faults(at_results(Fault::status(503)));
    let mut agent = testbed.start(&[]).unwrap();
    testbed.controller.wait_for_post(1).unwrap();
    agent.end().unwrap();
    let entries = state(&testbed, "outbox");
    let old = entries[0].with_file_name("00000000000000000001-1.manifest");
    std::fs::rename(&entries[0], &old).unwrap();
    // The damaged one is not old.
    let damaged = &entries[0];
    std::fs::write(damaged, &std::fs::read(&old).unwrap()[..100]).unwrap();
    let before = testbed.controller.exchanges().len();
    let mut agent = testbed.start(&["--outbox-days", "1"]).unwrap();
    let dead = testbed.state("dead-letters");
    for entry in [&old, damaged] {
        wait_for_file(&dead.join(entry.file_name().unwrap()), LIMIT).unwrap();
    }
    agent.end().unwrap();
    assert!(state(&testbed, "outbox").is_empty());
    let reasons = reasons(&testbed);
    assert!(reasons[0].starts_with("too old (HTTP 503: not now)"), "{reasons:?}");
    assert!(
        reasons[1].contains("cannot use ") && reasons[1].contains(": its digest is not"),
        "{reasons:?}"
    );
    let exchanges = testbed.controller.exchanges();
    let posts = exchanges[before..].iter().filter(|exchange| exchange.request.is_result());
    assert_eq!(posts.count(), 1);
}

/// W38: no task is asked for while the outbox has reached `--outbox-limit`.
#[test]
fn a_full_outbox_ends_the_asking() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo", "libbar"]).unwrap();
    testbed.controller.inject_faults(at_results(Fault::status(503)));
    let mut agent = testbed.start(&["--outbox-limit", "100"]).unwrap();
    agent.wait_for_line("no task is asked for from 100 on").unwrap();
    testbed.wait_until_idle().unwrap();
    agent.end().unwrap();
    assert_eq!(testbed.controller.tasks(), 1);
    let mut agent = testbed.start(&["--outbox-limit", "100000"]).unwrap();
    agent.wait_for_phase(LIMIT, "durable", 1).unwrap();
    agent.end().unwrap();
    assert_eq!(testbed.controller.tasks(), 2);
}

/// W39: a controller that hangs does not block a machine: its lock is released before the result is
/// posted, and another controller's task is performed on it meanwhile, and its result posted.
#[test]
fn a_hanging_controller_keeps_no_machine() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let lock = testbed.lock_file(MACHINE);
    let namespaces = testbed.farm.namespaces().clone();
    let (seen, arrived) = std::sync::mpsc::channel();
    let other = another_controller(&testbed, true, &["libfoo"]);
    other.inject_faults(move |request| {
        request.is_result().then(|| {
            let is_there = namespaces.run(|| lock.symlink_metadata().is_ok()).unwrap();
            seen.send(is_there).unwrap();
            Fault::NoAnswer
        })
    });
    let mut agent = Agent::start(&testbed.farm, &agent_for_both(&testbed, &other, &[])).unwrap();
    let is_locked = arrived.recv_timeout(LIMIT).unwrap();
    assert!(!is_locked, "the machine is locked while its result is posted");
    agent.end().unwrap();
    testbed.controller.add(Package::new("libbar", "1.0.0", MACHINE));
    let mut agent = Agent::start(&testbed.farm, &agent_for_both(&testbed, &other, &[])).unwrap();
    arrived.recv_timeout(LIMIT).unwrap();
    assert_eq!(stored(&testbed.controller).1, Verdict::Stored(ResultStatus::Success));
    agent.end().unwrap();
    assert_eq!(state(&testbed, "outbox").len(), 1, "the result that hangs is kept");
}

/// W37: while the key does not sign, no authenticated tasks are asked for, but others are. Results
/// that could not be signed are kept, and posted as soon as they can be signed.
#[test]
fn without_signatures_only_unauthenticated_work_is_done() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    install_breakable_openssl(&testbed);
    std::fs::write(testbed.farm.run().join("broken"), "").unwrap();
    let options = ["--openssl", "/run/openssl"];
    let mut agent = testbed.start(&options).unwrap();
    agent.wait_for_line("no authenticated work is asked for until signing works again").unwrap();
    agent.wait_for_line("no token").unwrap();
    agent.end().unwrap();
    assert_eq!(testbed.controller.tasks(), 1);
    // Two controllers now, and the result that cannot be signed: the first round may still name
    // the key, as its failure is not known yet; later ones do not.
    testbed.controller.add(Package::new("libbar", "1.0.0", MACHINE));
    let open = another_controller(&testbed, false, &["libopen", "libother"]);
    let both = agent_for_both(&testbed, &open, &options);
    let mut agent = Agent::start(&testbed.farm, &both).unwrap();
    agent.wait_for_line("no authenticated work is asked for until signing works again").unwrap();
    open.wait_until_done(LIMIT).unwrap();
    testbed.wait_until_idle().unwrap();
    agent.end().unwrap();
    assert_eq!(testbed.controller.tasks(), 1, "{:#?}", agent.lines());
    std::fs::remove_file(testbed.farm.run().join("broken")).unwrap();
    let mut agent = Agent::start(&testbed.farm, &both).unwrap();
    testbed.controller.wait_until_done(LIMIT).unwrap();
    agent.end().unwrap();
}

/// W63: a result whose key is replaced waits for it, which the agent tells, and is never signed by
/// the other one; it is posted when its key is back.
#[test]
fn a_result_waits_for_its_key() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    testbed.controller.inject_faults(at_results(Fault::status(503)));
    let spec = testbed.agent(&[]);
    let option = spec.arguments.iter().position(|word| word == "--auth-key").unwrap();
    let key = PathBuf::from(&spec.arguments[option + 1]);
    let (other, original) = (key.with_extension("other"), key.with_extension("original"));
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    agent.wait_for_line("cannot post a result: HTTP 503").unwrap();
    std::fs::copy(&key, &original).unwrap();
    let made = std::process::Command::new("openssl").arg("genrsa").arg("-out").arg(&other).output();
    assert!(made.unwrap().status.success());
    std::fs::rename(&other, &key).unwrap();
    agent.wait_for_line("which is not --auth-key: that is ").unwrap();
    testbed.controller.stop_faults();
    std::fs::rename(&original, &key).unwrap();
    // The first verdict: nothing else was posted before.
    let (_, verdict) = stored(&testbed.controller);
    assert_eq!(verdict, Verdict::Stored(ResultStatus::Success));
    agent.end().unwrap();
    assert_eq!(agent.count("--auth-key was replaced"), 2, "{:#?}", agent.lines());
}
