//! What an entry of a machine's folder is, by its name. Pure.

use bbot_manifest::MachineName;

use crate::config::ToolchainName;

/// The thing that an entry of a machine's folder is by its name: it is only one (W44).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// `<name>-<P>`: the link to the current revision for a bootstrap protocol.
    Link,
    /// `<name>-<P>.<R>`: a revision, of the operator.
    Revision,
    /// `<name>-<toolchain>`: what is bootstrapped for a toolchain.
    Bootstrapped(ToolchainName),
    /// `<name>-<toolchain>-<instance>-<pid>-<count>`: a working snapshot.
    Snapshot(SnapshotName),
    /// `<name>-<toolchain>.lock`: the machine lock of a toolchain.
    Lock(ToolchainName),
}

/// A working snapshot, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotName {
    /// The toolchain.
    pub(crate) toolchain: ToolchainName,
    /// The number of the instance that took it.
    pub(crate) instance: u16,
    /// The process that took it.
    pub(crate) pid: u32,
    /// The number of snapshots that the process had taken before.
    pub(crate) count: u32,
}

impl Entry {
    /// Returns what `file_name` is in the folder of `machine`; `None` if it is nothing of these.
    pub(crate) fn parse(machine: &MachineName, file_name: &str) -> Option<Self> {
        let rest = file_name.strip_prefix(machine.as_str())?.strip_prefix('-')?;
        let protocol = rest.split_once('.').map_or(rest, |(protocol, _)| protocol);
        if !protocol.is_empty() && protocol.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(if protocol == rest { Self::Link } else { Self::Revision });
        }
        if let Some(toolchain) = rest.strip_suffix(".lock") {
            return toolchain.parse().ok().map(Self::Lock);
        }
        if let Some(snapshot) = SnapshotName::parse(rest) {
            return Some(Self::Snapshot(snapshot));
        }
        rest.parse().ok().map(Self::Bootstrapped)
    }
}

impl SnapshotName {
    fn parse(rest: &str) -> Option<Self> {
        let mut parts = rest.rsplitn(4, '-');
        let mut number = || number(parts.next()?);
        let (count, pid, instance) = (number()?, number()?, number()?);
        let instance = u16::try_from(instance).ok().filter(|instance| (1..=99).contains(instance));
        let is_pid = pid > 0 && i32::try_from(pid).is_ok();
        is_pid.then_some(())?;
        Some(Self { toolchain: parts.next()?.parse().ok()?, instance: instance?, pid, count })
    }
}

