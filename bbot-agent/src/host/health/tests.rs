//! What is wrong with hosts, as tables.

use super::*;

const REQUIRED: Requirements =
    Requirements { free_percent: 10, ram_kib: 1 << 20, memory_pressure: 0, io_pressure: 0 };

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// A host that can run guests.
fn fit() -> Facts {
    let bytes = Share { free: 50, total: 100 };
    Facts {
        bridge: Bridge {
            name: "br1".into(),
            state: Ok(UsableBridge { address: ADDRESS, forward_delay: None }),
        },
        tap: Tap { name: "tap1".into(), state: Ok(TapUse::Free) },
        ports: vec![port(Service::Tftp, None), port(Service::Vnc, None)],
        hypervisor: Hypervisor { program: "qemu".into(), is_found: true },
        volumes: vec![Volume { folder: "/build".into(), state: Ok(Space { bytes, files: bytes }) }],
        memory_kib: Some(1 << 20),
        memory_pressure: Some(99.0),
        io_pressure: Some(99.0),
        descriptors: 64,
        inotify: None,
    }
}

fn port(service: Service, obstacle: Option<PortObstacle>) -> Port {
    let number = if service == Service::Tftp { 23401 } else { 5901 };
    Port { service, address: (ADDRESS, number).into(), obstacle }
}

/// Checks the problems of a host that differs from a fit one by `change`: causes, reasons, cures.
#[track_caller]
fn check(change: impl FnOnce(&mut Facts), expected: &[(Cause, &str, &str)]) {
    let mut facts = fit();
    change(&mut facts);
    let found = problems(&facts, &REQUIRED);
    let found: Vec<_> =
        found.iter().map(|p| (p.cause.clone(), p.reason.as_str(), p.cure.as_str())).collect();
    assert_eq!(found, expected);
}

/// W67
#[test]
fn a_fit_host_has_no_problem() {
    check(|_| (), &[]);
    check(|facts| facts.memory_kib = None, &[]);
}

/// W67: the operator's bridge, and what to do about it.
#[test]
fn a_bridge_that_is_missing_or_down() {
    let is =
        |problem| move |facts: &mut Facts| facts.bridge.state = Err(BridgeFault::Unusable(problem));
    let make = "make it, or name another one with --bridge: `ip link add br1 type bridge`";
    let add = "`ip address add <address>/<length> dev br1`";
    let name = "name a bridge with --bridge";
    for (problem, reason, cure) in [
        (BridgeProblem::Missing, "bridge br1 does not exist", make),
        (BridgeProblem::Down, "bridge br1 is down", "`ip link set br1 up`"),
        (BridgeProblem::NoAddress, "bridge br1 has no IPv4 address", add),
        (BridgeProblem::OtherKind, "bridge br1 is not a bridge", name),
    ] {
        check(is(problem), &[(Cause::Bridge, reason, cure)]);
    }
    let unknown = |facts: &mut Facts| facts.bridge.state = Err(BridgeFault::Unknown("why".into()));
    check(unknown, &[(Cause::Bridge, "bridge br1 cannot be examined: why", name)]);
}

/// W67: an interface of that name is in the way, whichever program made it.
#[test]
fn a_tap_in_the_way() {
    let cure = "`ip link delete tap1`, or another --toolchain-num or --instance";
    for (state, reason) in [
        (Ok(TapUse::Foreign), "network interface tap1 belongs to another program"),
        (Ok(TapUse::Own), "network interface tap1 is in use by another instance"),
        (Err("why".to_owned()), "network interface tap1 cannot be examined: why"),
    ] {
        check(|facts| facts.tap.state = state, &[(Cause::Tap, reason, cure)]);
    }
}

/// W67: each port has a name and a way to find who has it.
#[test]
fn ports_in_use() {
    let change = |facts: &mut Facts| {
        let other = PortObstacle::Other("no such address".into());
        facts.ports = vec![
            port(Service::Tftp, Some(PortObstacle::InUse)),
            port(Service::Vnc, Some(PortObstacle::InUse)),
            port(Service::Vnc, Some(other)),
        ];
    };
    let tftp = "`ss -lunp sport = :23401` shows the program; or --tftp-port";
    let vnc = "`ss -ltnp sport = :5901` shows the program; or --instance";
    check(
        change,
        &[
            (Cause::Port(23401), "the TFTP port 10.0.0.1:23401 is in use by another program", tftp),
            (Cause::Port(5901), "the VNC port 10.0.0.1:5901 is in use by another program", vnc),
            (Cause::Port(5901), "the VNC port 10.0.0.1:5901 is not usable: no such address", vnc),
        ],
    );
}

