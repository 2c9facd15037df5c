//! Recover, enumerate, ask, perform, report; nothing else.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use bbot_lock::{Acquired, HostLock};
use bbot_manifest::{Lines, MachineHeader, Manifest};

use crate::agent::Agent;
use crate::ask::{Asked, ask};
use crate::bootstrap::{Bootstrapped, bootstrap};
use crate::controller::AcceptedTask;
use crate::diag;
use crate::event_loop::Event;
use crate::fs::runtime_dir;
use crate::machines::complaints::{Complaints, Concern};
use crate::machines::enumerate::{Busy, Enumeration, State, enumerate};
use crate::machines::layout::MachineDir;
use crate::observe::status::Phase;
use crate::output;
use crate::recovery;
use crate::reports::Reports;
use crate::schedule::host::Host;
use crate::schedule::plan::{Plan, plan};
use crate::schedule::priority::Priority;
use crate::schedule::reminder::Reminder;
use crate::task::perform::{Assignment, perform};

/// How the host lock's wait is made heard of (W6).
const LOCK_WARNING: Duration = Duration::from_secs(60);

/// How long a stop waits for results that are on their way (W40); they are on disk anyway.
const LAST_POST: Duration = Duration::from_secs(5);

/// What a round came to.
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
    if !agent.config.is_fake() {
        agent.status.enter(Phase::Recovering, None, None);
        recovery::sweep(agent)?;
    }
    agent.status.ready();
    let mut complaints = Complaints::default();
    loop {
        agent.hand_out_results();
        match round(agent, &mut complaints)? {
            Round::Again => {}
            Round::Stop => break,
            Round::Idle { half } => pause(agent, half),
        }
        if agent.is_stopping() {
            break;
        }
    }
    agent.status.enter(Phase::Stopping, None, None);
    agent.hand_out_results();
    agent.finish_posting(Instant::now() + LAST_POST);
    agent.status.remove();
    if !agent.config.is_fake() {
        runtime_dir::remove(&agent.config.runtime_dir);
    }
    Ok(())
}

/// One round: enumerate, then bootstrap, or ask and perform.
fn round(agent: &mut Agent, complaints: &mut Complaints) -> anyhow::Result<Round> {
    agent.status.enter(Phase::Enumerating, None, None);
    let Some(host) = lock_host(agent)? else { return Ok(Round::Stop) };
    let start = Instant::now();
    let enumeration = look(agent, &host)?;
    let count = enumeration.machines.len().to_string();
    diag::phase("enumerate", start.elapsed(), &[("machines", &count)]);
    report_problems(agent, &enumeration, complaints);
    for (dir, busy) in enumeration.busy() {
        if let Busy { holder: Some(holder), .. } = busy {
            diag::trace(3, format_args!("{} is locked by {holder}", dir.name));
        }
    }

    if let Some(due) = first_due(agent, &enumeration) {
        return Ok(bootstrap_machine(agent, host, &due));
    }
    if agent.config.dump_machines {
        dump_machines(agent, &enumeration)?;
        return Ok(Round::Stop);
    }
    ask_and_perform(agent, host, &enumeration)
}

