//! Instances that do not give up their tasks as they should (W35).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::squatter::Squatter;
use super::*;

/// At SIGUSR1 it tells of it, and goes on.
const IGNORES: &str = "echo told";
/// At SIGUSR1 it begins a hold: the lock loses its priority.
const HOLDS: &str = r#"truncate --size ${#$} "$1""#;
/// At SIGUSR1 it lets go, as an instance does whose task ends, and lives on.
const LETS_GO: &str = r#"rm "$1"; flock --unlock 9"#;
/// At SIGUSR1 it upgrades the machine, as an operator does.
const UPGRADES: &str = r#"cd "${1%/*}"; ln -s m1-1.2 .link; mv -T .link m1-1"#;
/// Runs a program as root who must not signal other users' processes.
const WITHOUT_KILL: [&str; 2] = ["setpriv", "--bounding-set=-kill"];

fn says(agent: &Agent, part: &str) {
    let find = |lines: &[String]| lines.iter().any(|line| line.contains(part)).then_some(());
    agent.wait_for(LIMIT, find).unwrap();
}

/// W35: an instance that begins a hold is given up at once. The new task is answered with
/// `interrupt`, and its controller rests: it is not asked again at once.
#[test]
fn a_hold_costs_the_new_task() {
    // One machine is free: the controller would be asked for it.
    let scene = scene(&["m1", "m2"]);
    let high = controller(&scene, &["m1"]);
    let before = scene.farm.inventory().unwrap();
    let mut held = Squatter::new(&scene, "m1", " 90", &format!("{HOLDS}; {IGNORES}"));
    let mut agent = start(&scene, 1, "2", "0100", &high);
    held.wait_for("told");
    assert_quick(&agent);
    assert_interrupted(&high);
    says(&agent, "warning: cannot have m1: m1, which ");
    wait_until_idle(&scene, 1);
    assert_eq!(offers(&high), [["m1", "m2"]]);
    assert!(lock(&scene, "m1").parse::<u32>().is_ok());
    assert!(agent.terminate().unwrap().success());
    held.kill();
    let left = scene.leftovers(&before).unwrap();
    assert!(
        left.iter().all(|item| item.starts_with("lock ") || item.contains("sleep")),
        "{left:?}"
    );
}

