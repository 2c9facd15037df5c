//! The order in which the agent writes to the disk: its system calls, as they are made.

use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bbot_manifest::ResultStatus;
use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::controller::{Exchange, Outcome, Package, Verdict};
use bbot_tests::harness::farm::MachineSpec;
use bbot_tests::harness::hypervisor::SUCCESSFUL;
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::{MACHINE, TOOLCHAIN, Testbed};

/// Has an agent bootstrap the machine and build one package; returns its effects in order, with `@`
/// for the farm's folder.
fn effects(testbed: &Testbed) -> Vec<String> {
    let scratch = testbed.farm.scratch();
    let log = scratch.join("effects");
    let agent = traced(testbed, "--log", log.clone().into());
    agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
    agent.wait_for_phase(LIMIT, "enumerate", 3).unwrap();
    // The last effects follow the line about them.
    let deadline = Instant::now() + LIMIT;
    let read = || read_effects(&log, scratch.to_str().unwrap());
    while !is_over(&read()) && Instant::now() < deadline {
        assert!(agent.process().wait(Duration::from_millis(50)).unwrap().is_none());
    }
    drop(agent);
    read()
}

/// Starts an agent under the tracer with an option.
fn traced(testbed: &Testbed, option: &str, value: OsString) -> Agent {
    let spec = testbed.agent(&[]).traced([OsString::from(option), value]).unwrap();
    Agent::start(&testbed.farm, &spec).unwrap()
}

/// The effects in the log, as far as their lines are complete: the tracer may be writing.
fn read_effects(log: &Path, scratch: &str) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap().replace(scratch, "@");
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    lines.map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

/// Whether the removal of the result from the outbox is durable.
fn is_over(effects: &[String]) -> bool {
    let left =
        effects.iter().rposition(|effect| effect.starts_with("remove @/state/default-1/out"));
    left.is_some_and(|left| effects[left..].iter().any(|effect| effect == SYNC_OUTBOX))
}

const SYNC_OUTBOX: &str = "fsync @/state/default-1/outbox";

/// Checks that there are effects that begin and end with these words, in this order.
#[track_caller]
fn check_order(effects: &[String], expected: &[(&str, &str)]) {
    let mut rest = effects.iter();
    for (start, end) in expected {
        let found = rest.any(|effect| effect.starts_with(start) && effect.ends_with(end));
        assert!(found, "no {start}...{end} in its place of {expected:#?}:\n{effects:#?}");
    }
}

/// How many effects begin with these words.
fn count(effects: &[String], start: &str) -> usize {
    effects.iter().filter(|effect| effect.starts_with(start)).count()
}

