//! The farm itself: what it makes, and that nothing of it is left.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bbot_tests::harness::farm::{Farm, MachineSpec, Traces};
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::pidfd::PidFd;
use bbot_tests::harness::programs;
use tempfile::TempDir;

/// A farm has a volume, a network and machines as a build host does.
#[test]
fn a_farm_is_a_build_host() {
    let farm = Farm::start().unwrap();
    farm.add_machine(&MachineSpec::small("linux-gcc", "disk")).unwrap();
    let inventory = farm.inventory().unwrap();
    assert_eq!(inventory.of_kind("subvolume"), ["subvolume default/linux-gcc/linux-gcc-1.1"]);
    assert_eq!(inventory.of_kind("symlink"), ["symlink default/linux-gcc/linux-gcc-1"]);
    assert_eq!(inventory.of_kind("link"), ["link br1", "link lo"]);
    assert_eq!(inventory.of_kind("rules"), [""; 0]);
    let disk = farm.machine_folder("linux-gcc").join("linux-gcc-1/disk.img");
    assert_eq!(farm.namespaces().run(|| std::fs::read(&disk)).unwrap().unwrap(), b"disk");
    assert!(std::fs::read(&disk).is_err(), "the volume is seen outside");
    farm.end().unwrap();
}

/// An upgrade of a machine is a second subvolume, and the link names it.
#[test]
fn a_later_revision_takes_the_link() {
    let farm = Farm::start().unwrap();
    let mut machine = MachineSpec::small("linux-gcc", "old");
    farm.add_machine(&machine).unwrap();
    machine.revision = 2;
    farm.add_machine(&machine).unwrap();
    let link = farm.machine_folder("linux-gcc").join("linux-gcc-1");
    let target = farm.namespaces().run(|| std::fs::read_link(&link)).unwrap().unwrap();
    assert_eq!(target.to_str(), Some("linux-gcc-1.2"));
    assert_eq!(farm.inventory().unwrap().of_kind("subvolume").len(), 2);
}

/// Processes in a farm end with it, and nothing is left on the host: no folder, mount, loop device,
/// namespace or process.
#[test]
fn nothing_is_left_when_a_farm_ends() {
    let farm = Farm::start().unwrap();
    farm.add_machine(&MachineSpec::small("linux-gcc", "disk")).unwrap();
    let sleeper = farm.namespaces().spawn(farm.namespaces().command("sleep").arg("1000")).unwrap();
    let traces = farm.traces().unwrap();
    assert!(traces.remaining().unwrap().len() >= 4, "a running farm has traces");
    farm.end().unwrap();
    assert!(!sleeper.wait(Duration::ZERO).unwrap().unwrap().success());
    assert_eq!(traces.remaining().unwrap(), [""; 0]);
}

/// Two farms at once do not see each other, and the end of one leaves the other as it was.
#[test]
fn two_farms_do_not_disturb_each_other() {
    let (first, second) = (Farm::start().unwrap(), Farm::start().unwrap());
    first.add_machine(&MachineSpec::small("one", "1")).unwrap();
    second.add_machine(&MachineSpec::small("two", "2")).unwrap();
    let sleeper =
        second.namespaces().spawn(second.namespaces().command("sleep").arg("1000")).unwrap();
    let before = second.inventory().unwrap();
    assert_eq!(before.of_kind("subvolume"), ["subvolume default/two/two-1.1"]);
    assert_eq!(first.inventory().unwrap().of_kind("process").len(), 1, "only its init");
    first.end().unwrap();
    assert_eq!(second.inventory().unwrap(), before);
    assert!(sleeper.wait(Duration::ZERO).unwrap().is_none());
}

/// A program that has made a farm.
struct Owner {
    process: Child,
    holder: PidFd,
    scratch: PathBuf,
    init: String,
}

impl Owner {
    /// Starts it; the farm's scratch folder lies in `base`.
    fn start(base: &Path) -> Owner {
        let mut command = Command::new(programs::find("bbot-farm").unwrap());
        command.arg("example").env("TMPDIR", base);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut next = || lines.next().unwrap().unwrap();
        let (holder, scratch, init) = (next(), next().into(), next());
        let holder = PidFd::open(holder.parse().unwrap()).unwrap();
        Owner { process, holder, scratch, init }
    }

    /// Kills it and waits until it has ended.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A folder for scratch folders that no other test sweeps.
fn own_base() -> TempDir {
    let base = programs::scratch_base().unwrap();
    tempfile::Builder::new().prefix("bbot-").tempdir_in(base).unwrap()
}

/// A farm whose owner is killed is removed by its holder.
#[test]
fn nothing_is_left_when_the_owner_is_killed() {
    let base = own_base();
    let mut owner = Owner::start(base.path());
    assert!(owner.scratch.is_dir());
    let namespaces: BTreeSet<_> = ["mnt", "net", "pid"]
        .map(|kind| std::fs::read_link(format!("/proc/{}/ns/{kind}", owner.init)).unwrap())
        .into();
    owner.kill();
    assert!(owner.holder.wait(LIMIT).unwrap(), "the holder has not ended");
    let traces = Traces::new(owner.scratch, namespaces);
    assert_eq!(traces.remaining().unwrap(), [""; 0]);
}

/// If the holder is killed together with the owner, the processes, mounts and namespaces end with
/// it, and the next farm removes the folder.
#[test]
fn the_next_farm_sweeps_what_a_killed_holder_left() {
    let base = own_base();
    let mut owner = Owner::start(base.path());
    // Its lock on the scratch folder is released when it has ended, not when it is signalled.
    owner.holder.kill(LIMIT).unwrap();
    owner.kill();
    assert!(owner.scratch.is_dir());
    let mut next = Owner::start(base.path());
    assert!(!owner.scratch.is_dir(), "{} still exists", owner.scratch.display());
    drop(next.process.stdin.take());
    assert!(next.process.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
}
