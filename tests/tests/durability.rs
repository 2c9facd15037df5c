//! In which order things reach the disk: the system calls of the real agent, as they are made.

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

/// Lets an agent bootstrap the machine and build one package; returns what it did to the world, one
/// effect a line, in order, with `@` for the farm's folder.
fn effects(testbed: &Testbed) -> Vec<String> {
    let scratch = testbed.farm.scratch();
    let log = scratch.join("effects");
    let agent = traced(testbed, "--log", log.clone().into());
    agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
    agent.wait_for_phase(LIMIT, "enumerate", 3).unwrap();
    // The last steps come behind what the agent says of them.
    let deadline = Instant::now() + LIMIT;
    let read = || read_effects(&log, scratch.to_str().unwrap());
    while !is_over(&read()) && Instant::now() < deadline {
        assert!(agent.process().wait(Duration::from_millis(50)).unwrap().is_none());
    }
    drop(agent);
    read()
}

/// Starts an agent under the tracer, which has an option.
fn traced(testbed: &Testbed, option: &str, value: OsString) -> Agent {
    let tracer = bbot_tests::harness::programs::find("bbot-crash").unwrap();
    let mut spec = testbed.agent(&[]);
    spec.under = vec![tracer.into(), "trace".into(), option.into(), value, "--".into()];
    Agent::start(&testbed.farm, &spec).unwrap()
}

fn read_effects(log: &Path, scratch: &str) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap().replace(scratch, "@");
    text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

/// Whether the result has left the outbox for good.
fn is_over(effects: &[String]) -> bool {
    let left =
        effects.iter().rposition(|effect| effect.starts_with("remove @/state/default-1/out"));
    left.is_some_and(|left| effects[left..].iter().any(|effect| effect == SYNC_OUTBOX))
}

const SYNC_OUTBOX: &str = "fsync @/state/default-1/outbox";

/// Looks for effects that begin and end with these words, one after the other: each is searched
/// for behind the one before it.
#[track_caller]
fn check_order(effects: &[String], expected: &[(&str, &str)]) {
    let mut rest = effects.iter();
    for (start, end) in expected {
        let found = rest.any(|effect| effect.starts_with(start) && effect.ends_with(end));
        assert!(found, "no {start}...{end} in its place of {expected:#?}:\n{effects:#?}");
    }
}

/// How often an effect begins with these words.
fn count(effects: &[String], start: &str) -> usize {
    effects.iter().filter(|effect| effect.starts_with(start)).count()
}

/// I5, W25, W38, W41: the record of the task is on disk, file and folder, before the
/// host is let go; the result is, before the guest is; the record goes before the post, and is gone
/// for good before the entry goes. Folders that were made on the way are on disk as well.
/// W14: disk, manifest and the machine's name, each before what depends on it.
#[test]
fn what_is_promised_is_on_disk_first() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let effects = effects(&testbed);
    let record = "@/state/default-1/task-at-hand.manifest";
    let new_record = format!("{record}.new");
    check_order(
        &effects,
        &[
            ("mkdir @/state/default-1", "default-1"),
            ("fsync @/state", "@/state"),
            ("mkdir @/state/default-1/outbox", ""),
            ("fsync @/state/default-1", "default-1"),
            ("mkdir @/state/default-1/dead-letters", ""),
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
            ("write @/state/", &new_record),
            ("fsync @/state/", &new_record),
            ("rename @/state/", record),
            ("fsync @/state/default-1", "default-1"),
            ("write @/machines/", "/linux-pretend-default.lock"),
            ("flock /run/lock/bbot-agent-default.lock", ""),
            ("fsync @/tftp/build/", "/put"),
            ("rename @/tftp/build/", "/result.manifest.lz4"),
            ("fsync @/tftp/build/", "/put"),
            ("write @/state/default-1/outbox/", ".manifest.new"),
            ("fsync @/state/default-1/outbox/", ".manifest.new"),
            ("rename @/state/default-1/outbox/", ".manifest"),
            ("fsync @/state/default-1/outbox", "/outbox"),
            ("remove @/state/default-1/task-at-hand.manifest", ""),
            // `quit` to the hypervisor; then its end, for certain.
            ("send socket:", ""),
            ("signal 9", ""),
            ("remove @/machines/", "/linux-pretend-default.lock"),
            ("connect socket:", ""),
            ("fsync @/state/default-1", "default-1"),
            ("remove @/state/default-1/outbox/", ".manifest"),
            ("fsync @/state/default-1/outbox", "/outbox"),
        ],
    );
    // Between the result's last byte and its place in the outbox nobody is told anything.
    let durable = effects.iter().position(|effect| effect == SYNC_OUTBOX);
    let upload = "rename @/tftp/build/default-1/put/";
    let upload = effects.iter().rposition(|effect| effect.starts_with(upload));
    let between = &effects[upload.unwrap()..durable.unwrap()];
    let told = between.iter().filter(|effect| effect.starts_with("signal")).count();
    assert_eq!(told, 0, "{between:#?}");
}

