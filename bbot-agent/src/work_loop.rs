//! Recover, enumerate, ask, perform, report; nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use bbot_lock::{Acquired, HostLock};
use bbot_manifest::{Lines, Manifest};

use crate::agent::{Agent, Role};
use crate::ask::{AskOutcome, AskRound};
use crate::blocked::Gate;
use crate::bootstrap::{Bootstrap, Bootstrapped};
use crate::config::Controller;
use crate::diag;
use crate::event_loop::Event;
use crate::fs::runtime_dir;
use crate::host::fault::Fault;
use crate::host::health::Problem;
use crate::machines::complaints::{Complaints, Concern};
use crate::machines::enumerate::{Busy, Enumeration, Machine, State};
use crate::machines::fake;
use crate::machines::layout::MachineDir;
use crate::machines::offer::Offer;
use crate::observe::status::Phase;
use crate::output;
use crate::recovery;
use crate::reports::Reports;
use crate::schedule::backoff::Backoff;
use crate::schedule::host::Host;
use crate::schedule::plan::{Plan, plan};
use crate::schedule::reminder::Reminder;
use crate::storable::Storing;
use crate::task::assignment::Assignment;
use crate::task::perform::Performer;
use crate::task::reporter::Reporter;

/// How often a wait for the host lock is reported (W6).
const LOCK_WARNING: Duration = Duration::from_secs(60);

/// How long a stop waits for results that are being posted (W40); they are on disk anyway.
const LAST_POST: Duration = Duration::from_secs(5);

/// How a round ended.
enum Round {
    /// Something was done: the next one begins at once.
    Again,
    /// Nothing to do: pause, fully or by half.
    Idle { half: bool },
    /// The agent has done what it was started for, or is to stop.
    Stop,
}

/// Works until it is told to stop.
pub(crate) fn work(agent: &mut Agent) -> anyhow::Result<()> {
    let mut complaints = Complaints::default();
    let is_up = start_up(agent)?;
    while is_up && !agent.events.signals().is_stopping() {
        if !is_fit(agent, true)? {
            break;
        }
        match round(agent, &mut complaints).or_else(|error| keep_answer(agent, error))? {
            Round::Again => {}
            Round::Stop => break,
            Round::Idle { half } => pause(agent, half),
        }
    }
    agent.status.enter(Phase::Stopping, None, None);
    agent.events.post_due();
    agent.events.finish_posting(Instant::now() + LAST_POST);
    agent.status.remove();
    if agent.role == Role::Instance {
        runtime_dir::remove(&agent.config.runtime_dir);
    }
    Ok(())
}

/// Recovers, on a host that can run guests; returns false if the agent is to stop.
fn start_up(agent: &mut Agent) -> anyhow::Result<bool> {
    if !is_fit(agent, false)? {
        return Ok(false);
    }
    agent.status.ready();
    if agent.role == Role::Instance {
        agent.status.enter(Phase::Enumerating, None, None);
        if let Some(host_lock) = lock_host(agent)? {
            recovery::sweep_snapshots(&agent.host.layout, &host_lock);
        }
    }
    Ok(true)
}

/// Waits until guests can be run and results stored, and before the first round until what an
/// earlier process has left is removed; returns false if the agent is to stop.
fn is_fit(agent: &mut Agent, is_started: bool) -> anyhow::Result<bool> {
    let mut is_recovered = is_started;
    let is_instance = agent.role == Role::Instance;
    if is_instance && !is_recovered {
        agent.status.enter(Phase::Recovering, None, None);
    }
    let Agent { config, events, status, monitor, unstored, .. } = agent;
    let outbox = events.reports.as_ref().map(|reports| Arc::clone(&reports.outbox));
    let prepare = || {
        if is_instance && !is_recovered {
            recovery::sweep(config).map_err(|error| Problem::of_recovery(&error))?;
        }
        if let Some(outbox) = &outbox {
            let storing = Storing { outbox, unstored, is_recovered };
            storing.attempt().map_err(|error| Problem::of_storage(&error))?;
        }
        is_recovered = true;
        Ok(())
    };
    Gate { config, monitor, events, status }.pass(prepare)
}

/// W49: an answer that cannot be stored is kept, and stored before the next round.
fn keep_answer(agent: &mut Agent, error: anyhow::Error) -> anyhow::Result<Round> {
    let text = format!("{error:#}");
    agent.unstored.push(error.downcast()?);
    diag::error(text);
    Ok(Round::Again)
}

/// One round: enumerate, then bootstrap, or ask and perform.
fn round(agent: &mut Agent, complaints: &mut Complaints) -> anyhow::Result<Round> {
    agent.status.enter(Phase::Enumerating, None, None);
    let Some(host_lock) = lock_host(agent)? else { return Ok(Round::Stop) };
    let start = Instant::now();
    let machines = &agent.config.machines;
    let enumeration = match &agent.config.fake_machine {
        Some(file) => fake::enumeration(file, machines)?,
        None => (agent.host.enumerate(&host_lock))
            .with_context(|| format!("unable to iterate over {}", machines.display()))?,
    };
    let count = enumeration.machines.len().to_string();
    diag::phase("enumerate", start.elapsed(), &[("machines", &count)]);
    report_problems(agent, &enumeration, complaints);
    for (dir, busy) in enumeration.busy() {
        if let Busy { holder: Some(holder), .. } = busy {
            diag::trace(3, format_args!("{} is locked by {holder}", dir.name));
        }
    }

    if let Some(due) = first_due(agent, &enumeration) {
        return Ok(bootstrap(agent, host_lock, due));
    }
    if agent.config.dump_machines {
        dump_machines(agent, &enumeration)?;
        return Ok(Round::Stop);
    }
    ask_and_perform(agent, host_lock, &enumeration)
}

