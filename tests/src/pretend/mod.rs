//! A pretend hypervisor: takes QEMU's command line, speaks the machine protocol on the inherited
//! socket, and plays a scripted guest over real TFTP through the inherited tap. It boots in
//! milliseconds, so that what is measured or proven with it is the agent.

mod command_line;
mod frame;
mod qmp;
mod scenario;
mod sys;
mod tftp;
mod wire;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result};

pub use self::scenario::WELL;

use self::command_line::CommandLine;
use self::qmp::Wish;
use self::scenario::Step;
use self::wire::Wire;

/// What the hypervisor waits for.
enum Event {
    Wish(Wish),
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
    let qmp = sys::inherited(line.qmp).context("no machine protocol")?;
    let guest = Guest {
        wire: Wire::new(sys::inherited(line.tap).context("no tap")?, line.mac),
        console: line.console.map(sys::inherited).transpose().context("no console")?,
        disk: line.disk,
        task: Vec::new(),
    };
    let (sender, events) = channel();
    start_monitor(qmp, sender.clone())?;
    end(guest, &sender, &events)
}

fn start_guest(guest: Guest, sender: Sender<Event>) -> Result<()> {
    let play = move || {
        let event = match guest.play() {
            Ok(None) => Event::Idle,
            Ok(Some(code)) => Event::Exit(code),
            Err(error) => Event::Stuck(error),
        };
        // The hypervisor has ended: nobody wants to know.
        drop(sender.send(event));
    };
    std::thread::Builder::new().name("guest".to_owned()).spawn(play)?;
    Ok(())
}

fn start_monitor(connection: File, events: Sender<Event>) -> Result<()> {
    let serve = move || {
        // A send fails when the hypervisor has ended, and a broken connection is an ended one.
        let wish = |wish| drop(events.send(Event::Wish(wish)));
        drop(qmp::serve(connection, wish));
    };
    std::thread::Builder::new().name("monitor".to_owned()).spawn(serve)?;
    Ok(())
}

/// Boots the guest when the agent has seen that the hypervisor is there, and waits for its end. As
/// QEMU, it outlives whoever holds the other end of the monitor.
fn end(guest: Guest, sender: &Sender<Event>, events: &Receiver<Event>) -> Result<ExitCode> {
    let (mut is_idle, mut is_pressed) = (false, false);
    let mut guest = Some(guest);
    loop {
        match events.recv().context("nothing can happen any more")? {
            Event::Wish(Wish::Begin) => {
                guest.take().map_or(Ok(()), |guest| start_guest(guest, sender.clone()))?;
            }
            Event::Wish(Wish::Quit) => return Ok(ExitCode::SUCCESS),
            Event::Wish(Wish::PowerDown) => is_pressed = true,
            Event::Idle => is_idle = true,
            Event::Exit(code) => return Ok(code.into()),
            Event::Stuck(error) => return Err(error),
        }
        if is_idle && is_pressed {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

struct Guest {
    wire: Wire,
    console: Option<File>,
    disk: PathBuf,
    /// The task manifest, once it was downloaded.
    task: Vec<u8>,
}

impl Guest {
    /// Does all steps; an exit code if one of them ends the guest.
    fn play(mut self) -> Result<Option<u8>> {
        let disk = std::fs::read_to_string(&self.disk).context("cannot read the disk")?;
        for step in scenario::steps(&disk)? {
            self.log(&format!("{step:?}"))?;
            match step {
                Step::Get(file) => {
                    let content = tftp::get(&mut self.wire, &file)?;
                    if file == "task.manifest" {
                        self.task = content;
                    }
                }
                Step::Put(file, size) => tftp::put(&mut self.wire, &file, &vec![b'x'; size])?,
                Step::PutBootstrap(version) => {
                    let text = bootstrap_manifest(&version);
                    tftp::put(&mut self.wire, "bootstrap.manifest", text.as_bytes())?;
                }
                Step::PutResult(status) => {
                    let result = lz4_frame(self.result(&status)?.as_bytes())?;
                    tftp::put(&mut self.wire, "result.manifest.lz4", &result)?;
                }
                Step::Install => {
                    std::fs::write(&self.disk, scenario::installed(&disk))?;
                }
                Step::Exit(code) => return Ok(Some(code)),
            }
        }
        Ok(None)
    }

    fn log(&mut self, line: &str) -> Result<()> {
        self.console.as_mut().map_or(Ok(()), |console| writeln!(console, "{line}\r"))?;
        Ok(())
    }

    /// The result of the task at hand.
    fn result(&self, status: &str) -> Result<String> {
        let task = std::str::from_utf8(&self.task).context("the task is not UTF-8")?;
        let value = |name: &str| {
            let value = task.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value.with_context(|| format!("the task has no {name}"))
        };
        let (name, version) = (value("name")?, value("version")?);
        Ok(format!(
            ": 1\nname: {name}\nversion: {version}\nstatus: {status}\nupdate-status: {status}\n\
             update-log: pretended\n"
        ))
    }
}

fn bootstrap_manifest(version: &str) -> String {
    let package = |name| format!("{name}-version: {version}\n");
    ": 1\n".to_owned() + &["bbot", "libbbot", "libbpkg", "libbutl"].map(package).concat()
}

/// An LZ4 frame with a checksum of the content, as workers send their results.
///
/// # Errors
/// If there is not enough memory.
pub fn lz4_frame(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = lz4::EncoderBuilder::new()
        .checksum(lz4::ContentChecksum::ChecksumEnabled)
        .build(Vec::new())?;
    encoder.write_all(content)?;
    let (frame, finished) = encoder.finish();
    finished?;
    Ok(frame)
}