/// I5, W25, W38, W41: the task record is durable, file and folder, before the host lock is
/// released; the result is before the guest is ended; the record is removed before the post,
/// durably before the entry in the outbox is removed. New folders are durable as well. W14: disk,
/// manifest and the machine's name are durable, each before the next.
#[test]
fn what_is_promised_is_on_disk_first() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let effects = effects(&testbed);
    let record = "@/state/default-1/task-at-hand.manifest";
    let reserved = "@/state/default-1/record.reserved";
    check_order(
        &effects,
        &[
            ("mkdir @/state/default-1", "default-1"),
            ("fsync @/state", "@/state"),
            ("mkdir @/state/default-1/outbox", ""),
            ("fsync @/state/default-1", "default-1"),
            ("mkdir @/state/default-1/dead-letters", ""),
            ("fsync @/state/default-1", "default-1"),
            ("fsync @/state/", "record.reserved"),
            ("fsync @/state/", "answer.reserved"),
            ("fsync @/state/default-1", "default-1"),
            ("subvolume 23", ""),
            // The last step of the bootstrap's upload.
            ("fsync @/tftp/bootstrap/default-1", "default-1"),
            ("create @/machines/", "-0/manifest.new"),
            ("fsync @/machines/", "-0/manifest.new"),
            ("rename @/machines/", "-0/manifest"),
            ("fsync @/machines/", "-0/disk.img"),
            ("fsync @/machines/", "-0"),
            ("rename @/machines/", "/linux-pretend-default"),
            ("fsync @/machines/default/linux-pretend", "/linux-pretend"),
            // The task.
            ("write @/state/", reserved),
            ("fsync @/state/", reserved),
            ("rename @/state/", record),
            ("fsync @/state/default-1", "default-1"),
            ("write @/machines/", "/linux-pretend-default.lock"),
            ("flock /run/lock/bbot-agent-default.lock", ""),
            ("fsync @/tftp/build/", "/put"),
            ("link @/tftp/build/", "/result.manifest.lz4"),
            ("fsync @/tftp/build/", "/put"),
            ("write @/state/default-1/", "answer.reserved"),
            ("fsync @/state/default-1/", "answer.reserved"),
            ("rename @/state/default-1/", ".manifest"),
            ("fsync @/state/default-1/outbox", "/outbox"),
            ("remove @/state/default-1/task-at-hand.manifest", ""),
            // `quit` to the hypervisor; then SIGKILL.
            ("send socket:", ""),
            ("signal 9", ""),
            ("remove @/machines/", "/linux-pretend-default.lock"),
            ("connect socket:", ""),
            ("fsync @/state/default-1", "default-1"),
            ("remove @/state/default-1/outbox/", ".manifest"),
            ("fsync @/state/default-1/outbox", "/outbox"),
        ],
    );
    // No process is signalled before the result is durable.
    let durable = effects.iter().position(|effect| effect == SYNC_OUTBOX);
    let upload = "link @/tftp/build/default-1/put/";
    let upload = effects.iter().rposition(|effect| effect.starts_with(upload));
    let between = &effects[upload.unwrap()..durable.unwrap()];
    assert_eq!(count(between, "signal"), 0, "{between:#?}");
}

/// W14: the obsolete bootstrapped machine is kept until the new one has its name durably.
#[test]
fn the_obsolete_machine_goes_last() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    testbed.farm.add_bootstrapped(&MachineSpec::small(MACHINE, SUCCESSFUL), TOOLCHAIN).unwrap();
    let manifest = testbed.bootstrapped(MACHINE).join("manifest");
    testbed.farm.namespaces().run(|| std::fs::write(manifest, "not a manifest")).unwrap().unwrap();
    let effects = effects(&testbed);
    let folder = "@/machines/default/linux-pretend";
    let steps = [
        ("fsync @/machines/", "-0/manifest.new"),
        ("fsync @/machines/", "-0/disk.img"),
        ("rename @/machines/", "/linux-pretend-default"),
        (&*format!("fsync {folder}"), folder),
    ];
    check_order(&effects, &steps);
    let ending = |end: &str| effects.iter().position(|effect| effect.ends_with(end)).unwrap();
    let published = ending("/linux-pretend-default");
    let is_subvolume = |effect: &&String| effect.starts_with("subvolume ");
    let before: Vec<_> = effects[..published].iter().filter(is_subvolume).collect();
    assert!(matches!(before[..], [one] if one.starts_with(SNAPSHOT)), "{before:?}");
    let synchronised = |effect: &String| *effect == format!("fsync {folder}");
    let after = published + effects[published..].iter().position(synchronised).unwrap();
    assert_eq!(effects[published..after].iter().find(is_subvolume), None);
    let next = effects[after..].iter().find(is_subvolume).unwrap();
    assert!(next.starts_with(DELETION), "{next}");
}

/// `BTRFS_IOC_SNAP_CREATE_V2`.
const SNAPSHOT: &str = "subvolume 23 ";
/// `BTRFS_IOC_SNAP_DESTROY`.
const DELETION: &str = "subvolume 15 ";

/// The status of each phase is written by one system call.
#[test]
fn a_phase_costs_one_write() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let effects = effects(&testbed);
    let status = "/run/bbot-agent/default-1/status.json.new";
    let phases = count(&effects, &format!("rename {status}"));
    assert!(phases >= 5, "{effects:#?}");
    assert!(count(&effects, &format!("write {status}")).abs_diff(phases) <= 1);
}