/// Prints what the controllers of the greatest priority would be offered (W42).
fn dump_machines(agent: &Agent, enumeration: &Enumeration) -> anyhow::Result<()> {
    let priorities = agent.config.controllers.iter().map(|controller| controller.priority);
    let greatest = priorities.max().context("there is no controller")?;
    let offered = host_state(agent, enumeration).offer(greatest);
    for offer in offered.into_iter().filter_map(Offer::of) {
        output::print(&offer.header().to_text(Lines::Wrapped)?)?;
    }
    Ok(())
}

/// Waits for the host lock on a thread of its own (W6); `None` if the agent is to stop.
fn lock_host(agent: &mut Agent) -> anyhow::Result<Option<HostLock>> {
    let Some(path) = agent.config.toolchain.lock.clone() else {
        return Ok(Some(HostLock::disabled()));
    };
    // The usual case needs no thread.
    if let Acquired::Lock(lock) = HostLock::try_acquire(&path)? {
        return Ok(Some(lock));
    }
    let events = agent.events.sender();
    let waiter = path.clone();
    thread::Builder::new().name("host-lock".into()).spawn(move || {
        // The loop is gone when the process is about to end; the lock goes with the process.
        drop(events.send(Event::HostLocked(HostLock::acquire(&waiter))));
    })?;
    let mut reminder = Reminder::new(Instant::now(), LOCK_WARNING);
    loop {
        match agent.events.next(reminder.due()) {
            Some(Event::HostLocked(lock)) => return Ok(Some(lock?)),
            Some(Event::Signal) if agent.events.signals().is_stopping() => return Ok(None),
            _ => {}
        }
        if let Some(waited) = reminder.take_due(Instant::now()) {
            diag::warn(format_args!(
                "unable to acquire global toolchain lock {} for {}s",
                path.display(),
                waited.as_secs()
            ));
        }
    }
}

/// Reports what is wrong with the machines, once for each change (W10, W11, W36).
fn report_problems(agent: &Agent, enumeration: &Enumeration, complaints: &mut Complaints) {
    let problems = enumeration.problems.iter();
    let mut now: BTreeSet<_> = problems
        .map(|problem| Concern::Error(format!("{}: {:#}", problem.path.display(), problem.error)))
        .collect();
    if enumeration.machines.is_empty() {
        let toolchain = &agent.config.toolchain.name;
        now.insert(Concern::Warning(format!("no build machines for toolchain {toolchain}")));
    }
    let host = host_state(agent, enumeration);
    if host.is_overfull() {
        let (busy, max) = (host.busy(), host.instance_max);
        now.insert(Concern::Warning(format!("{busy} machines are busy, --instance-max is {max}")));
    }
    for concern in complaints.news(now) {
        match concern {
            Concern::Error(text) => diag::error(text),
            Concern::Warning(text) => diag::warn(text),
        }
    }
}

/// Returns the first machine that is due and is not left alone, if another one may be busy (W10).
fn first_due<'e>(agent: &Agent, enumeration: &'e Enumeration) -> Option<&'e MachineDir> {
    // W46, W47: neither a fake nor an onlooker bootstraps.
    if agent.role != Role::Instance || host_state(agent, enumeration).is_full() {
        return None;
    }
    let now = Instant::now();
    enumeration.machines.iter().find_map(|Machine { dir, state }| {
        let State::Due(reason) = state else { return None };
        if agent.machine_backoff.is_active(&dir.path, now) {
            return None;
        }
        diag::trace(2, format_args!("{} is due: {reason}", dir.name));
        Some(dir)
    })
}

fn host_state<'e>(agent: &Agent, enumeration: &'e Enumeration) -> Host<&'e Machine> {
    let now = Instant::now();
    let used = |machine: &'e Machine| {
        (machine, machine.used(agent.machine_backoff.is_active(&machine.dir.path, now)))
    };
    Host {
        machines: enumeration.machines.iter().map(used).collect(),
        instance_max: agent.host.instance_max,
    }
}