/// W35, W40: SIGTERM ends the wait for one that does not let go; the new task is answered.
#[test]
fn sigterm_ends_the_wait_for_others() {
    let scene = scene(&["m1"]);
    let mut deaf = Squatter::new(&scene, "m1", " 0", IGNORES);
    let high = controller(&scene, &["m1"]);
    let mut agent = start(&scene, 1, "2", "0100", &high);
    deaf.wait_for("told");
    wait_for_status(&scene.runtime_folder(), "interrupting", LIMIT).unwrap();
    let start = Instant::now();
    agent.process().signal(Signal::TERM).unwrap();
    assert!(agent.wait(LIMIT).unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_interrupted(&high);
}

/// W35, W41: an agent that is killed while it waits has its task on record: the next start answers
/// it.
#[test]
fn a_task_is_on_record_before_others_are_told() {
    let scene = scene(&["m1"]);
    let mut deaf = Squatter::new(&scene, "m1", " 0", IGNORES);
    let high = controller(&scene, &["m1"]);
    let mut agent = start(&scene, 1, "2", "0100", &high);
    deaf.wait_for("told");
    agent.process().signal(Signal::KILL).unwrap();
    agent.wait(LIMIT).unwrap();
    let _next = Agent::start(&scene.farm, &scene.instance(1, &[], &[("0000", &high)])).unwrap();
    assert_interrupted(&high);
}

/// W35: one that dies makes room, though nobody touches its lock file; nobody polls for that.
#[test]
fn a_death_makes_room() {
    let scene = scene(&["m1"]);
    let mut deaf = Squatter::new(&scene, "m1", " 0", IGNORES);
    let high = controller(&scene, &["m1"]);
    let agent = start(&scene, 1, "2", "0100", &high);
    deaf.wait_for("told");
    deaf.kill();
    agent.wait_for_phase(LIMIT, "first-request", 1).unwrap();
    assert!(lock(&scene, "m1").ends_with(" 100"));
}

/// W35: what became of a task while the controller was asked counts: nobody is told who has begun
/// a hold, or has let go, meanwhile.
#[test]
fn what_changed_while_a_controller_was_asked_counts() {
    for (change, lets_go) in [(HOLDS, false), (LETS_GO, true)] {
        let scene = scene(&["m1"]);
        let squatter = Squatter::new(&scene, "m1", " 0", &format!("{change}; {IGNORES}"));
        let squatter = Arc::new(Mutex::new(squatter));
        let high = controller(&scene, &["m1"]);
        let shared = Arc::clone(&squatter);
        let changed = AtomicBool::new(false);
        high.misbehave(move |request| {
            if request.query() == "build-task" && !changed.swap(true, Ordering::AcqRel) {
                let mut squatter = shared.lock().unwrap();
                squatter.tell();
                squatter.wait_for("told");
            }
            None
        });
        let agent = start(&scene, 1, "2", "0100", &high);
        if lets_go {
            agent.wait_for_phase(LIMIT, "first-request", 1).unwrap();
        } else {
            assert_interrupted(&high);
        }
        high.behave();
        let squatter = Arc::into_inner(squatter).unwrap().into_inner().unwrap();
        squatter.assert_untold();
    }
}

/// W35: whoever must not be signalled is warned of and left alone; the new task is answered with
/// `interrupt`, and its controller rests.
#[test]
fn a_forbidden_signal_costs_the_new_task() {
    let scene = scene(&["m1"]);
    let stranger = Squatter::stranger(&scene, "m1", " 0");
    let before = lock(&scene, "m1");
    let pid = before.strip_suffix(" 0").unwrap();
    let high = controller(&scene, &["m1"]);
    let mut spec = scene.instance(1, &["--instance-max", "2"], &[("0100", &high)]);
    spec.under = WITHOUT_KILL.map(Into::into).into();
    let mut agent = Agent::start(&scene.farm, &spec).unwrap();
    assert_interrupted(&high);
    let reason = format!("cannot signal process {pid}: Operation not permitted (os error 1)");
    says(&agent, &format!("warning: {reason}"));
    says(&agent, &format!("warning: cannot have m1: {reason}"));
    wait_until_idle(&scene, 1);
    assert_eq!(offers(&high), [["m1"]]);
    assert!(agent.terminate().unwrap().success());
    assert_eq!(lock(&scene, "m1"), before);
    stranger.assert_untold();
}

/// W35: a machine that was upgraded while its holder was waited for is not what the task was given
/// for: it is answered with `interrupt`, and built on what the machine has become.
#[test]
fn an_upgrade_while_others_are_waited_for_costs_the_new_task() {
    let scene = Scene::without_machines().unwrap();
    let mut machine = MachineSpec::small("m1", building(SILENT));
    machine.manifest = machine.manifest.replace("-1.1", "-1.2");
    machine.revision = 2;
    scene.farm.add_machine(&machine).unwrap();
    // The first revision takes over the link, and is the bootstrapped one.
    scene.add_machine("m1", SILENT).unwrap();
    let at_signal = format!("{UPGRADES}; {LETS_GO}; {IGNORES}");
    let mut squatter = Squatter::new(&scene, "m1", " 0", &at_signal);
    let high = controller(&scene, &["m1"]);
    let agent = start(&scene, 1, "2", "0100", &high);
    squatter.wait_for("told");
    assert_interrupted(&high);
    says(&agent, "warning: cannot have m1: it has changed meanwhile");
    let again = |all: &[Exchange]| {
        all.iter().filter(|one| matches!(one.outcome, Outcome::Task { .. })).nth(1).map(|_| ())
    };
    high.wait(LIMIT, again).expect("no second task");
    assert_eq!(offers(&high), [["m1"], ["m1"]]);
    assert_eq!(agent.phases().iter().filter(|phase| phase.name == "bootstrap").count(), 1);
    squatter.kill();
}
