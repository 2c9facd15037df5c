//! Machines as an operator may install them: their enumeration, and the bootstraps that follow.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};
use std::time::{Duration, Instant};

use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::farm::MachineSpec;
use bbot_tests::harness::hypervisor::SUCCESSFUL;
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::{MACHINE, TOOLCHAIN, Testbed};
use rustix::fs::IFlags;
use rustix::process::Signal;

/// Locks a machine as another instance that builds on it does.
fn lock_machine(testbed: &Testbed, machine: &str) -> File {
    let path = testbed.lock_file(machine);
    let file = testbed.farm.namespaces().run(|| File::create(path)).unwrap().unwrap();
    file.lock().unwrap();
    file.write_all_at(b"1 100", 0).unwrap();
    file
}

/// The names of the bootstrapped subvolumes.
fn bootstrapped(testbed: &Testbed) -> Vec<String> {
    let inventory = testbed.farm.inventory().unwrap();
    let subvolumes = inventory.of_kind("subvolume").into_iter();
    let names = subvolumes.filter_map(|item| item.rsplit('/').next());
    names.filter(|name| name.ends_with("-default")).map(str::to_owned).collect()
}

/// W10: a machine whose bootstrap fails is reported once, with the cause, and rests; the next one
/// that is due is bootstrapped and used.
#[test]
fn a_failed_bootstrap_does_not_affect_other_machines() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let bad = MachineSpec::small("a-bad-machine", "fresh\nfirst: exit 1\n");
    testbed.farm.add_machine(&bad).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
    testbed.wait_until_idle().unwrap();
    agent.end().unwrap();
    assert_eq!(agent.count("error: cannot bootstrap a-bad-machine: "), 1, "{:#?}", agent.lines());
    assert_eq!(agent.count("it rests"), 1);
    assert_eq!(bootstrapped(&testbed), [format!("{MACHINE}-default")]);
}

/// W10: broken machines of all kinds are reported once, with the cause, and do not affect others:
/// some cannot be enumerated, the others cannot be bootstrapped, and rest. An immutable folder
/// stands for all that is refused for lack of rights.
#[test]
fn broken_machines_do_not_affect_others() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    for name in ["a-malformed", "b-unreadable", "c-refused"] {
        testbed.farm.add_machine(&MachineSpec::small(name, SUCCESSFUL)).unwrap();
    }
    let folder = |name: &str| testbed.farm.machine_folder(name);
    let flags = |flags| {
        let file = File::open(folder("c-refused")).unwrap();
        rustix::fs::ioctl_setflags(file, flags).unwrap();
    };
    testbed
        .farm
        .namespaces()
        .run(|| {
            let malformed = folder("a-malformed").join("a-malformed-1.1/manifest");
            std::fs::write(malformed, "not a manifest").unwrap();
            let unreadable = folder("b-unreadable").join("b-unreadable-1.1/manifest");
            std::fs::remove_file(&unreadable).unwrap();
            std::fs::create_dir(unreadable).unwrap();
            flags(IFlags::IMMUTABLE);
            // There is no snapshot of a folder that is not a subvolume.
            let plain = folder("d-plain").join("d-plain-1.1");
            std::fs::create_dir_all(&plain).unwrap();
            std::fs::write(plain.join("manifest"), MachineSpec::small("d-plain", "").manifest)
                .unwrap();
            symlink("d-plain-1.1", folder("d-plain").join("d-plain-1")).unwrap();
        })
        .unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
    testbed.wait_until_idle().unwrap();
    agent.end().unwrap();
    testbed.farm.namespaces().run(|| flags(IFlags::empty())).unwrap();
    for (name, cause) in [
        ("a-malformed", "a-malformed-1.1/manifest:"),
        ("b-unreadable", "Is a directory"),
        ("c-refused", "Operation not permitted"),
        ("d-plain", "d-plain-1.1 as "),
    ] {
        let lines = agent.lines();
        let is_about = |line: &&String| line.starts_with("error: ") && line.contains(name);
        let errors: Vec<_> = lines.iter().filter(is_about).collect();
        assert!(errors.len() == 1 && errors[0].contains(cause), "{name}: {lines:#?}");
    }
    assert_eq!(agent.count("it rests"), 2);
    assert_eq!(bootstrapped(&testbed), [format!("{MACHINE}-default")]);
    let locked = |name: &&str| testbed.lock_file(name).symlink_metadata().is_ok();
    let left = testbed.farm.namespaces().run(|| ["c-refused", "d-plain"].iter().any(locked));
    assert!(!left.unwrap(), "a lock file is left");
}

/// W10: no machine is bootstrapped while `--instance-max` machines are busy.
#[test]
fn a_full_host_bootstraps_nothing() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    testbed.farm.add_machine(&MachineSpec::small("a-busy-machine", SUCCESSFUL)).unwrap();
    let busy = lock_machine(&testbed, "a-busy-machine");
    for (max, expected) in [("1", 0), ("2", 1)] {
        let mut agent = testbed.start(&["--instance-max", max]).unwrap();
        testbed.wait_until_idle().unwrap();
        agent.end().unwrap();
        assert_eq!(bootstrapped(&testbed).len(), expected, "{:#?}", agent.lines());
    }
    drop(busy);
}

