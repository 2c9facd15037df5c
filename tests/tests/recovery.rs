//! What an agent removes at its start, and what it leaves, on a host where everything is real.

use std::fs::File;
use std::time::Duration;

use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::farm::{Inventory, MachineSpec, Process, layout};
use bbot_tests::harness::hypervisor::SUCCESSFUL;
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::{MACHINE, TOOLCHAIN, Testbed};

/// Everything that an ended process of instance 1 of the toolchain `default` may have left. The
/// farm's init has the pid 1, so that the pid in the name of one snapshot is that of a running
/// process, which has not locked it; no process has the pid 999999.
const OURS: &str = r#"
    mkdir -p "$tftp/build/default-1/put" "$tftp/bootstrap/default-1" "$run/default-1/private"
    touch "$tftp/build/default-1/put/result.manifest.lz4" "$run/default-1/private/console.log"
    touch "$run/default-1/status.json" "$run/default-1/status.json.new"
    btrfs -q subvolume snapshot "$machine-1.1" "$machine-default-1-999999-0"
    btrfs -q subvolume snapshot "$machine-1.1" "$machine-default-1-999999-12"
    btrfs -q subvolume snapshot "$machine-1.1" "$machine-default-1-1-0"
    btrfs -q subvolume snapshot "$machine-default" "$machine-default-1-999999-13"
    rm "$machine-default-1-999999-13/.bbot-agent"
    btrfs -q subvolume snapshot "$machine-default" "$machine-default-1-999999-14"
    echo default > "$machine-default-1-999999-14/.bbot-agent"
    echo : 1 > "$machine-default-1-999999-14/manifest"
    touch "$machine-default.lock"
    ip tuntap add tap1 mode tap
    ip link set tap1 address fe:bb:00:00:00:01
    nft add table bridge bbot-default-1
    nft add table ip bbot-default-1
"#;

/// What resembles it: leftovers of the instances 11 and 2, and of instance 1 of the toolchain
/// `default-1`, names that the agent does not make, and what has the name of a snapshot of this
/// instance but was not made by it (W44): an operator's image, what another agent has bootstrapped
/// for a toolchain of that name, a revision, what bears another toolchain's mark, a folder. One is
/// in use (W45): its mark is locked.
const OTHERS: &str = r#"
    for other in default-11 default-1-1 default-2; do
        mkdir -p "$tftp/build/$other/put" "$tftp/bootstrap/$other" "$run/$other/private"
        touch "$run/$other/private/console.log"
        btrfs -q subvolume snapshot "$machine-1.1" "$machine-$other-999999-0"
        nft add table bridge "bbot-$other"
        nft add table ip "bbot-$other"
    done
    for odd in default-1 default-1-999999 default-1-999999-0x default-1-x-0; do
        btrfs -q subvolume snapshot "$machine-1.1" "$machine-$odd"
    done
    operator="$machine-default-1-999999-20"
    btrfs -q subvolume create "$operator"
    cp "$machine-1.1/manifest" "$operator/"
    btrfs -q subvolume snapshot "$machine-1.1" "$machine-default-1-999999-21"
    cp "$machine-default/manifest" "$machine-default-1-999999-21/"
    btrfs -q subvolume snapshot "$machine-1.1" "$machine-default-1-999999-22"
    echo default-1-999999-22 > "$machine-default-1-999999-22/.bbot-agent"
    ln -s "$(basename "$machine")-default-1-999999-22" "$machine-7"
    btrfs -q subvolume snapshot "$machine-1.1" "$machine-default-1-999999-23"
    echo other > "$machine-default-1-999999-23/.bbot-agent"
    btrfs -q subvolume snapshot "$machine-1.1" "$machine-default-1-999999-24"
    echo default > "$machine-default-1-999999-24/.bbot-agent"
    mkdir "$machine-default-1-999999-25"
    ip tuntap add tap11 mode tap
    ip tuntap add tap101 mode tap
"#;

struct Host {
    testbed: Testbed,
}

impl Host {
    /// A host with one machine, which needs no bootstrap.
    fn new() -> Host {
        let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
        let machine = MachineSpec::small(MACHINE, SUCCESSFUL);
        testbed.farm.add_bootstrapped(&machine, TOOLCHAIN).unwrap();
        Host { testbed }
    }