/// W67: space and inodes are free up to the least part, no more and no less.
#[test]
fn volumes_without_room() {
    let cause = || Cause::Volume("/build".into());
    let share = |free, total| Share { free, total };
    let set =
        |bytes, files| move |facts: &mut Facts| facts.volumes[0].state = Ok(Space { bytes, files });
    let cure = "remove what is not needed, or set another --min-free";
    let enough = share(100, 1000);
    check(set(enough, enough), &[]);
    let bytes = "9.9 % of the space of /build is free, of 10 %";
    check(set(share(99, 1000), enough), &[(cause(), bytes, cure)]);
    let files = "0.0 % of the inodes of /build is free, of 10 %";
    check(set(enough, share(0, 1000)), &[(cause(), files, cure)]);
    // btrfs has no limit for its inodes; and no number is too large.
    check(set(enough, share(0, 0)), &[]);
    check(set(share(u64::MAX, u64::MAX), enough), &[]);
    let fault = |fault| move |facts: &mut Facts| facts.volumes[0].state = Err(fault);
    let mount = "see `dmesg` for the cause, and mount it for writing";
    check(fault(VolumeFault::ReadOnly), &[(cause(), "/build is read-only", mount)]);
    let other = VolumeFault::Other("why".into());
    let folder = "make it a folder that the agent can write to";
    check(fault(other), &[(cause(), "/build cannot be used: why", folder)]);
}

/// W67
#[test]
fn memory_descriptors_inotify_and_hypervisor() {
    let cure = "end other programs, or set another --ram";
    let reason = "1023 MiB of memory are available, and a guest has 1024";
    check(|facts| facts.memory_kib = Some((1 << 20) - 1), &[(Cause::Memory, reason, cure)]);
    let reason = "only 63 more file descriptors may be opened";
    let cure = "raise LimitNOFILE of the unit";
    check(|facts| facts.descriptors = 63, &[(Cause::Descriptors, reason, cure)]);
    let reason = "no inotify instance can be made: too many";
    let cure = "raise `sysctl fs.inotify.max_user_instances`";
    check(|facts| facts.inotify = Some("too many".into()), &[(Cause::Inotify, reason, cure)]);
    let cure = "install QEMU, or name it with --hypervisor";
    let missing = |facts: &mut Facts| facts.hypervisor.is_found = false;
    check(missing, &[(Cause::Hypervisor, "there is no hypervisor qemu", cure)]);
}

/// W67: no limit by default; a kernel without PSI has no pressure.
#[test]
fn pressure_is_limited_on_demand() {
    let required =
        |memory_pressure, io_pressure| Requirements { memory_pressure, io_pressure, ..REQUIRED };
    let causes = |facts: &Facts, required: &Requirements| {
        problems(facts, required).into_iter().map(|found| found.cause).collect::<Vec<_>>()
    };
    let facts = Facts { memory_pressure: Some(20.1), io_pressure: Some(30.0), ..fit() };
    assert_eq!(causes(&facts, &required(20, 30)), [Cause::Pressure("memory")]);
    assert_eq!(causes(&facts, &required(21, 29)), [Cause::Pressure("io")]);
    assert_eq!(causes(&facts, &required(0, 0)), []);
    let facts = Facts { memory_pressure: None, io_pressure: None, ..fit() };
    assert_eq!(causes(&facts, &required(1, 1)), []);
}

/// W67: what is not wrong, but slow.
#[test]
fn slow_hosts_are_warned_of() {
    let proof = |accelerator| Proof {
        guest: Ok(accelerator),
        without_kvm: Some("no /dev/kvm".into()),
        network: None,
    };
    let warned = |facts: &Facts, accelerator| warnings(facts, Some(&proof(accelerator)));
    assert_eq!(warned(&fit(), Accelerator::Kvm), [""; 0]);
    let tcg = "guests are executed by TCG, many times slower than by KVM: no /dev/kvm";
    assert_eq!(warned(&fit(), Accelerator::Tcg), [tcg]);
    let mut facts = fit();
    let forward_delay = Some(Duration::from_secs(15));
    facts.bridge.state = Ok(UsableBridge { address: ADDRESS, forward_delay });
    let found = warned(&facts, Accelerator::Kvm);
    assert!(found[0].contains("a guest reaches nothing for 30s after its start"), "{found:?}");
    assert_eq!(warnings(&fit(), None), [""; 0]);
}

/// W67: what can be found out by trying only.
#[test]
fn a_host_whose_guests_do_not_start() {
    let proof = |guest, network: Option<&str>| {
        let network = network.map(str::to_owned);
        disproved(&Proof { guest, without_kvm: None, network })
            .into_iter()
            .map(|found| (found.cause, found.reason))
            .collect::<Vec<_>>()
    };
    assert_eq!(proof(Ok(Accelerator::Tcg), None), []);
    let guest = (Cause::Guest, "no guest can be started: why".to_owned());
    assert_eq!(proof(Err("why".into()), None), [guest]);
    let network = (Cause::Network, "the network of a guest cannot be made: no nft".to_owned());
    assert_eq!(proof(Ok(Accelerator::Kvm), Some("no nft")), [network]);
}
