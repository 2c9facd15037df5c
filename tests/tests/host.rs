//! Trouble of the host costs no task and no machine: the instance waits for the mend, or puts it
//! right.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use bbot_manifest::ResultStatus;
use bbot_tests::harness::agent::{Agent, AgentSpec};
use bbot_tests::harness::controller::{Controller, ControllerConfig, Exchange, Package, Verdict};
use bbot_tests::harness::farm::{MachineSpec, layout};
use bbot_tests::harness::limits::{LIMIT, LOAD};
use bbot_tests::harness::testbed::{MACHINE, Testbed};

use crate::status::dump;

/// How soon after the mend an instance works again.
const MENDED: Duration = Duration::from_secs(5);

/// A testbed with a machine that needs no bootstrap; its guest does the task as soon as the file
/// `/run/go` exists. The controller does not depend on the bridge.
struct Host {
    controller: Controller,
    testbed: Testbed,
}

impl Host {
    fn new(packages: &[&str]) -> Host {
        let steps = ["get task.manifest", "await /run/go", "put-result success"];
        let testbed = Testbed::without_machines().unwrap();
        testbed.add_machine(MACHINE, &steps).unwrap();
        let keys = vec![testbed.known_key().clone()];
        let config = ControllerConfig { keys, ..ControllerConfig::default() };
        let local = Ipv4Addr::LOCALHOST.into();
        let controller = Controller::start(testbed.farm.namespaces(), local, config).unwrap();
        for package in packages {
            controller.add(Package::new(package, "1.0.0", MACHINE));
        }
        Host { controller, testbed }
    }

    fn agent(&self, options: &[&str]) -> AgentSpec {
        self.testbed.idle_agent(options).with_controller(self.controller.url())
    }

    fn start(&self, options: &[&str]) -> Agent {
        Agent::start(&self.testbed.farm, &self.agent(options)).unwrap()
    }

    /// Runs a command in the farm; its words are separated by spaces.
    fn run(&self, command: &str) {
        let namespaces = self.testbed.farm.namespaces();
        let mut words = command.split(' ');
        let mut command = namespaces.command(words.next().unwrap());
        let output = namespaces.output(command.args(words)).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {stderr}");
    }

    fn run_all(&self, commands: &[&str]) {
        for command in commands {
            self.run(command);
        }
    }

    /// Lets the guests go on.
    fn go(&self) {
        std::fs::write(self.testbed.farm.run().join("go"), "").unwrap();
    }

    fn questions(&self) -> usize {
        let exchanges = self.controller.exchanges();
        exchanges.iter().filter(|exchange| exchange.request.is_task_request()).count()
    }

    /// Waits until more tasks were requested than `before`, or a test has waited long enough.
    fn is_asked_again(&self, before: usize, limit: Duration) -> bool {
        let requests = |all: &[Exchange]| {
            let is_request = |exchange: &&Exchange| exchange.request.is_task_request();
            (all.iter().filter(is_request).count() > before).then_some(())
        };
        self.controller.wait(limit, requests).is_some()
    }

    /// Starts an agent on a broken host. It must say `reason` and ask for nothing; after `mend` it
    /// must work again by itself, soon.
    #[track_caller]
    fn check_blocked(&self, options: &[&str], reason: &str, mend: impl FnOnce()) {
        let mut agent = self.start(options);
        self.testbed.wait_for_status("blocked").unwrap();
        let status = dump(&self.testbed, None);
        let blocked = &status["instances"][0]["blocked"];
        assert!(blocked[0]["reason"].as_str().unwrap().contains(reason), "{status:#}");
        assert!(!blocked[0]["cure"].as_str().unwrap().is_empty(), "{status:#}");
        assert_eq!(self.questions(), 0);
        mend();
        let start = Instant::now();
        assert!(self.is_asked_again(0, LIMIT), "{:#?}", agent.lines());
        let lasted = start.elapsed();
        assert!(lasted < MENDED + LOAD, "{lasted:?}: {:#?}", agent.lines());
        agent.wait_for_line("info: guests can be run again").unwrap();
        let lines = agent.lines();
        assert_eq!(agent.count("error: blocked, no task is requested: "), 1, "{lines:#?}");
        assert_eq!(agent.count(reason), 1, "{lines:#?}");
        assert_eq!(agent.count("info: guests can be run again"), 1, "{lines:#?}");
        agent.end().unwrap();
    }
}