/// W7: a machine has no lock file while controllers are asked; the bootstrapped subvolume of a
/// machine without a link is removed, unless it is locked.
#[test]
fn machines_are_locked_only_for_work() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let removed = ["a-removed-machine", "b-removed-machine"];
    for name in removed {
        let machine = MachineSpec::small(name, SUCCESSFUL);
        testbed.farm.add_machine(&machine).unwrap();
        testbed.farm.add_bootstrapped(&machine, TOOLCHAIN).unwrap();
        let link = testbed.farm.machine_folder(name).join(format!("{name}-1"));
        testbed.farm.namespaces().run(|| std::fs::remove_file(link)).unwrap().unwrap();
    }
    let locked = lock_machine(&testbed, removed[1]);
    let (namespaces, lock) = (testbed.farm.namespaces().clone(), testbed.lock_file(MACHINE));
    let (seen, was_locked) = std::sync::mpsc::channel();
    testbed.controller.inject_faults(move |_| {
        seen.send(namespaces.run(|| lock.symlink_metadata().is_ok()).unwrap()).unwrap();
        None
    });
    let mut agent = testbed.start(&["--fake-bootstrap"]).unwrap();
    assert!(!was_locked.recv_timeout(LIMIT).unwrap(), "the machine is locked for the request");
    testbed.wait_until_idle().unwrap();
    agent.end().unwrap();
    let left = ["b-removed-machine-default".to_owned(), format!("{MACHINE}-default")];
    assert_eq!(bootstrapped(&testbed), left, "{:#?}", agent.lines());
    drop(locked);
}

/// W8: a machine with a broken bootstrapped manifest is bootstrapped again; it is not an error.
#[test]
fn a_broken_bootstrap_is_repeated() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let machine = MachineSpec::small(MACHINE, SUCCESSFUL);
    testbed.farm.add_bootstrapped(&machine, TOOLCHAIN).unwrap();
    let manifest = testbed.bootstrapped(MACHINE).join("manifest");
    testbed.farm.namespaces().run(|| std::fs::write(manifest, "not a manifest")).unwrap().unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
    agent.end().unwrap();
    assert_eq!(agent.count_phases("publish"), 1);
}

/// W9: the manifest in the snapshot that would be bootstrapped is decisive: a machine that has
/// changed since its enumeration, and needs no bootstrap now, is not bootstrapped.
#[test]
fn a_machine_that_has_changed_is_checked_again() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let machine = MachineSpec::small(MACHINE, SUCCESSFUL.replacen("fresh", "installed", 1));
    testbed.farm.remove_machine(MACHINE).unwrap();
    testbed.farm.add_machine(&machine).unwrap();
    testbed.farm.add_bootstrapped(&machine, TOOLCHAIN).unwrap();
    let folder = testbed.farm.machine_folder(MACHINE).join(format!("{MACHINE}-1.1"));
    let (manifest, pipe) = (folder.join("manifest"), folder.join("pipe"));
    let namespaces = testbed.farm.namespaces();
    namespaces
        .run(|| {
            nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
            std::fs::rename(&pipe, &manifest).unwrap();
        })
        .unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    // It reads another machine from the pipe, which ends after the old manifest is in place again.
    let other = machine.manifest.replace("id: ", "id: other-");
    namespaces
        .run(|| {
            let mut writer = File::options().write(true).open(&manifest).unwrap();
            writer.write_all(other.as_bytes()).unwrap();
            std::fs::write(&pipe, &machine.manifest).unwrap();
            std::fs::rename(&pipe, &manifest).unwrap();
        })
        .unwrap();
    agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
    agent.end().unwrap();
    assert_eq!(agent.count("is due: new machine"), 1, "{:#?}", agent.lines());
    assert_eq!(agent.count("phase: qemu"), 1, "only the build's: {:#?}", agent.lines());
    assert_eq!(bootstrapped(&testbed), [format!("{MACHINE}-default")]);
}

/// W11: an agent without machines warns, and goes on.
#[test]
fn an_agent_without_machines_goes_on() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    testbed.farm.remove_machine(MACHINE).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    testbed.wait_until_idle().unwrap();
    agent.end().unwrap();
    assert_eq!(agent.count("warning: no build machines for toolchain default"), 1);
    assert!(testbed.controller.exchanges().is_empty(), "there is no machine to offer");
}

/// Waits until the agent has a thread that waits for the host lock.
fn wait_until_waiting(agent: &Agent) {
    let threads = format!("/proc/{}/task", agent.process().pid());
    let name = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("comm")).ok();
    let is_waiting = || {
        let mut names = std::fs::read_dir(&threads).unwrap().flatten().filter_map(name);
        names.any(|name| name == "host-lock\n")
    };
    let deadline = Instant::now() + LIMIT;
    while !is_waiting() {
        assert!(Instant::now() < deadline, "{:#?}", agent.lines());
        assert!(agent.process().wait(Duration::from_millis(10)).unwrap().is_none());
    }
}

/// W6: only signals that end the agent end its wait for the host lock.
#[test]
fn the_host_lock_is_waited_for() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let lock = File::create(testbed.host_lock_file()).unwrap();
    lock.lock().unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    testbed.wait_for_status("enumerating").unwrap();
    wait_until_waiting(&agent);
    for _ in 0..3 {
        agent.process().signal(Signal::USR1).unwrap();
    }
    assert!(agent.phases().iter().all(|phase| phase.name != "enumerate"));
    lock.unlock().unwrap();
    testbed.controller.wait_for_request().unwrap();
    agent.end().unwrap();
}
