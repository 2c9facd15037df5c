//! A pretend hypervisor: takes QEMU's command line, speaks the machine protocol on the inherited
//! socket and the human one with operators, shows a screen that nobody can see anything on, and
//! plays a scripted guest over real TFTP through the inherited tap. It boots in milliseconds, so
//! that what is measured or proven with it is the agent.

mod command_line;
mod frame;
mod guest;
mod hmp;
mod machine;
mod qmp;
mod scenario;
mod sys;
mod tftp;
mod wire;
mod worker;

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};

pub use self::scenario::{WELL, bootstrapping, building};
pub use self::worker::lz4_frame;

use self::command_line::CommandLine;
use self::guest::Guest;
use self::machine::Machine;
use self::wire::Wire;

/// What the hypervisor waits for.
#[derive(Debug)]
enum Event {
    /// Agent and hypervisor agree on the machine protocol.
    Begin,
    /// The power button was pressed.
    PowerDown,
    /// The hypervisor shall end.
    Quit,
    /// The guest does not heed the power button.
    Deaf,
    /// The guest has done all its steps.
    Idle,
    /// The guest ends by itself.
    Exit(u8),
    /// The guest cannot go on.
    Stuck(anyhow::Error),
}

/// Runs until the guest has ended; returns the hypervisor's exit code.
///
/// # Errors
/// If the command line lacks a device, or the guest meets what its script does not foresee.
pub fn pretend(arguments: &[String]) -> Result<ExitCode> {
    let line = CommandLine::parse(arguments)?;
    let (sender, events) = channel();
    let qmp = sys::inherited(line.qmp).context("no machine protocol")?;
    let machine = Machine {
        processors: Arc::default(),
        events: sender,
        qmp: Arc::new(Mutex::new(qmp.try_clone()?)),
    };
    let tap = sys::inherited(line.tap).context("no tap")?;
    let guest = Guest {
        wire: Wire::new(tap, line.mac, machine.processors.clone()),
        console: line.console.map(sys::inherited).transpose().context("no console")?,
        disk: line.disk,
        task: Vec::new(),
        machine: machine.clone(),
    };
    let operators = sys::inherited(line.operator).context("no operator's monitor")?;
    let operators = UnixListener::from(OwnedFd::from(operators));
    let monitor = machine.clone();
    start("operator's monitor", move || hmp::serve(&operators, &monitor))?;
    // A broken connection is an ended one.
    start("monitor", move || drop(qmp::serve(qmp, &machine)))?;
    // As QEMU, which greets before it binds the screen's port.
    let screen = TcpListener::bind(line.screen);
    let _screen = screen.with_context(|| format!("cannot show the screen at {}", line.screen))?;
    end(guest, &events)
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
    Ok(())
}

fn start_guest(guest: Guest) -> Result<()> {
    start("guest", move || {
        let events = guest.machine.events.clone();
        let event = match guest.play() {
            Ok(None) => Event::Idle,
            Ok(Some(code)) => Event::Exit(code),
            Err(error) => Event::Stuck(error),
        };
        // The hypervisor has ended: nobody wants to know.
        drop(events.send(event));
    })
}

/// Boots the guest when the agent has seen that the hypervisor is there, and waits for its end. As
/// QEMU, it outlives whoever holds the other end of the monitor.
fn end(guest: Guest, events: &Receiver<Event>) -> Result<ExitCode> {
    let (mut is_idle, mut is_pressed, mut is_deaf) = (false, false, false);
    let mut guest = Some(guest);
    loop {
        match events.recv().context("nothing can happen any more")? {
            Event::Begin => guest.take().map_or(Ok(()), start_guest)?,
            Event::Quit => return Ok(ExitCode::SUCCESS),
            Event::PowerDown => is_pressed = true,
            Event::Deaf => is_deaf = true,
            Event::Idle => is_idle = true,
            Event::Exit(code) => return Ok(code.into()),
            Event::Stuck(error) => return Err(error),
        }
        if is_idle && is_pressed && !is_deaf {
            return Ok(ExitCode::SUCCESS);
        }
    }
}
