//! Performs one task: from the locked machine to the durable result.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bbot_btrfs::Snapshot;
use bbot_lock::{HostLock, MachineLock};
use bbot_manifest::protocol::TaskEdit;
use bbot_manifest::{BootstrappedMachine, ResultManifest, ResultStatus};

use super::artifacts::{self, UPLOAD};
use super::claim::claim;
use super::outcome::{Outcome, outcome};
use super::result_file;
use crate::agent::Agent;
use crate::controller::AcceptedTask;
use crate::controller::result_request;
use crate::diag;
use crate::guest::hold::Hold;
use crate::guest::run::{End, Job, Limits};
use crate::guest::session::{NO_SPACE, Setup, Sitting};
use crate::guest::tftp_folder::{self, TftpFolder};
use crate::machines::layout::MachineDir;
use crate::machines::snapshot;
use crate::outbox::Entry;
use crate::schedule::priority::Priority;

/// A task that this instance is going to perform, and the machine for it.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// What to do, and where the result goes.
    pub(crate) task: Box<AcceptedTask>,
    /// The priority of the controller that gave it.
    pub(crate) priority: Priority,
    /// That controller.
    pub(crate) url: String,
    /// Where the machine is.
    pub(crate) dir: MachineDir,
    /// The machine.
    pub(crate) machine: BootstrappedMachine,
    /// The machines that other processes had locked.
    pub(crate) others: Vec<MachineDir>,
}

/// Performs the task and returns its result, which is durable in the outbox (if there is one).
pub(crate) fn perform(
    agent: &mut Agent,
    host: HostLock,
    assignment: &Assignment,
) -> anyhow::Result<ResultManifest> {
    // W41: from here on the task is answered even if this process dies, be it while it waits for
    // others to make room.
    if let Some(reports) = &agent.reports
        && let Err(error) =
            reports.outbox.record(&entry(agent, assignment, interrupted(assignment)))
    {
        return give_back(agent, assignment, &error.into());
    }
    let Ok(mut lock) = claim(agent, &host, assignment) else {
        return report(agent, assignment, interrupted(assignment), None);
    };
    agent.events.signals.arm_interrupts();
    drop(host);

    let result = if agent.config.fake_build {
        report(agent, assignment, identity(assignment, ResultStatus::Abort), None)
    } else if agent.config.fake_machine.is_some() {
        super::fake::build(agent, assignment)
    } else {
        build(agent, assignment, &mut lock)
    };
    free(&mut lock);
    result
}

/// Lets the machine go; should its file resist, the kernel frees the lock all the same.
fn free(lock: &mut FakeOrReal) {
    if let Some(Err(error)) = lock.take().map(MachineLock::release) {
        diag::warn(format_args!("{:#}", anyhow::Error::new(error)));
    }
}

/// A fake machine has no lock.
type FakeOrReal = Option<MachineLock>;

/// Builds in throw-away snapshots until a guest has booted, and reports what came of it.
fn build(
    agent: &mut Agent,
    assignment: &Assignment,
    lock: &mut FakeOrReal,
) -> anyhow::Result<ResultManifest> {
    match try_build(agent, assignment, lock) {
        Ok(result) => {
            agent.machine_rests.record_success(&assignment.dir.name.to_string());
            Ok(result)
        }
        Err(error) => give_back(agent, assignment, &error),
    }
}

/// W26: the host could not do it: another one may.
fn give_back(
    agent: &mut Agent,
    assignment: &Assignment,
    error: &anyhow::Error,
) -> anyhow::Result<ResultManifest> {
    diag::error(format_args!("cannot build on {}: {error:#}", assignment.dir.name));
    let key = assignment.dir.name.to_string();
    agent.machine_rests.record_failure(key, Instant::now(), fastrand::f64());
    report(agent, assignment, interrupted(assignment), None)
}

/// An error means that nothing was reported: a session gets one result only.
fn try_build(
    agent: &mut Agent,
    assignment: &Assignment,
    lock: &mut FakeOrReal,
) -> anyhow::Result<ResultManifest> {
    let path = tftp_folder::build(&agent.config.tftp, &agent.config.instance_name());
    let folder = TftpFolder::create(path, &["get", "put"])?;
    write_task(agent, &folder, assignment)?;
    for boots in 1.. {
        if agent.events.signals.terminated() {
            return report(agent, assignment, interrupted(assignment), None);
        }
        let start = Instant::now();
        let path = agent.layout.snapshot(&assignment.dir);
        let snapshot = snapshot::take(&agent.layout.bootstrapped(&assignment.dir), &path)?;
        diag::phase("snapshot", start.elapsed(), &keys(assignment));
        let done = sit(agent, &folder, &snapshot, assignment, boots, lock)?;
        let start = Instant::now();
        match snapshot.delete() {
            Ok(()) => diag::phase("deleted", start.elapsed(), &keys(assignment)),
            // The result stands; the next start sweeps.
            Err(error) => diag::warn(format_args!("{:#}", anyhow::Error::new(error))),
        }
        if let Some(result) = done {
            return Ok(result);
        }
        diag::warn(format_args!("machine {} mis-booted, retrying", assignment.dir.name));
        folder.clear("put")?;
    }
    unreachable!("the last boot gives a result")
}

