//! What is wrong with the host, from what it looks like (W67). Pure.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bbot_vm::{Accelerator, BridgeProblem, TapUse};

use crate::config::Requirements;

/// How many file descriptors an instance needs beyond those that it has open.
const DESCRIPTORS_MIN: u64 = 64;

/// What the host looks like, as far as guests depend on it.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) bridge: Bridge,
    pub(crate) tap: Tap,
    /// The ports that the instance is going to listen on.
    pub(crate) ports: Vec<Port>,
    pub(crate) hypervisor: Hypervisor,
    /// The file systems that the instance writes to.
    pub(crate) volumes: Vec<Volume>,
    /// The memory that new programs can have, in KiB, as far as it is known.
    pub(crate) memory_kib: Option<u64>,
    /// For which part of the last minute some process had to wait for memory, in percent.
    pub(crate) memory_pressure: Option<f64>,
    /// The same for input and output.
    pub(crate) io_pressure: Option<f64>,
    /// How many more file descriptors this process may open.
    pub(crate) descriptors: u64,
    /// Why no inotify instance can be made, if so.
    pub(crate) inotify: Option<String>,
}

/// The bridge that guests are attached to.
#[derive(Debug)]
pub(crate) struct Bridge {
    pub(crate) name: String,
    pub(crate) state: Result<UsableBridge, BridgeFault>,
}

/// A bridge that guests can be attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsableBridge {
    pub(crate) address: Ipv4Addr,
    /// The delay of the spanning tree protocol, if the bridge uses that.
    pub(crate) forward_delay: Option<Duration>,
}

/// Why no guest can be attached to a bridge.
#[derive(Debug)]
pub(crate) enum BridgeFault {
    Unusable(BridgeProblem),
    /// The kernel cannot be asked, for this reason.
    Unknown(String),
}

/// The name of the tap, and what it is used for.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) name: String,
    /// What it is used for, or why that is not known.
    pub(crate) state: Result<TapUse, String>,
}

/// A port that the instance is going to listen on.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) service: Service,
    pub(crate) address: SocketAddr,
    /// Why it cannot be listened on, if so.
    pub(crate) obstacle: Option<PortObstacle>,
}

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Tftp,
    Vnc,
}

/// Why a port cannot be listened on.
#[derive(Debug)]
pub(crate) enum PortObstacle {
    /// Another program listens there.
    InUse,
    /// For this reason.
    Other(String),
}

/// The hypervisor program.
#[derive(Debug)]
pub(crate) struct Hypervisor {
    pub(crate) program: PathBuf,
    pub(crate) is_found: bool,
}

/// A file system that the instance writes to.
#[derive(Debug)]
pub(crate) struct Volume {
    /// A folder in it.
    pub(crate) folder: PathBuf,
    /// Its space, or why it cannot be written to.
    pub(crate) state: Result<Space, VolumeFault>,
}

/// Why a file system cannot be written to.
#[derive(Debug)]
pub(crate) enum VolumeFault {
    ReadOnly,
    /// For this reason.
    Other(String),
}

/// The space of a file system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    pub(crate) bytes: Share,
    /// Its files; a file system that has no limit for them has a total of 0.
    pub(crate) files: Share,
}

/// What is free of something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) free: u64,
    pub(crate) total: u64,
}

/// What the host proved when a guest was tried (expensive to find out).
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    /// What guests are executed by, or why none can be started.
    pub(crate) guest: Result<Accelerator, String>,
    /// Why KVM cannot be used, if it cannot.
    pub(crate) without_kvm: Option<String>,
    /// Why the network of a guest cannot be made, if it cannot.
    pub(crate) network: Option<String>,
}

/// The kind of a problem. While one lasts, its numbers may change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    Bridge,
    Tap,
    Port(u16),
    Hypervisor,
    Volume(PathBuf),
    Memory,
    Pressure(&'static str),
    Descriptors,
    Inotify,
    /// No guest can be started.
    Guest,
    /// The network of a guest cannot be made.
    Network,
    /// What an earlier process has left cannot be removed.
    Recovery,
    /// Results cannot be stored (W48).
    Storage,
    /// A task or a bootstrap failed, and nothing else is known to be wrong.
    Fault,
}

/// Why no guest can be run, and what an operator can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) cause: Cause,
    pub(crate) reason: String,
    pub(crate) cure: String,
}