fn bootstrap(agent: &mut Agent, host_lock: HostLock, machine: &MachineDir) -> Round {
    let name = &machine.name;
    agent.status.enter(Phase::Bootstrapping, Some(name.as_str()), None);
    let bootstrap = Bootstrap {
        config: &agent.config,
        host: &agent.host,
        events: &mut agent.events,
        status: &mut agent.status,
        machine,
        accelerator: agent.monitor.accelerator(),
    };
    match bootstrap.perform(host_lock) {
        Ok(Bootstrapped::Done) => {
            agent.monitor.worked();
            agent.machine_backoff.record_success(&machine.path);
            diag::info(format_args!("bootstrapped {name}"));
        }
        Ok(Bootstrapped::NotNeeded | Bootstrapped::GivenUp) => {}
        Err(error) if agent.monitor.blame(&agent.config, &error) == Fault::Host => {
            diag::error(format_args!("cannot bootstrap {name}: {error:#}"));
        }
        Err(error) => {
            let (now, jitter) = (Instant::now(), fastrand::f64());
            let pause = agent.machine_backoff.record_failure(machine.path.clone(), now, jitter);
            diag::error(format_args!("cannot bootstrap {name}: {error:#}; it rests {pause:.0?}"));
        }
    }
    Round::Again
}

/// Asks for a task while the host lock is held (W21), and performs the one that is given.
fn ask_and_perform(
    agent: &mut Agent,
    host_lock: HostLock,
    enumeration: &Enumeration,
) -> anyhow::Result<Round> {
    // W38: the results of further tasks could not be kept either.
    if agent.events.reports.as_mut().is_some_and(Reports::is_full) {
        return Ok(Round::Idle { half: false });
    }
    agent.status.enter(Phase::Asking, None, None);
    // Each of both is to be asked.
    if agent.events.take_signing_restored() | agent.controllers.look_at_key() {
        // W37, W63: controllers that refused us for want of a key may have no reason to any more.
        agent.controller_backoff = Backoff::new();
    }
    let now = Instant::now();
    let state = host_state(agent, enumeration);
    let controllers = agent.config.controllers.iter().map(|c| (c, c.priority));
    let is_resting = |c: &Controller| agent.controller_backoff.is_active(&c.url, now);
    let questions = match plan(&state, controllers, is_resting, fastrand::shuffle) {
        Plan::Ask(questions) => questions,
        Plan::PauseHalf => return Ok(Round::Idle { half: true }),
        Plan::Pause => return Ok(Round::Idle { half: false }),
    };
    let round = AskRound {
        config: &agent.config,
        controllers: &mut agent.controllers,
        events: &mut agent.events,
        status: &mut agent.status,
        backoff: &mut agent.controller_backoff,
    };
    let (controller, offer, task, fingerprint) = match round.ask(&questions)? {
        AskOutcome::Task { controller, offer, task, fingerprint } => {
            (controller, offer, task, fingerprint)
        }
        AskOutcome::NoTask => return Ok(Round::Idle { half: false }),
        AskOutcome::RoundExpired | AskOutcome::NoRoom => return Ok(Round::Again),
        AskOutcome::Stop => return Ok(Round::Stop),
    };
    if agent.config.dump_task {
        output::print(&whole_manifest(&task.task_text))?;
        return Ok(Round::Stop);
    }
    let others = enumeration.busy().map(|(dir, _)| dir.clone()).collect();
    let assignment = Assignment::new(task, controller, offer, others);
    perform(agent, host_lock, &assignment, fingerprint.as_deref())
}

fn perform(
    agent: &mut Agent,
    host_lock: HostLock,
    assignment: &Assignment,
    fingerprint: Option<&str>,
) -> anyhow::Result<Round> {
    let package = assignment.package();
    let machine = assignment.dir.name.as_str();
    agent.status.enter(Phase::Building, Some(machine), Some(&package));
    let priority = assignment.priority;
    diag::trace(2, format_args!("task for {package} on {machine}, priority {priority}"));
    let reporter = Reporter {
        assignment,
        outbox: agent.events.reports.as_ref().map(|reports| Arc::clone(&reports.outbox)),
        dump_result: agent.config.dump_result,
        fingerprint,
    };
    let performer = Performer {
        config: &agent.config,
        host: &agent.host,
        events: &mut agent.events,
        status: &mut agent.status,
        monitor: &mut agent.monitor,
        machine_backoff: &mut agent.machine_backoff,
        controller_backoff: &mut agent.controller_backoff,
        reporter,
        lock: None,
    };
    let result = performer.perform(host_lock)?;
    diag::trace(2, format_args!("built {package} on {machine}: {}", result.status));
    if agent.config.dump_result {
        output::print(&result.to_text(Lines::Wrapped)?)?;
        return Ok(Round::Stop);
    }
    Ok(Round::Again)
}

/// Returns the text of a task as a manifest of its own, which `--fake-request` takes: in a
/// response, only the first manifest has the version of the format.
fn whole_manifest(task_text: &str) -> String {
    match task_text.split_once('\n') {
        Some((start, rest)) if start.trim() == ":" => format!(": 1\n{rest}"),
        _ => task_text.to_owned(),
    }
}

/// The idle pause between two rounds: random, 50 to 60 s or half of it, cut short by a signal.
fn pause(agent: &mut Agent, half: bool) {
    agent.status.enter(Phase::Idle, None, None);
    let seconds = 50.0 + 10.0 * fastrand::f64();
    let length = Duration::from_secs_f64(if half { seconds / 2.0 } else { seconds });
    let end = Instant::now() + length;
    while !agent.events.signals().is_stopping() && agent.events.next(end).is_some() {}
}