/// Boots the snapshot once; `None` if the guest mis-booted and may be booted again.
///
/// The result is durable before the guest is let go (design.md, rule 5).
fn sit(
    agent: &mut Agent,
    folder: &TftpFolder,
    snapshot: &Snapshot,
    assignment: &Assignment,
    boots: u32,
    lock: &mut FakeOrReal,
) -> anyhow::Result<Option<ResultManifest>> {
    let machine = &assignment.machine.machine;
    let mac = machine.mac.as_ref().context("the bootstrapped machine has no mac address")?;
    let setup = Setup {
        job: Job::Build,
        limits: limits(agent, assignment),
        directory: snapshot.path(),
        machine,
        mac: &mac.to_string(),
        cpus: cpus(agent, assignment.priority),
        vnc: vnc_address(agent, assignment),
        read: folder.join("get"),
        write: folder.join("put"),
    };
    let mut sitting = Sitting::start(agent, &setup)?;
    let end = sitting.drive(agent);
    if end.is_worth_another_boot(boots, agent.config.build_retries) {
        sitting.report_failure("build startup timeout", agent);
        sitting.end(|| {});
        return Ok(None);
    }
    if end == End::DiskFull {
        sitting.end(|| {});
        bail!(NO_SPACE);
    }
    finish(agent, sitting, folder, assignment, &end, lock).map(Some)
}

/// Reports what came of the task, holds the guest if that is due (W27), and lets it go.
fn finish(
    agent: &mut Agent,
    mut sitting: Sitting,
    folder: &TftpFolder,
    assignment: &Assignment,
    end: &End,
    lock: &mut FakeOrReal,
) -> anyhow::Result<ResultManifest> {
    let result = match end {
        End::Complete(file) => read_result(&folder.join("put").join(file))
            .filter(|result| fits(agent, assignment, result)),
        _ => None,
    };
    let task = &assignment.task.task;
    let Outcome { result, concern } =
        outcome(&task.name, &task.version, task.interactive.is_some(), end, result);
    let is_ending = agent.is_stopping() || agent.config.dump_result;
    let hold = Hold::due(end, concern, agent.config.hold_timeout, is_ending, Instant::now());
    if let (Some(_), Some(lock)) = (&hold, lock.as_mut())
        && let Err(error) = lock.suspend()
    {
        diag::warn(format_args!("{:#}", anyhow::Error::new(error)));
    }
    let reported = report(agent, assignment, result, Some(&folder.join("put").join(UPLOAD)));
    match (hold.filter(|_| reported.is_ok()), concern) {
        (Some(hold), Some(concern)) => {
            agent.hand_out_results();
            sitting.hold(agent, &hold, concern);
        }
        (None, Some(concern)) => sitting.report_failure(concern, agent),
        (_, None) if matches!(end, End::Exited { .. }) => {
            diag::warn(format_args!("machine {} exited unexpectedly", assignment.dir.name));
        }
        (_, None) => {}
    }
    sitting.end(|| {
        // W39: the machine is free before the upload starts, and the upload starts at once.
        if reported.is_ok() {
            free(lock);
            agent.hand_out_results();
        }
    });
    reported
}

fn read_result(path: &Path) -> Option<ResultManifest> {
    result_file::read(path)
        .map_err(|error| {
            let error = anyhow::Error::new(error);
            diag::error(format_args!("{error:#}"));
        })
        .ok()
}

/// W32: what no controller would take is as good as unreadable.
fn fits(agent: &Agent, assignment: &Assignment, result: &ResultManifest) -> bool {
    let entry = Entry { challenge: None, ..entry(agent, assignment, result.clone()) };
    result_request::result_request(&entry, None)
        .map_err(|error| diag::error(format_args!("{:#}", anyhow::Error::new(error))))
        .is_ok()
}