/// The verdicts on the posted results.
fn verdicts(exchanges: &[Exchange]) -> Vec<Verdict> {
    let verdict = |exchange: &Exchange| match &exchange.outcome {
        Outcome::Result { verdict, .. } => Some(verdict.clone()),
        _ => None,
    };
    exchanges.iter().filter_map(verdict).collect()
}

/// W26: an agent that cannot lock the machine, or cannot write the task record, interrupts the task
/// at once, lets the machine rest, and goes on with others.
#[test]
fn a_task_that_cannot_be_recorded_is_interrupted() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    for name in ["linux-other", "linux-third"] {
        let machine = MachineSpec::small(name, SUCCESSFUL.replacen("fresh", "installed", 1));
        testbed.farm.add_machine(&machine).unwrap();
        testbed.farm.add_bootstrapped(&machine, TOOLCHAIN).unwrap();
    }
    for (number, machine) in [MACHINE, "linux-other", "linux-third"].into_iter().enumerate() {
        testbed.controller.add(Package::new(&format!("lib{number}"), "1.0.0", machine));
    }
    let lock = testbed.lock_file(MACHINE);
    let record = testbed.state("task-at-hand.manifest.new");
    let reserved = testbed.state("record.reserved");
    let namespaces = testbed.farm.namespaces().clone();
    let number = AtomicU32::new(0);
    // While the agent waits for an answer, something on the host breaks, until the next answer.
    testbed.controller.inject_faults(move |request| {
        if request.is_task_request() {
            let make = |path: &Path| std::fs::create_dir(path).unwrap();
            let remove = |path: &Path| std::fs::remove_dir(path).unwrap();
            match number.fetch_add(1, Ordering::Relaxed) {
                0 => namespaces.run(|| make(&lock)).unwrap(),
                1 => {
                    namespaces.run(|| remove(&lock)).unwrap();
                    std::fs::remove_file(&reserved).unwrap();
                    make(&record);
                }
                2 => remove(&record),
                _ => {}
            }
        }
        None
    });
    let mut agent = testbed.start(&[]).unwrap();
    let three = |all: &[Exchange]| Some(verdicts(all)).filter(|verdicts| verdicts.len() == 3);
    let verdicts = testbed.controller.wait(LIMIT, three).expect("a task is not answered");
    let interrupted = verdicts.iter().filter(|verdict| **verdict == Verdict::PutBack).count();
    assert_eq!(interrupted, 2, "{verdicts:?}");
    assert!(verdicts.contains(&Verdict::Stored(ResultStatus::Success)), "{verdicts:?}");
    agent.end().unwrap();
    let counts = (agent.count("cannot have linux-"), agent.count("cannot build on linux-"));
    assert_eq!(counts, (1, 1), "{:#?}", agent.lines());
}

/// I5, W41, W49: a result that cannot be made durable is not posted, and not replaced by another
/// answer: it is stored when that is possible.
#[test]
fn a_result_that_is_not_durable_is_not_posted() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let outbox = testbed.state("outbox");
    let agent = traced(&testbed, "--fail", format!("fsync {}", outbox.display()).into());
    let (verdict, _) = testbed.result(1).unwrap();
    let success = Verdict::Stored(ResultStatus::Success);
    assert_eq!(verdict, success, "{:#?}", agent.lines());
    agent.wait_for_line("cannot store the answer to ").unwrap();
    // Its removal follows the post.
    let is_empty = || std::fs::read_dir(&outbox).unwrap().count() == 0;
    let deadline = Instant::now() + LIMIT;
    while !is_empty() && Instant::now() < deadline {
        assert!(agent.process().wait(Duration::from_millis(50)).unwrap().is_none());
    }
    assert!(is_empty());
    assert_eq!(verdicts(&testbed.controller.exchanges()), [success]);
}