impl Problem {
    pub(crate) fn new(cause: Cause, reason: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { cause, reason: reason.into(), cure: cure.into() }
    }

    /// What an earlier process has left cannot be removed.
    pub(crate) fn of_recovery(error: &anyhow::Error) -> Self {
        let reason = format!("what an earlier process has left cannot be removed: {error:#}");
        Self::new(Cause::Recovery, reason, "it is tried again after a while")
    }

    /// The answer to a task has no room, or an earlier one cannot be stored (W48, W49).
    pub(crate) fn of_storage(error: &anyhow::Error) -> Self {
        let reason = format!("results cannot be stored: {error:#}");
        Self::new(Cause::Storage, reason, "make room in --state-dir, and mount it for writing")
    }
}

/// Returns what is wrong with the host; nothing if guests can be run.
pub(crate) fn problems(facts: &Facts, required: &Requirements) -> Vec<Problem> {
    let mut found = Vec::new();
    found.extend(bridge(&facts.bridge));
    found.extend(tap(&facts.tap));
    found.extend(facts.ports.iter().filter_map(port));
    found.extend(hypervisor(&facts.hypervisor));
    found.extend(facts.volumes.iter().filter_map(|found| volume(found, required)));
    found.extend(memory(facts, required));
    let pressures = [
        ("memory", facts.memory_pressure, required.memory_pressure),
        ("io", facts.io_pressure, required.io_pressure),
    ];
    found.extend(pressures.into_iter().filter_map(|(of, now, max)| pressure(of, now, max)));
    found.extend(limits(facts));
    found
}

/// Returns what is wrong with a host whose guests were tried.
pub(crate) fn disproved(proof: &Proof) -> Vec<Problem> {
    let mut found = Vec::new();
    if let Err(reason) = &proof.guest {
        let cure = "see what the hypervisor says; --hypervisor and --vm-user name another program \
                    and user";
        found.push(Problem::new(Cause::Guest, format!("no guest can be started: {reason}"), cure));
    }
    if let Some(reason) = &proof.network {
        let reason = format!("the network of a guest cannot be made: {reason}");
        let cure = "the kernel needs tun, bridge and nf_tables, the agent nft and CAP_NET_ADMIN";
        found.push(Problem::new(Cause::Network, reason, cure));
    }
    found
}

/// Returns what an operator should know of a host that can run guests.
pub(crate) fn warnings(facts: &Facts, proof: Option<&Proof>) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(UsableBridge { forward_delay: Some(delay), .. }) = &facts.bridge.state {
        let name = &facts.bridge.name;
        found.push(format!(
            "bridge {name} uses the spanning tree protocol: a guest reaches nothing for {:.0?} \
             after its start; `ip link set {name} type bridge stp_state 0` ends that",
            *delay * 2
        ));
    }
    if let Some(Proof { guest: Ok(Accelerator::Tcg), without_kvm, .. }) = proof {
        let reason = without_kvm.as_deref().unwrap_or("there is no /dev/kvm");
        found.push(format!("guests are executed by TCG, many times slower than by KVM: {reason}"));
    }
    found
}

fn bridge(bridge: &Bridge) -> Option<Problem> {
    let Err(fault) = &bridge.state else { return None };
    let name = &bridge.name;
    let cure = match fault {
        BridgeFault::Unusable(BridgeProblem::Missing) => {
            format!("make it, or name another one with --bridge: `ip link add {name} type bridge`")
        }
        BridgeFault::Unusable(BridgeProblem::Down) => format!("`ip link set {name} up`"),
        BridgeFault::Unusable(BridgeProblem::NoAddress) => {
            format!("`ip address add <address>/<length> dev {name}`")
        }
        _ => "name a bridge with --bridge".to_owned(),
    };
    let reason = match fault {
        BridgeFault::Unusable(problem) => format!("bridge {name} {problem}"),
        BridgeFault::Unknown(reason) => format!("bridge {name} cannot be examined: {reason}"),
    };
    Some(Problem::new(Cause::Bridge, reason, cure))
}

/// A tap of our own that exists is removed by recovery, or by the guest's end.
fn tap(tap: &Tap) -> Option<Problem> {
    let name = &tap.name;
    let reason = match &tap.state {
        Ok(TapUse::Free) => return None,
        Ok(TapUse::Own) => format!("network interface {name} is in use by another instance"),
        Ok(TapUse::Foreign) => format!("network interface {name} belongs to another program"),
        Err(reason) => format!("network interface {name} cannot be examined: {reason}"),
    };
    let cure = format!("`ip link delete {name}`, or another --toolchain-num or --instance");
    Some(Problem::new(Cause::Tap, reason, cure))
}

