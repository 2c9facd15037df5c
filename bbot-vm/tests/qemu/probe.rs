//! Whether the host can run guests is found out by one.

use bbot_vm::{Accelerator, Error, Probe, VmUser};

use crate::host::{Host, network_of};

fn probe(host: &Host, hypervisor: &str) -> Result<(), Error> {
    let probe = Probe {
        hypervisor: hypervisor.into(),
        user: VmUser::resolve(Some("nobody")).unwrap(),
        runtime_dir: host.path("public-1"),
    };
    let result = probe.run(Accelerator::Tcg);
    let left = bbot_vm::sweep(&network_of(1), &host.path("public-1")).unwrap();
    assert_eq!(left, [], "{result:?}");
    result
}

/// W67: a guest runs and ends, and needs neither disk nor network.
#[test]
fn a_guest_is_started_and_ended() {
    let host = Host::new();
    probe(&host, "qemu-system-x86_64").unwrap();
}

/// W67: an accelerator that QEMU cannot use is reported in its words.
#[test]
fn a_failure_is_reported_in_qemus_words() {
    let host = Host::new();
    host.write_program("refuses", "exec qemu-system-x86_64 \"$@\" -accel no-such");
    let error = probe(&host, host.path("refuses").to_str().unwrap()).unwrap_err();
    let Error::Start { exit, .. } = error else { panic!("{error:?}") };
    assert!(exit.stderr.contains("-accel"), "{exit}");
    assert!(matches!(probe(&host, "no-such-qemu"), Err(Error::Io { .. })));
}