/// W67: each is noticed before a task is requested, named with its cure, reported once, and over as
/// soon as it is mended.
#[test]
fn a_host_with_an_unusable_bridge_asks_for_nothing() {
    for (breaks, reason, mends) in [
        (&["ip link set br1 down"][..], "bridge br1 is down", &["ip link set br1 up"][..]),
        (
            &["ip address flush dev br1"],
            "bridge br1 has no IPv4 address",
            &["ip address add 10.99.0.1/16 dev br1"],
        ),
        (
            &["ip link delete br1"],
            "bridge br1 does not exist",
            &[
                "ip link add br1 type bridge",
                "ip address add 10.99.0.1/16 dev br1",
                "ip link set br1 up",
            ],
        ),
    ] {
        let host = Host::new(&[]);
        host.run_all(breaks);
        host.check_blocked(&[], reason, || host.run_all(mends));
    }
}

/// W67, W69: what another program uses is named, left alone, and waited for.
#[test]
fn a_host_with_ports_or_a_tap_in_use_asks_for_nothing() {
    let host = Host::new(&[]);
    let namespaces = host.testbed.farm.namespaces();
    let bind = || UdpSocket::bind((layout::BRIDGE_ADDRESS, 23401)).unwrap();
    let port = namespaces.run(bind).unwrap();
    host.check_blocked(&[], "the TFTP port 10.99.0.1:23401 is in use", || drop(port));

    let host = Host::new(&[]);
    let bind = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, 5901)).unwrap();
    let port = host.testbed.farm.namespaces().run(bind).unwrap();
    host.check_blocked(&[], "the VNC port 127.0.0.1:5901 is in use", || drop(port));

    let host = Host::new(&[]);
    host.run("ip tuntap add tap1 mode tap");
    let reason = "network interface tap1 belongs to another program";
    // It is still there to be deleted.
    host.check_blocked(&[], reason, || host.run("ip link delete tap1"));
}

/// W67: full and read-only volumes; what was needed for a task is there when it is requested.
#[test]
fn a_host_with_an_unusable_volume_asks_for_nothing() {
    let host = Host::new(&[]);
    let volume = host.testbed.farm.volume();
    let volume = volume.to_str().unwrap();
    let (tftp, state) = (format!("{volume}/.tftp"), format!("{volume}/.state"));
    // All on the farm's own volume.
    let options = ["--min-free", "10", "--tftp", &tftp, "--state-dir", &state];
    host.run(&format!("fallocate -l 30G {volume}/filler"));
    host.run(&format!("btrfs filesystem sync {volume}"));
    let mend = || {
        host.run(&format!("rm {volume}/filler"));
        host.run(&format!("btrfs filesystem sync {volume}"));
    };
    host.check_blocked(&options, "% of the space of ", mend);

    let host = Host::new(&[]);
    let volume = host.testbed.farm.volume();
    let volume = volume.to_str().unwrap();
    host.run(&format!("mount -o remount,ro {volume}"));
    let mend = || host.run(&format!("mount -o remount,rw {volume}"));
    host.check_blocked(&[], "is read-only", mend);
}

/// W67: a hypervisor that is missing, or does not start any guest.
#[test]
fn a_host_without_a_hypervisor_asks_for_nothing() {
    let host = Host::new(&[]);
    let program = host.testbed.farm.run().join("qemu");
    let mend = || drop(std::os::unix::fs::symlink("bbot-pretend", &program));
    let options = ["--hypervisor", "/run/qemu"];
    host.check_blocked_by(&options, "there is no hypervisor /run/qemu", mend);

    let host = Host::new(&[]);
    let refuse = "#!/bin/sh\n[ -e /run/mended ] && exec /run/bbot-pretend \"$@\"\n\
                  echo 'no guest today' >&2\necho 'and no other' >&2\nexit 1";
    host.testbed.farm.install_script("refuses", refuse).unwrap();
    let mend = || std::fs::write(host.testbed.farm.run().join("mended"), "").unwrap();
    let options = ["--hypervisor", "/run/refuses"];
    host.check_blocked_by(&options, "no guest today; and no other", mend);
}

