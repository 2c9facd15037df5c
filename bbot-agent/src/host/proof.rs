//! Proves that the host can run guests, by trying (W67). It takes some 100 ms.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use bbot_vm::{Accelerator, Network, Probe, VmUser};

use super::health::Proof;
use crate::config::Config;
use crate::diag;
use crate::fs::runtime_dir::{self, PRIVATE};

/// Where KVM is.
const KVM: &str = "/dev/kvm";

/// Makes the network of a guest and removes it, and runs a guest without disk.
pub(crate) fn prove(config: &Config) -> Proof {
    let start = Instant::now();
    let network = Network::set_up(&config.network()).and_then(Network::tear_down);
    let network = network.err().map(|error| describe(&error.into()));
    let mut without_kvm = None;
    let guest = run_guest(config, &mut without_kvm).map_err(|error| describe(&error));
    diag::phase("proof", start.elapsed(), &[]);
    Proof { guest, without_kvm, network }
}

/// KVM is tried first, and TCG if that fails.
fn run_guest(config: &Config, without_kvm: &mut Option<String>) -> anyhow::Result<Accelerator> {
    runtime_dir::create(&config.runtime_dir)?;
    let probe = Probe {
        hypervisor: config.hypervisor(),
        user: VmUser::resolve(config.vm_user.as_deref())?,
        runtime_dir: config.runtime_dir.join(PRIVATE),
    };
    if Path::new(KVM).try_exists().unwrap_or(true) {
        match probe.run(Accelerator::Kvm) {
            Ok(()) => return Ok(Accelerator::Kvm),
            Err(error) => *without_kvm = Some(describe(&error.into())),
        }
    }
    probe.run(Accelerator::Tcg).context("by TCG")?;
    Ok(Accelerator::Tcg)
}

/// In one line: a hypervisor may have written several.
fn describe(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
