//! A simulated hypervisor: takes QEMU's command line, speaks QMP on the inherited socket and the
//! human monitor's protocol with operators, listens on the VNC port, and runs a scripted guest that
//! uses real TFTP through the inherited tap. It boots in milliseconds, so that what is tested or
//! measured with it is the agent.

mod command_line;
mod event;
mod frame;
mod guest;
mod hmp;
mod machine;
mod network;
mod qmp;
mod script;
mod sys;
mod tftp;
mod worker;

use std::net::TcpListener;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};

pub use self::script::{SILENT, SUCCESSFUL, bootstrapping, building};
pub use self::worker::lz4_frame;

use self::command_line::CommandLine;
use self::event::Event;
use self::guest::Guest;
use self::machine::Machine;
use self::network::NetworkInterface;

/// Runs until the guest ends; returns the hypervisor's exit code.
///
/// # Errors
/// If the command line lacks a device, or a step of the guest's script fails.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    if let Some(qmp) = CommandLine::parse_diskless(arguments) {
        return run_diskless(qmp);
    }
    let line = CommandLine::parse(arguments)?;
    let (sender, events) = channel();
    let qmp = sys::inherited(line.qmp).context("no QMP socket")?;
    let machine = Machine {
        processors: Arc::default(),
        power: Arc::default(),
        events: sender,
        qmp: Arc::new(Mutex::new(qmp.try_clone()?)),
    };
    let tap = sys::inherited(line.tap).context("no tap")?;
    let guest = Guest {
        network: NetworkInterface::new(tap, line.mac, machine.processors.clone()),
        console: line.console.map(sys::inherited).transpose().context("no console")?,
        disk: line.disk,
        task: Vec::new(),
        machine: machine.clone(),
    };
    let operators = sys::inherited(line.monitor).context("no human monitor")?;
    let operators = UnixListener::from(OwnedFd::from(operators));
    let monitor = machine.clone();
    start("hmp", move || hmp::serve(&operators, &monitor))?;
    // An error of the connection is the end of it.
    start("qmp", move || drop(qmp::serve(qmp, &machine)))?;
    // As QEMU does, after the greeting of QMP.
    let vnc = TcpListener::bind(line.vnc);
    let _vnc = vnc.with_context(|| format!("cannot listen for VNC at {}", line.vnc))?;
    run_guest(guest, &events)
}

/// Runs a guest that does nothing, until it is ended.
fn run_diskless(qmp: RawFd) -> Result<ExitCode> {
    let (sender, events) = channel();
    let qmp = sys::inherited(qmp).context("no QMP socket")?;
    let connection = Arc::new(Mutex::new(qmp.try_clone()?));
    let machine = Machine {
        processors: Arc::default(),
        power: Arc::default(),
        events: sender,
        qmp: connection,
    };
    // An error of the connection is the end of it.
    start("qmp", move || drop(qmp::serve(qmp, &machine)))?;
    loop {
        if let Event::Quit = events.recv().context("all senders of events have ended")? {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
    Ok(())
}

fn start_guest(guest: Guest) -> Result<()> {
    start("guest", move || {
        let events = guest.machine.events.clone();
        let event = match guest.run() {
            Ok(None) => Event::Idle,
            Ok(Some(code)) => Event::Exit(code),
            Err(error) => Event::Failed(error),
        };
        // It fails if the hypervisor has ended.
        drop(events.send(event));
    })
}

/// Boots the guest when the agent has connected to QMP, and waits for its end. As QEMU does, it
/// goes on when its monitors are disconnected.
fn run_guest(guest: Guest, events: &Receiver<Event>) -> Result<ExitCode> {
    let (mut is_idle, mut is_pressed, mut ignores_power) = (false, false, false);
    let machine = guest.machine.clone();
    let mut guest = Some(guest);
    loop {
        match events.recv().context("all senders of events have ended")? {
            Event::Begin => guest.take().map_or(Ok(()), start_guest)?,
            Event::Quit => return Ok(shut_down(&machine, "host-qmp-quit")),
            Event::PowerDown => is_pressed = true,
            Event::IgnorePower => ignores_power = true,
            Event::Idle => is_idle = true,
            Event::Exit(code) => return Ok(code.into()),
            Event::Failed(error) => return Err(error),
        }
        if is_idle && is_pressed && !ignores_power {
            return Ok(shut_down(&machine, "guest-shutdown"));
        }
    }
}

/// Ends the hypervisor in order. An error of the event means that the agent has disconnected.
fn shut_down(machine: &Machine, reason: &str) -> ExitCode {
    drop(machine.shut_down(reason));
    ExitCode::SUCCESS
}