/// Parses a number as it is written: without a sign, and without zeros before it.
fn number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::guest::run::Job;
    use crate::guest::tftp_folder;
    use crate::machines::layout::{Layout, MachineDir};

    fn parse(file_name: &str) -> Option<Entry> {
        Entry::parse(&"m-1".parse().unwrap(), file_name)
    }

    fn toolchain(name: &str) -> ToolchainName {
        name.parse().unwrap()
    }

    /// W44: what the names of the original agent and of operators mean.
    #[test]
    fn entries_are_told_apart() {
        assert_eq!(parse("m-1-1"), Some(Entry::Link));
        assert_eq!(parse("m-1-1.2"), Some(Entry::Revision));
        assert_eq!(parse("m-1-1.2-beta.lock"), Some(Entry::Revision));
        assert_eq!(parse("m-1-stage"), Some(Entry::Bootstrapped(toolchain("stage"))));
        assert_eq!(parse("m-1-stage-2"), Some(Entry::Bootstrapped(toolchain("stage-2"))));
        assert_eq!(parse("m-1-stage.lock"), Some(Entry::Lock(toolchain("stage"))));
        let stage = toolchain("stage");
        let snapshot = SnapshotName { toolchain: stage, instance: 2, pid: 2024, count: 6 };
        assert_eq!(parse("m-1-stage-2-2024-6"), Some(Entry::Snapshot(snapshot)));
        let none = [
            "m-1",
            "m-1-",
            "m",
            "m-2-stage",
            "other",
            "m-1-.lock",
            "m-1-..",
            "m-1-stage.warm",
            "m-1-stage.lock.lock",
            "m-1-stage-2-2024-06",
            "m-1-stage-0-1-1",
            "m-1-stage-100-1-1",
            "m-1-stage-1-0-1",
            "m-1-stage-1-2147483648-1",
            "m-1-a b",
            "m-1-t.lock-1-2-3",
        ];
        for name in none {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    /// Names that are made of what could be confused.
    fn names() -> impl Strategy<Value = String> {
        const PARTS: [&str; 18] = [
            "-", "-", ".", "1", "2", "06", "2024", "99", "a", "A", "m", "+", "_", ".lock", ".warm",
            ".LOCK", "-1", "stage",
        ];
        let part = proptest::sample::select(&PARTS[..]);
        proptest::collection::vec(part, 1..7).prop_map(|parts| parts.concat())
    }

    fn machine_names() -> impl Strategy<Value = MachineName> {
        names().prop_filter_map("no name of a machine", |name| name.parse().ok())
    }

    fn toolchains() -> impl Strategy<Value = ToolchainName> {
        names().prop_filter_map("no name of a toolchain", |name| name.parse().ok())
    }

    /// Everything that a toolchain has outside of its processes: each is one thing, by its name.
    fn paths(machine: &MachineName, name: &ToolchainName, instance: u16) -> Vec<String> {
        let layout = Layout::new("/m".into(), name.clone(), instance);
        let dir = MachineDir { name: machine.clone(), path: format!("/m/v/{machine}").into() };
        let text = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
        let args = ["--toolchain-name", name.as_str(), "--instance", &instance.to_string()];
        let config = crate::config::tests::config(&[&args[..], &["https://a/"]].concat()).unwrap();
        let id = config.instance_name();
        vec![
            text(layout.bootstrapped(&dir)),
            text(layout.lock_file(&dir)),
            text(layout.bootstrapped(&dir)) + ".warm",
            text(layout.snapshot(&dir)),
            text(config.state_dir.clone()),
            text(config.runtime_dir.clone()),
            text(config.instance_lock.clone()),
            text(config.toolchain.lock.clone().unwrap()).replace("/var/lock/", "/run/lock/"),
            text(tftp_folder::path(&config, Job::Build)),
            text(tftp_folder::path(&config, Job::Bootstrap)),
            text(config.tftp.join("toolchains").join(name.as_str())),
            format!("nft bbot-{}", id.replace('+', "/")),
        ]
    }

    /// The paths of [`paths`] that all instances of a toolchain have in common.
    const COMMON: [usize; 5] = [0, 1, 2, 7, 10];

    proptest! {
        /// W44: no two things of any toolchains and instances have one path, not even by way of
        /// dots, and none has the operator's.
        #[test]
        fn no_two_things_have_one_path(
            machine in machine_names(),
            names in (toolchains(), toolchains()),
            instances in (1..=99_u16, 1..=99_u16),
        ) {
            let mut seen = BTreeSet::from([format!("/m/v/{machine}/{machine}-1")]);
            let ours = paths(&machine, &names.0, instances.0);
            let theirs = paths(&machine, &names.1, instances.1);
            let is_same_toolchain = names.0 == names.1;
            let others = theirs.into_iter().enumerate();
            let others = others.filter(|(n, _)| {
                let is_same = is_same_toolchain && instances.0 == instances.1;
                !(is_same && *n != 3 || is_same_toolchain && COMMON.contains(n))
            });
            for path in ours.into_iter().chain(others.map(|(_, path)| path)) {
                let is_plain = |part: &str| part != "." && part != "..";
                // The tables of nft have names, not paths.
                prop_assert!(!path.starts_with('/') || path.split('/').all(is_plain), "{}", path);
                prop_assert!(seen.insert(path.clone()), "{} is of two", path);
            }
        }

        /// W44: each path is parsed as what it was made for.
        #[test]
        fn each_path_is_one_thing(
            machine in machine_names(),
            name in toolchains(),
            instance in 1..=99_u16,
            pid in 1..=0x7fff_ffff_u32,
            count: u32,
        ) {
            let parse = |rest: String| Entry::parse(&machine, &format!("{machine}-{rest}"));
            let toolchain = name.clone();
            let snapshot = SnapshotName { toolchain, instance, pid, count };
            let text = format!("{name}-{instance}-{pid}-{count}");
            prop_assert_eq!(parse(text), Some(Entry::Snapshot(snapshot)));
            prop_assert_eq!(parse(format!("{name}.lock")), Some(Entry::Lock(name.clone())));
            prop_assert_eq!(parse(format!("{name}.warm")), None);
            prop_assert_eq!(parse(name.to_string()), Some(Entry::Bootstrapped(name)));
        }

        /// W44: no name of an operator's is taken for ours.
        #[test]
        fn revisions_are_the_operators(
            machine in machine_names(),
            protocol in 1..20_u8,
            revision in "[0-9a-z.-]{1,8}",
        ) {
            let parse = |rest: String| Entry::parse(&machine, &format!("{machine}-{rest}"));
            prop_assert_eq!(parse(format!("{protocol}.{revision}")), Some(Entry::Revision));
            prop_assert_eq!(parse(protocol.to_string()), Some(Entry::Link));
        }
    }
}
