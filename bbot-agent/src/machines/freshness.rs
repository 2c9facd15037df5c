//! Whether a bootstrapped machine is up to date. Pure.

use bbot_manifest::protocol::BootstrapManifest;
use bbot_manifest::{BootstrappedMachine, MachineManifest, StandardVersion};

/// The packages whose versions are compared, in this order.
const PACKAGES: [&str; 4] = ["bbot", "libbbot", "libbpkg", "libbutl"];

/// Whether a bootstrapped machine is up to date (W8).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// It can take tasks.
    Ready,
    /// It must be bootstrapped, for this reason.
    Due(&'static str),
    /// Its worker is newer than this agent: it is left alone until the agent is upgraded.
    Newer,
}

/// Judges the bootstrapped machine `have` against the machine as it is now.
///
/// `toolchain_id` is compared only if it is set (`--toolchain-id`).
pub(crate) fn freshness(
    machine: &MachineManifest,
    have: &BootstrappedMachine,
    toolchain_id: Option<&str>,
    worker: &StandardVersion,
) -> Freshness {
    match compare(&have.bootstrap, worker) {
        Age::Newer => Freshness::Newer,
        _ if have.machine.header.id != machine.header.id => Freshness::Due("new machine"),
        _ if toolchain_id.is_some_and(|id| id != have.toolchain.id) => {
            Freshness::Due("new toolchain")
        }
        // W15: for the same expected version, another bootstrap would install the same old worker.
        Age::Older if have.bootstrap.agent_version.as_ref() != Some(worker) => {
            Freshness::Due("new agent")
        }
        Age::Older | Age::Same => Freshness::Ready,
    }
}

/// How a worker compares with what this agent expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// At least one package is older, and those before it are the same.
    Older,
    /// All four are the same.
    Same,
    /// At least one package is newer, and those before it are the same.
    Newer,
}

/// Compares the worker's versions with `expected`: the first difference decides, and a package
/// that is not named counts as older.
pub(crate) fn compare(bootstrap: &BootstrapManifest, expected: &StandardVersion) -> Age {
    use std::cmp::Ordering;
    for package in PACKAGES {
        match bootstrap.versions.get(package).map(|version| version.cmp(expected)) {
            None | Some(Ordering::Less) => return Age::Older,
            Some(Ordering::Greater) => return Age::Newer,
            Some(Ordering::Equal) => {}
        }
    }
    Age::Same
}

/// Returns the manifest of a worker of exactly the expected version (`--fake-bootstrap`).
pub(crate) fn own_versions(expected: &StandardVersion) -> BootstrapManifest {
    let versions = PACKAGES.iter().map(|&p| (p.to_owned(), expected.clone())).collect();
    let mut manifest = BootstrapManifest::new(versions);
    manifest.agent_version = Some(expected.clone());
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;
    use bbot_manifest::MachineHeader;
    use bbot_manifest::protocol::{MachineType, ToolchainManifest};

    fn machine(id: &str) -> MachineManifest {
        let header = MachineHeader::new(id, "linux".parse().unwrap(), "Linux");
        MachineManifest::new(header, MachineType::Kvm)
    }

    fn bootstrap(versions: &[(&str, &str)]) -> BootstrapManifest {
        let versions =
            versions.iter().map(|(p, v)| ((*p).to_owned(), v.parse().unwrap())).collect();
        BootstrapManifest::new(versions)
    }

    fn have(versions: &[(&str, &str)]) -> BootstrappedMachine {
        let toolchain = ToolchainManifest::new("tc-1");
        BootstrappedMachine::new(machine("id-1"), toolchain, bootstrap(versions))
    }

    const SAME: [(&str, &str); 4] =
        [("bbot", "0.16.0"), ("libbbot", "0.16.0"), ("libbpkg", "0.16.0"), ("libbutl", "0.16.0")];

    fn version(text: &str) -> StandardVersion {
        text.parse().unwrap()
    }

    /// W8: the first difference decides; a missing package counts as older.
    #[test]
    fn the_first_difference_decides() {
        let with = |package: usize, v: &'static str| {
            let mut versions = SAME;
            versions[package].1 = v;
            compare(&bootstrap(&versions), &version("0.16.0"))
        };
        for package in 0..4 {
            assert_eq!(with(package, "0.15.0"), Age::Older);
            assert_eq!(with(package, "0.16.1"), Age::Newer);
        }
        assert_eq!(with(0, "0.16.0"), Age::Same);
        assert_eq!(compare(&bootstrap(&SAME[..3]), &version("0.16.0")), Age::Older);
        let mixed = [("bbot", "0.17.0"), ("libbbot", "0.15.0")];
        assert_eq!(compare(&bootstrap(&mixed), &version("0.16.0")), Age::Newer);
        let mixed = [("bbot", "0.15.0"), ("libbbot", "0.17.0")];
        assert_eq!(compare(&bootstrap(&mixed), &version("0.16.0")), Age::Older);
    }

    /// W8: machine id, toolchain id (if one is set) and worker versions.
    #[test]
    fn a_changed_machine_toolchain_or_agent_makes_due() {
        let worker = version("0.16.0");
        let judge = |id, toolchain| freshness(&machine(id), &have(&SAME), toolchain, &worker);
        assert_eq!(judge("id-1", None), Freshness::Ready);
        assert_eq!(judge("id-1", Some("tc-1")), Freshness::Ready);
        assert_eq!(judge("id-1", Some("tc-2")), Freshness::Due("new toolchain"));
        assert_eq!(judge("id-2", None), Freshness::Due("new machine"));
        let newer = version("0.17.0");
        let judged = freshness(&machine("id-1"), &have(&SAME), None, &newer);
        assert_eq!(judged, Freshness::Due("new agent"));
        let older = version("0.15.0");
        assert_eq!(freshness(&machine("id-2"), &have(&SAME), None, &older), Freshness::Newer);
    }

    /// W15: an older worker is due again only for an agent that expects another version.
    #[test]
    fn an_older_worker_is_not_bootstrapped_without_end() {
        let worker = version("0.17.0");
        let mut have = have(&SAME);
        have.bootstrap.agent_version = Some(worker.clone());
        assert_eq!(freshness(&machine("id-1"), &have, None, &worker), Freshness::Ready);
        let next = version("0.18.0");
        let judged = freshness(&machine("id-1"), &have, None, &next);
        assert_eq!(judged, Freshness::Due("new agent"));
    }

    #[test]
    fn own_versions_are_the_same() {
        let worker = version("0.16.0");
        assert_eq!(compare(&own_versions(&worker), &worker), Age::Same);
    }
}