/// Makes the result durable in the outbox, with the artifacts in the guest's `upload`; the record
/// of the task at hand has done its duty then.
pub(super) fn report(
    agent: &mut Agent,
    assignment: &Assignment,
    result: ResultManifest,
    upload: Option<&Path>,
) -> anyhow::Result<ResultManifest> {
    if agent.config.dump_result {
        return Ok(result);
    }
    if let Some(reports) = &agent.reports {
        let start = Instant::now();
        let entry = entry(agent, assignment, result.clone());
        artifacts::store(&reports.outbox, entry, upload, &assignment.task.upload_urls)?;
        // Recovery looks for the result first, so a record that stays does no harm.
        if let Err(error) = reports.outbox.forget_record() {
            diag::warn(format_args!("{:#}", anyhow::Error::new(error)));
        }
        diag::phase("durable", start.elapsed(), &keys(assignment));
    }
    Ok(result)
}

fn entry(agent: &Agent, assignment: &Assignment, result: ResultManifest) -> Entry {
    Entry {
        session: assignment.task.session.clone(),
        result_url: assignment.task.result_url.clone(),
        challenge: assignment.task.challenge.clone(),
        fingerprint: agent.signer.as_ref().map(|signer| signer.fingerprint().to_owned()),
        artifacts: Vec::new(),
        result,
    }
}

pub(super) fn identity(assignment: &Assignment, status: ResultStatus) -> ResultManifest {
    let task = &assignment.task.task;
    ResultManifest::new(task.name.clone(), task.version.clone(), status)
}

fn interrupted(assignment: &Assignment) -> ResultManifest {
    identity(assignment, ResultStatus::Interrupt)
}

/// W24: only what the agent decides is changed in the task; the rest reaches the worker as it came.
pub(super) fn write_task(
    agent: &Agent,
    folder: &TftpFolder,
    assignment: &Assignment,
) -> anyhow::Result<()> {
    let task = &assignment.task;
    let edit = edit(&agent.config.trust, task.agent_checksum.as_deref());
    let text = edit.apply(&task.task_text)?;
    let path = folder.join("get").join("task.manifest");
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// W24: `--trust` replaces the task's own; another agent's checksum takes the worker's along.
fn edit<'a>(trust: &'a [String], agent_checksum: Option<&str>) -> TaskEdit<'a> {
    let mut edit = TaskEdit::default();
    edit.trust = (!trust.is_empty()).then_some(trust);
    edit.drop_worker_checksum = agent_checksum != Some(result_request::AGENT_CHECKSUM);
    edit
}

fn limits(agent: &Agent, assignment: &Assignment) -> Limits {
    let timeouts = &agent.config.timeouts;
    let interactive = assignment.task.task.interactive.is_some();
    Limits {
        startup: timeouts.build_startup,
        work: if interactive { timeouts.interactive } else { timeouts.build },
        shutdown: Duration::ZERO,
    }
}

/// W26, W20: a boosted task gets all online hardware threads, where instances make room for it.
fn cpus(agent: &Agent, priority: Priority) -> u32 {
    use nix::unistd::{SysconfVar, sysconf};
    if !priority.is_boosted() || agent.config.instance_max == 0 {
        return agent.config.cpu;
    }
    let online = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    online.and_then(|n| u32::try_from(n).ok()).unwrap_or(agent.config.cpu)
}

fn vnc_address(agent: &Agent, assignment: &Assignment) -> IpAddr {
    match agent.config.interactive_address {
        Some(address) if assignment.task.task.interactive.is_some() => address,
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

pub(super) fn keys(assignment: &Assignment) -> [(&'static str, &str); 2] {
    [("machine", assignment.dir.name.as_str()), ("session", &assignment.task.session)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = ":\nname: a\ntrust: 1\nfuture:   x\\\ny\nworker-checksum: w\n# end\n";

    /// W24: byte for byte what came, but for what the agent decides.
    #[test]
    fn only_the_agents_own_is_changed() {
        let edited = |trust: &[String], checksum| edit(trust, checksum).apply(TASK).unwrap();
        let ours = Some(result_request::AGENT_CHECKSUM);
        let untouched = edited(&[], ours);
        assert_eq!(untouched, TASK.replacen(':', ": 1", 1));
        for other in [None, Some("1"), Some("")] {
            let expected = untouched.replace("worker-checksum: w\n", "");
            assert_eq!(edited(&[], other), expected, "{other:?}");
        }
        let trusted = edited(&["yes".to_owned()], ours);
        assert!(trusted.contains("trust: yes\n") && !trusted.contains("trust: 1"), "{trusted}");
        assert!(trusted.contains("future:   x\\\ny\nworker-checksum: w\n"), "{trusted}");
    }
}