fn port(port: &Port) -> Option<Problem> {
    let obstacle = port.obstacle.as_ref()?;
    let (address, number) = (port.address, port.address.port());
    let (name, option, protocol) = match port.service {
        Service::Tftp => ("TFTP", "--tftp-port", 'u'),
        Service::Vnc => ("VNC", "--instance", 't'),
    };
    let reason = match obstacle {
        PortObstacle::InUse => format!("the {name} port {address} is in use by another program"),
        PortObstacle::Other(reason) => format!("the {name} port {address} is not usable: {reason}"),
    };
    let cure = format!("`ss -l{protocol}np sport = :{number}` shows the program; or {option}");
    Some(Problem::new(Cause::Port(number), reason, cure))
}

fn hypervisor(hypervisor: &Hypervisor) -> Option<Problem> {
    if hypervisor.is_found {
        return None;
    }
    let reason = format!("there is no hypervisor {}", hypervisor.program.display());
    Some(Problem::new(Cause::Hypervisor, reason, "install QEMU, or name it with --hypervisor"))
}

fn volume(volume: &Volume, required: &Requirements) -> Option<Problem> {
    let folder = volume.folder.display();
    let problem =
        |reason, cure: &str| Some(Problem::new(Cause::Volume(volume.folder.clone()), reason, cure));
    let space = match &volume.state {
        Ok(space) => space,
        Err(VolumeFault::ReadOnly) => {
            let cure = "see `dmesg` for the cause, and mount it for writing";
            return problem(format!("{folder} is read-only"), cure);
        }
        Err(VolumeFault::Other(reason)) => {
            let cure = "make it a folder that the agent can write to";
            return problem(format!("{folder} cannot be used: {reason}"), cure);
        }
    };
    let cure = "remove what is not needed, or set another --min-free";
    for (share, what) in [(space.bytes, "space"), (space.files, "inodes")] {
        if share.is_below(required.free_percent) {
            let (free, min) = (share.percent(), required.free_percent);
            let reason = format!("{free:.1} % of the {what} of {folder} is free, of {min} %");
            return problem(reason, cure);
        }
    }
    None
}

impl Share {
    /// Nothing can be missing of what has no limit.
    fn is_below(self, percent: u8) -> bool {
        self.total > 0 && u128::from(self.free) * 100 < u128::from(self.total) * u128::from(percent)
    }

    #[expect(clippy::cast_precision_loss, reason = "it is shown with one digit")]
    fn percent(self) -> f64 {
        self.free as f64 * 100.0 / self.total.max(1) as f64
    }
}

fn memory(facts: &Facts, required: &Requirements) -> Option<Problem> {
    let available = facts.memory_kib.filter(|available| *available < required.ram_kib)?;
    let (available, needed) = (available / 1024, required.ram_kib / 1024);
    let reason = format!("{available} MiB of memory are available, and a guest has {needed}");
    Some(Problem::new(Cause::Memory, reason, "end other programs, or set another --ram"))
}

fn pressure(of: &'static str, now: Option<f64>, max: u8) -> Option<Problem> {
    let now = now.filter(|now| max > 0 && *now > f64::from(max))?;
    let reason = format!("the {of} pressure of the last minute is {now:.1} %, over {max} %");
    let cure = format!("wait, or set another --{of}-pressure-max");
    Some(Problem::new(Cause::Pressure(of), reason, cure))
}

fn limits(facts: &Facts) -> Vec<Problem> {
    let mut found = Vec::new();
    if facts.descriptors < DESCRIPTORS_MIN {
        let left = facts.descriptors;
        let reason = format!("only {left} more file descriptors may be opened");
        found.push(Problem::new(Cause::Descriptors, reason, "raise LimitNOFILE of the unit"));
    }
    if let Some(reason) = &facts.inotify {
        let reason = format!("no inotify instance can be made: {reason}");
        let cure = "raise `sysctl fs.inotify.max_user_instances`";
        found.push(Problem::new(Cause::Inotify, reason, cure));
    }
    found
}

#[cfg(test)]
mod tests;