impl Host {
    /// [`Host::check_blocked`] with options that replace those of the testbed.
    #[track_caller]
    fn check_blocked_by(&self, options: &[&str], reason: &str, mend: impl FnOnce()) {
        let mut spec = self.agent(&[]);
        let url = spec.arguments.pop().unwrap();
        spec.arguments.extend(options.iter().map(Into::into));
        spec.arguments.push(url);
        let mut agent = Agent::start(&self.testbed.farm, &spec).unwrap();
        agent.wait_for_line(reason).unwrap();
        self.testbed.wait_for_status("blocked").unwrap();
        assert_eq!(self.questions(), 0);
        mend();
        let start = Instant::now();
        assert!(self.is_asked_again(0, LIMIT), "{:#?}", agent.lines());
        let lasted = start.elapsed();
        assert!(lasted < MENDED + LOAD, "{lasted:?}: {:#?}", agent.lines());
        agent.end().unwrap();
    }
}

/// W67: the limit of a process counts as well; an instance that does not wait says so and ends.
#[test]
fn an_instance_that_does_not_wait_says_why() {
    let host = Host::new(&[]);
    let task = host.testbed.farm.run().join("task");
    let text = format!(
        ": 1\nname: libfoo\nversion: 1.0.0\nrepository-url: https://pkg.example.org/1/stable\n\
         machine: {MACHINE}\ntarget: x86_64-linux-gnu\n"
    );
    std::fs::write(task, text).unwrap();
    let options = ["--fake-request", "/run/task", "--dump-result"];
    let mut spec = host.testbed.idle_agent(&options);
    spec.under = ["prlimit", "--nofile=60:60"].map(Into::into).into();
    let farm = &host.testbed.farm;
    let output = farm.namespaces().output(&mut spec.command(farm).unwrap()).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{stderr}");
    assert!(stderr.contains("error: no guest can be run: only "), "{stderr}");
    assert!(stderr.contains("more file descriptors may be opened"), "{stderr}");
}