/// W14: what was bootstrapped before stays until the new one has its name for good.
#[test]
fn the_obsolete_machine_goes_last() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    testbed.farm.add_bootstrapped(&MachineSpec::small(MACHINE, SUCCESSFUL), TOOLCHAIN).unwrap();
    let manifest = testbed.farm.machine_folder(MACHINE).join(format!("{MACHINE}-default/manifest"));
    testbed.farm.namespaces().run(|| std::fs::write(manifest, "rubbish")).unwrap().unwrap();
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

/// What is told of each phase is written at once, not word by word.
#[test]
fn a_phase_costs_one_write() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let effects = effects(&testbed);
    let status = "/run/bbot-agent/default-1/status.json.new";
    let phases = count(&effects, &format!("rename {status}"));
    assert!(phases >= 5, "{effects:#?}");
    assert!(count(&effects, &format!("write {status}")).abs_diff(phases) <= 1);
}

/// The outcomes of the results that were taken in.
fn verdicts(exchanges: &[Exchange]) -> Vec<Verdict> {
    let verdict = |exchange: &Exchange| match &exchange.outcome {
        Outcome::Result { verdict, .. } => Some(verdict.clone()),
        _ => None,
    };
    exchanges.iter().filter_map(verdict).collect()
}

/// W26: a host that cannot lock the machine, or cannot put the task on record, gives the task back
/// at once, lets the machine rest, and goes on with others.
#[test]
fn a_task_that_cannot_be_taken_on_is_given_back() {
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
    let namespaces = testbed.farm.namespaces().clone();
    let number = AtomicU32::new(0);
    // While the agent waits for the answer, the host breaks; and is whole again for the next.
    testbed.controller.inject_faults(move |request| {
        if request.is_task_request() {
            let make = |path: &Path| std::fs::create_dir(path).unwrap();
            let remove = |path: &Path| std::fs::remove_dir(path).unwrap();
            match number.fetch_add(1, Ordering::Relaxed) {
                0 => namespaces.run(|| make(&lock)).unwrap(),
                1 => {
                    namespaces.run(|| remove(&lock)).unwrap();
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
    let verdicts = testbed.controller.wait(LIMIT, three).expect("not every task is answered");
    let given_back = verdicts.iter().filter(|verdict| **verdict == Verdict::PutBack).count();
    assert_eq!(given_back, 2, "{verdicts:?}");
    assert!(verdicts.contains(&Verdict::Stored(ResultStatus::Success)), "{verdicts:?}");
    let lines = agent.lines();
    let says = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!((says("cannot have linux-"), says("cannot build on linux-")), (1, 1), "{lines:#?}");
    agent.end().unwrap();
}

/// I5, W26, W41: a result that the disk does not take for certain is not posted: the
/// task is given back, and that is its only answer.
#[test]
fn a_result_that_is_not_durable_is_not_posted() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let outbox = testbed.state("outbox");
    let agent = traced(&testbed, "--fail", format!("fsync {}", outbox.display()).into());
    let (verdict, _) = testbed.result(1).unwrap();
    assert_eq!(verdict, Verdict::PutBack, "{:#?}", agent.lines());
    let says = |line: &String| {
        line.contains("cannot build on linux-pretend: cannot synchronise")
            && line.contains("os error 5")
    };
    assert!(agent.lines().iter().any(says), "{:#?}", agent.lines());
    // What was stored before would have been posted before.
    let is_empty = || std::fs::read_dir(&outbox).unwrap().count() == 0;
    let deadline = Instant::now() + LIMIT;
    while !is_empty() && Instant::now() < deadline {
        assert!(agent.process().wait(Duration::from_millis(50)).unwrap().is_none());
    }
    assert!(is_empty());
    assert_eq!(verdicts(&testbed.controller.exchanges()), [Verdict::PutBack]);
}
