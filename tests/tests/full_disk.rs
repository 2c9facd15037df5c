//! A state directory without room: no task is taken that could not be answered, and no result is
//! lost. The real agent, a simulated guest, a volume of its own for the state directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bbot_manifest::ResultStatus;
use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::controller::{Exchange, Package, Verdict};
use bbot_tests::harness::hypervisor::{SUCCESSFUL, building};
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::{MACHINE, Testbed};
use nix::mount::{MsFlags, mount};

/// Mounts a volume of this size as the state directory, or changes the size of the mounted one.
fn mount_state(testbed: &Testbed, flags: MsFlags, options: &str) {
    let state = testbed.farm.state();
    let mount = || mount(Some("tmpfs"), &state, Some("tmpfs"), flags, Some(options)).unwrap();
    testbed.farm.namespaces().run(mount).unwrap();
}

fn count(exchanges: &[Exchange]) -> usize {
    exchanges.iter().filter(|one| one.request.is_task_request()).count()
}

/// Takes all room of a volume.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut file = fs::File::create(&path).unwrap();
    std::io::copy(&mut std::io::repeat(1), &mut file).unwrap_err();
    path
}

/// W48: no task is requested while the state directory has no room for an answer, or is read-only:
/// this is one error, the agent keeps running, and goes on when there is room.
#[test]
fn no_task_is_taken_that_could_not_be_answered() {
    for (bad, good) in [("size=8m", "size=100m"), ("nr_inodes=3", "nr_inodes=1000"), ("ro", "rw")] {
        let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
        mount_state(&testbed, MsFlags::empty(), if bad == "ro" { "size=100m" } else { bad });
        let folder = testbed.state("");
        testbed.farm.namespaces().run(|| fs::create_dir(&folder).unwrap()).unwrap();
        let read_only = if bad == "ro" { MsFlags::MS_RDONLY } else { MsFlags::empty() };
        mount_state(&testbed, MsFlags::MS_REMOUNT | read_only, if bad == "ro" { "" } else { bad });
        let mut agent = testbed.start(&[]).unwrap();
        agent.wait_for_line("blocked, no task is requested: results cannot be stored: ").unwrap();
        assert_eq!(count(&testbed.controller.exchanges()), 0, "{bad}");
        let options = if bad == "ro" { "" } else { good };
        mount_state(&testbed, MsFlags::MS_REMOUNT, options);
        agent.wait_for_line("guests can be run again: ").unwrap();
        let (verdict, _) = testbed.result(1).unwrap();
        assert_eq!(verdict, Verdict::Stored(ResultStatus::Success), "{bad}");
        agent.end().unwrap();
        assert_eq!(agent.count("blocked, no task is requested: results cannot be stored: "), 1);
    }
}

/// W48, W49, I5: what fills the volume after the question costs neither the task nor its result,
/// and none is requested while a result whose artifacts find no room waits for it.
#[test]
fn a_result_survives_a_full_disk() {
    for archive in [None, Some("put-archive upload/bindist/archive/x:3000000")] {
        let steps: Vec<_> = ["get task.manifest"]
            .into_iter()
            .chain(archive)
            .chain(["put-result success"])
            .collect();
        let testbed = Testbed::new(&building(&steps), &[]).unwrap();
        mount_state(&testbed, MsFlags::empty(), "size=40m");
        let controller = testbed.add_controller_for(&["bindist"]).unwrap();
        for name in ["libfoo", "libbar"] {
            controller.add(Package::new(name, "1.0.0", MACHINE));
        }
        let (namespaces, state) = (testbed.farm.namespaces().clone(), testbed.farm.state());
        let folder = state.clone();
        let is_first = AtomicBool::new(true);
        controller.inject_faults(move |request| {
            if request.is_task_request() && is_first.swap(false, Ordering::Relaxed) {
                namespaces.run(|| fill(&folder)).unwrap();
            }
            None
        });
        let spec = testbed.idle_agent(&[]).with_controller(controller.url());
        let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
        // Without artifacts, the room of a delivered result is that of the next one.
        if archive.is_some() {
            let blocked = "blocked, no task is requested: results cannot be stored: ";
            agent.wait_for_line(blocked).unwrap();
            assert_eq!(controller.tasks(), 1);
        } else {
            controller.wait_for_verdict(1, LIMIT).unwrap();
        }
        testbed.farm.namespaces().run(|| fs::remove_file(state.join("filler")).unwrap()).unwrap();
        for number in [1, 2] {
            let (verdict, _) = controller.wait_for_verdict(number, LIMIT).unwrap();
            assert_eq!(verdict, Verdict::Stored(ResultStatus::Success), "{:#?}", agent.lines());
        }
        agent.end().unwrap();
    }
}