/// W5, W67: the service manager is told that the start is over, and why nothing is done.
#[test]
fn the_service_manager_is_told_of_a_block() {
    let host = Host::new(&[]);
    let manager = UnixDatagram::bind(host.testbed.farm.run().join("notify")).unwrap();
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    host.run("ip link set br1 down");
    let mut spec = host.agent(&[]);
    spec.environment = vec![("NOTIFY_SOCKET".to_owned(), "/run/notify".to_owned())];
    let mut agent = Agent::start(&host.testbed.farm, &spec).unwrap();
    let heard = || {
        let mut buffer = [0; 1000];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let expected = "STATUS=blocked: bridge br1 is down (`ip link set br1 up`)";
    assert_eq!([heard(), heard(), heard()], ["STATUS=recovering", "READY=1", expected]);
    agent.end().unwrap();
}

/// W67: KVM that can be opened, but not used: guests are executed by TCG, which is said once.
#[test]
fn a_host_with_broken_kvm_works_without_it() {
    let host = Host::new(&["libfoo"]);
    let script = "#!/bin/sh\ncase \"$*\" in *accel=kvm*) echo 'KVM is broken' >&2; exit 1;; esac\n\
                  exec /run/bbot-pretend \"$@\"";
    host.testbed.farm.install_script("without-kvm", script).unwrap();
    host.go();
    let mut spec = host.agent(&[]);
    let url = spec.arguments.pop().unwrap();
    spec.arguments.extend(["--hypervisor", "/run/without-kvm"].map(Into::into));
    spec.arguments.push(url);
    let mut agent = Agent::start(&host.testbed.farm, &spec).unwrap();
    let verdict = host.controller.wait_for_verdict(1, LIMIT).unwrap().0;
    assert_eq!(verdict, Verdict::Stored(ResultStatus::Success), "{:#?}", agent.lines());
    host.testbed.wait_until_idle().unwrap();
    let status = dump(&host.testbed, None);
    let warning = status["instances"][0]["warnings"][0].as_str().unwrap();
    assert!(warning.contains("executed by TCG"), "{status:#}");
    assert_eq!(agent.count("warning: guests are executed by TCG"), 1, "{:#?}", agent.lines());
    agent.end().unwrap();
}

/// W69: an operator may close a machine's folder to all users but root.
#[test]
fn a_machine_in_a_closed_folder_is_used() {
    let host = Host::new(&["libfoo"]);
    let folder = host.testbed.farm.machine_folder(MACHINE);
    for name in ["1.1", "default"] {
        host.run(&format!("chmod 700 {}", folder.join(format!("{MACHINE}-{name}")).display()));
    }
    host.go();
    let mut agent = host.start(&[]);
    let verdict = host.controller.wait_for_verdict(1, LIMIT).unwrap().0;
    assert_eq!(verdict, Verdict::Stored(ResultStatus::Success), "{:#?}", agent.lines());
    agent.end().unwrap();
}

/// W70: what another program does to our tables and our tap while a guest runs is put right at
/// once, and the task is done.
#[test]
fn the_network_of_a_running_guest_is_restored() {
    for (command, restored) in [
        ("nft flush ruleset", "the nft tables"),
        ("nft delete table ip bbot-default-1", "the nft tables"),
        ("ip link set tap1 nomaster", "the tap's place in the bridge"),
        ("ip link set tap1 down", "the tap"),
    ] {
        let host = Host::new(&["libfoo"]);
        let mut agent = host.start(&["--build-timeout", "600", "--hold-timeout", "none"]);
        agent.wait_for_phase(LIMIT, "first-request", 1).unwrap();
        host.run(command);
        agent.wait_for_line(&format!("another program has changed {restored} of")).unwrap();
        host.go();
        let verdict = host.controller.wait_for_verdict(1, LIMIT).unwrap().0;
        let expected = Verdict::Stored(ResultStatus::Success);
        assert_eq!(verdict, expected, "{command}: {:#?}", agent.lines());
        agent.end().unwrap();
    }
}

/// W68, W70: a bridge is the operator's. Without it the task is given back at once, and the host is
/// blocked, not the machine: after the mend it performs the next task.
#[test]
fn a_task_whose_bridge_is_lost_is_given_back() {
    for (breaks, mends) in [
        (
            "ip link delete br1",
            &[
                "ip link add br1 type bridge",
                "ip address add 10.99.0.1/16 dev br1",
                "ip link set br1 up",
            ][..],
        ),
        ("ip link set br1 down", &["ip link set br1 up"]),
        ("ip address flush dev br1", &["ip address add 10.99.0.1/16 dev br1"]),
    ] {
        let host = Host::new(&["libfoo"]);
        let mut agent = host.start(&["--build-timeout", "600", "--hold-timeout", "none"]);
        agent.wait_for_phase(LIMIT, "first-request", 1).unwrap();
        let start = Instant::now();
        host.run(breaks);
        let verdict = host.controller.wait_for_verdict(1, LIMIT).unwrap().0;
        assert_eq!(verdict, Verdict::PutBack, "{breaks}: {:#?}", agent.lines());
        assert!(start.elapsed() < LOAD, "{breaks}: {:?}", start.elapsed());
        host.testbed.wait_for_status("blocked").unwrap();
        let before = host.questions();
        host.go();
        host.run_all(mends);
        let start = Instant::now();
        assert!(host.is_asked_again(before, LIMIT), "{breaks}: {:#?}", agent.lines());
        assert!(start.elapsed() < MENDED + LOAD, "{breaks}: {:?}", start.elapsed());
        let verdict = host.controller.wait_for_verdict(2, LIMIT).unwrap().0;
        let expected = Verdict::Stored(ResultStatus::Success);
        assert_eq!(verdict, expected, "{breaks}: {:#?}", agent.lines());
        assert_eq!(agent.count("it rests"), 0, "{:#?}", agent.lines());
        agent.end().unwrap();
    }
}

/// W68: options that the hypervisor refuses are the machine's own: it is left alone, and the others
/// are used.
#[test]
fn a_machine_whose_hypervisor_does_not_start_is_left_alone() {
    let host = Host::new(&["libfoo"]);
    let script = "#!/bin/sh\ncase \"$*\" in *bad-machine*) echo 'bad option' >&2; exit 1;; esac\n\
                  exec /run/bbot-pretend \"$@\"";
    host.testbed.farm.install_script("choosy", script).unwrap();
    let bad = MachineSpec::small("a-bad-machine", "installed\n");
    host.testbed.farm.add_machine(&bad).unwrap();
    host.go();
    let mut spec = host.agent(&[]);
    let url = spec.arguments.pop().unwrap();
    spec.arguments.extend(["--hypervisor", "/run/choosy"].map(Into::into));
    spec.arguments.push(url);
    let mut agent = Agent::start(&host.testbed.farm, &spec).unwrap();
    let verdict = host.controller.wait_for_verdict(1, LIMIT).unwrap().0;
    assert_eq!(verdict, Verdict::Stored(ResultStatus::Success), "{:#?}", agent.lines());
    assert_eq!(agent.count("cannot bootstrap a-bad-machine"), 1, "{:#?}", agent.lines());
    assert_eq!(agent.count("blocked"), 0, "{:#?}", agent.lines());
    agent.end().unwrap();
}