    fn make(&self, script: &str) {
        let farm = &self.testbed.farm;
        let mut shell = farm.namespaces().command("sh");
        shell.args(["-ec", script]).env("tftp", farm.tftp()).env("run", "/run/bbot-agent");
        shell.env("machine", farm.machine_folder(MACHINE).join(MACHINE));
        let output = farm.namespaces().output(&mut shell).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A process with the command line of an instance's hypervisor; it does nothing.
    fn hypervisor(&self, instance: &str) -> Process {
        let mut shell = self.testbed.farm.namespaces().command("sh");
        let mark = format!("data=/run/bbot-agent/{instance}/private/monitor.sock");
        shell.args(["-c", "kill -STOP $$", "sh", "-object"]);
        let process = shell.arg(format!("secret,id=bbot-monitor,{mark}"));
        self.testbed.farm.namespaces().spawn(process).unwrap()
    }

    /// Runs an agent that recovers, enumerates the machines, and ends; returns its standard error.
    fn recover(&self) -> Vec<String> {
        let spec = self.testbed.idle_agent(&["--dump-machines"]);
        let mut agent = Agent::start(&self.testbed.farm, &spec).unwrap();
        assert!(agent.wait(LIMIT).unwrap().success(), "{:#?}", agent.lines());
        agent.lines()
    }

    /// Does the same, and kills it before its n-th effect; returns whether it had that many.
    fn kill_recovering(&self, effect: u64) -> bool {
        let spec = self.testbed.idle_agent(&["--dump-machines"]);
        let spec = spec.traced(["--kill", &effect.to_string()]).unwrap();
        let mut agent = Agent::start(&self.testbed.farm, &spec).unwrap();
        let code = agent.wait(LIMIT).unwrap().code();
        assert!([Some(0), Some(128 + 9)].contains(&code), "{code:?}: {:#?}", agent.lines());
        code != Some(0)
    }

    /// Locks the mark of a snapshot as the process that works with it does.
    fn lock_mark(&self, snapshot: &str) -> File {
        let farm = &self.testbed.farm;
        let folder = farm.machine_folder(MACHINE).join(format!("{MACHINE}-{snapshot}"));
        let open = || File::open(folder.join(".bbot-agent"));
        let file = farm.namespaces().run(open).unwrap().unwrap();
        file.lock().unwrap();
        file
    }

    fn inventory(&self) -> Inventory {
        self.testbed.farm.inventory().unwrap()
    }
}

/// What was added since `before`, without lock files and the agent's runtime folder, which stay.
fn added(before: &Inventory, now: &Inventory) -> Vec<String> {
    let stays = |item: &&str| {
        item.starts_with("lock ") || *item == "folder run/bbot-agent" || item.ends_with("/locks")
    };
    let added = now.added_since(before);
    added.into_iter().filter(|item| !stays(item)).map(str::to_owned).collect()
}

/// W3: everything with the instance's name that belongs to no running process is removed; what has
/// a similar name stays, and so does what belongs to a running process. A second start finds
/// nothing.
///
/// W44, W45: neither a name nor a pid alone decides. W47: the lock file that nothing has locked is
/// removed.
#[test]
fn only_own_leftovers_are_removed() {
    let host = Host::new();
    host.make(OTHERS);
    let in_use = host.lock_mark("default-1-999999-24");
    let others = ["default-11", "default-1-1"].map(|instance| host.hypervisor(instance));
    host.recover();
    let before = host.inventory();
    let ours = host.hypervisor("default-1");
    host.make(OURS);
    let lines = host.recover();
    assert!(ours.wait(LIMIT).unwrap().is_some(), "{lines:#?}");
    assert_eq!(added(&before, &host.inventory()), [""; 0]);
    assert_eq!(before.added_since(&host.inventory()), [""; 0], "{lines:#?}");
    for removed in ["hypervisor process", "tap tap1", "table bridge", "table ip", "999999-12"] {
        let is_report = |line: &String| line.contains("removed leftover") && line.contains(removed);
        assert!(lines.iter().any(is_report), "{removed}: {lines:#?}");
    }
    let (farm, lock_file) = (&host.testbed.farm, host.testbed.lock_file(MACHINE));
    assert!(!farm.namespaces().run(|| lock_file.is_file()).unwrap());
    let again = host.recover();
    assert!(!again.iter().any(|line| line.contains("leftover")), "{again:#?}");
    assert_eq!(before.added_since(&host.inventory()), [""; 0]);
    for process in others {
        assert!(
            process.wait(Duration::ZERO).unwrap().is_none(),
            "another instance's guest was killed"
        );
    }
    for foreign in 20..25 {
        let path = format!("{}/{MACHINE}/{MACHINE}-default-1-999999-{foreign}", layout::VOLUME);
        assert!(before.of_kind("subvolume").contains(&format!("subvolume {path}").as_str()));
        let is_report = |line: &&String| line.contains("is not removed") && line.contains(&path);
        let reports = lines.iter().filter(is_report).count();
        assert_eq!(reports, usize::from(foreign != 24), "{foreign}: {lines:#?}");
    }
    drop(in_use);
    host.recover();
    let now = host.inventory();
    let mut gone = before.added_since(&now);
    gone.retain(|item| item.starts_with("subvolume"));
    assert!(gone.len() == 1 && gone[0].ends_with("999999-24"), "{gone:#?}");
}

/// W3, W41: a start that is killed at any of its effects leaves nothing that the next one does not
/// remove.
#[test]
fn a_recovery_can_be_killed_anywhere() {
    let host = Host::new();
    host.recover();
    let before = host.inventory();
    let mut effect = 1;
    loop {
        let ours = host.hypervisor("default-1");
        host.make(OURS);
        let killed = host.kill_recovering(effect);
        host.recover();
        assert!(ours.wait(LIMIT).unwrap().is_some(), "effect {effect}");
        assert_eq!(added(&before, &host.inventory()), [""; 0], "effect {effect}");
        if !killed {
            break;
        }
        effect += 1;
    }
    assert!(effect > 20, "a start has only {effect} effects");
}