/// Prints what the controllers of the greatest priority would be offered (W42).
fn dump_machines(agent: &Agent, enumeration: &Enumeration) -> anyhow::Result<()> {
    let greatest = priorities(agent).into_iter().max().context("there is no controller")?;
    for index in host_state(agent, enumeration).offer(greatest) {
        output::print(&header(enumeration, index).to_text(Lines::Wrapped)?)?;
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
    let sender = agent.events.sender();
    let waiter = path.clone();
    thread::Builder::new().name("host-lock".into()).spawn(move || {
        // Nobody receives it when the process is about to end; the lock goes with the process.
        drop(sender.send(Event::HostLocked(HostLock::acquire(&waiter))));
    })?;
    let mut reminder = Reminder::new(Instant::now(), LOCK_WARNING);
    loop {
        match agent.next_event(reminder.due()) {
            Some(Event::HostLocked(lock)) => return Ok(Some(lock?)),
            Some(Event::Signal) if agent.is_stopping() => return Ok(None),
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

fn look(agent: &Agent, host: &HostLock) -> anyhow::Result<Enumeration> {
    let config = &agent.config;
    if let Some(file) = &config.fake_machine {
        return crate::machines::fake::enumeration(file, &config.machines);
    }
    enumerate(&agent.layout, host, agent.wanted())
        .with_context(|| format!("unable to iterate over {}", config.machines.display()))
}

/// Says what is wrong with the machines, once for each change (W10, W11, W36).
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

/// Returns the first machine that is due and does not rest, if another one may be busy (W10).
fn first_due(agent: &Agent, enumeration: &Enumeration) -> Option<MachineDir> {
    if host_state(agent, enumeration).is_full() {
        return None;
    }
    let now = Instant::now();
    enumeration.machines.iter().find_map(|machine| {
        let State::Due(reason) = machine.state else { return None };
        if agent.machine_rests.is_active(&machine.dir.name.to_string(), now) {
            return None;
        }
        diag::trace(2, format_args!("{} is due: {reason}", machine.dir.name));
        Some(machine.dir.clone())
    })
}

fn host_state(agent: &Agent, enumeration: &Enumeration) -> Host {
    let now = Instant::now();
    let rests = |dir: &MachineDir| agent.machine_rests.is_active(&dir.name.to_string(), now);
    let machines = enumeration.machines.iter();
    Host {
        machines: machines.map(|machine| machine.used(rests(&machine.dir))).collect(),
        instance_max: agent.config.instance_max,
    }
}

fn priorities(agent: &Agent) -> Vec<Priority> {
    agent.config.controllers.iter().map(|controller| controller.priority).collect()
}

/// Returns the header of a machine that is offered.
fn header(enumeration: &Enumeration, index: usize) -> MachineHeader {
    let bootstrapped = enumeration.machines[index].bootstrapped();
    bootstrapped.expect("what is not bootstrapped is not offered").machine.header.clone()
}

fn bootstrap_machine(agent: &mut Agent, host: HostLock, machine: &MachineDir) -> Round {
    let name = machine.name.to_string();
    agent.status.enter(Phase::Bootstrapping, Some(&name), None);
    match bootstrap(agent, host, machine) {
        Ok(Bootstrapped::Done) => {
            agent.machine_rests.record_success(&name);
            diag::info(format_args!("bootstrapped {name}"));
        }
        Ok(Bootstrapped::NotNeeded) => {}
        Ok(Bootstrapped::Stopped) => return Round::Stop,
        Err(error) => {
            let pause =
                agent.machine_rests.record_failure(name.clone(), Instant::now(), fastrand::f64());
            diag::error(format_args!("cannot bootstrap {name}: {error:#}; it rests {pause:.0?}"));
        }
    }
    Round::Again
}

/// Asks for a task while the host lock is held (W21), and performs the one that is given.
fn ask_and_perform(
    agent: &mut Agent,
    host: HostLock,
    enumeration: &Enumeration,
) -> anyhow::Result<Round> {
    // W38: what is built meanwhile could not be kept for ever either.
    if agent.reports.as_mut().is_some_and(Reports::is_full) {
        return Ok(Round::Idle { half: false });
    }
    agent.status.enter(Phase::Asking, None, None);
    let now = Instant::now();
    let resting = |i: usize| agent.url_rests.is_active(&agent.config.controllers[i].url, now);
    let state = host_state(agent, enumeration);
    let questions = match plan(&state, &priorities(agent), resting, fastrand::shuffle) {
        Plan::Ask(questions) => questions,
        Plan::PauseHalf => return Ok(Round::Idle { half: true }),
        Plan::Pause => return Ok(Round::Idle { half: false }),
    };
    let (controller, task) = match ask(agent, &questions, |machine| header(enumeration, machine))? {
        Asked::Task { controller, task } => (controller, task),
        Asked::Nothing => return Ok(Round::Idle { half: false }),
        Asked::Late => return Ok(Round::Again),
        Asked::Stop => return Ok(Round::Stop),
    };
    if agent.config.dump_task {
        output::print(&task.task_text)?;
        return Ok(Round::Stop);
    }
    let question = questions.iter().find(|question| question.controller == controller);
    let offered = question.into_iter().flat_map(|question| &question.machines);
    let machine =
        offered.copied().find(|&index| header(enumeration, index).name == task.task.machine);
    let machine = machine.expect("the answer was checked: its machine was offered");
    let assignment = assign(agent, enumeration, controller, task, machine);
    perform_task(agent, host, &assignment)
}

fn assign(
    agent: &Agent,
    enumeration: &Enumeration,
    controller: usize,
    task: Box<AcceptedTask>,
    machine: usize,
) -> Assignment {
    let controller = &agent.config.controllers[controller];
    let found = &enumeration.machines[machine];
    Assignment {
        task,
        priority: controller.priority,
        url: controller.url.clone(),
        dir: found.dir.clone(),
        machine: found.bootstrapped().expect("it was offered").clone(),
        others: enumeration.busy().map(|(dir, _)| dir.clone()).collect(),
    }
}

fn perform_task(
    agent: &mut Agent,
    host: HostLock,
    assignment: &Assignment,
) -> anyhow::Result<Round> {
    let task = &assignment.task.task;
    let package = format!("{}/{}", task.name, task.version);
    let machine = assignment.dir.name.to_string();
    agent.status.enter(Phase::Building, Some(&machine), Some(&package));
    diag::trace(
        2,
        format_args!("task for {package} on {machine}, priority {}", assignment.priority),
    );
    let result = perform(agent, host, assignment)?;
    diag::trace(2, format_args!("built {package} on {machine}: {}", result.status));
    if agent.config.dump_result {
        output::print(&result.to_text(Lines::Wrapped)?)?;
        return Ok(Round::Stop);
    }
    Ok(Round::Again)
}

/// The idle pause between two rounds: random, 50 to 60 s or half of it, cut short by a signal.
fn pause(agent: &mut Agent, half: bool) {
    agent.status.enter(Phase::Idle, None, None);
    let seconds = 50.0 + 10.0 * fastrand::f64();
    let length = Duration::from_secs_f64(if half { seconds / 2.0 } else { seconds });
    let end = Instant::now() + length;
    while !agent.is_stopping() && agent.next_event(end).is_some() {}
}
