//! The guest: performs the steps of its disk's script, one after the other.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::raise;

use super::event::Event;
use super::machine::Machine;
use super::network::NetworkInterface;
use super::script::{self, Step};
use super::tftp;
use super::worker::{archive, bootstrap_manifest, lz4_frame, result, result_of};
use crate::harness::watch::wait_for_file;

const RESULT: &str = "result.manifest.lz4";
/// Longer than any test takes.
const AWAIT_LIMIT: Duration = Duration::from_secs(3600);

/// A guest.
pub(super) struct Guest {
    pub(super) network: NetworkInterface,
    pub(super) console: Option<File>,
    pub(super) disk: PathBuf,
    /// The task manifest, after it was downloaded.
    pub(super) task: Vec<u8>,
    pub(super) machine: Machine,
}

impl Guest {
    /// Performs all steps; returns an exit code if one of them ends the guest.
    pub(super) fn run(mut self) -> Result<Option<u8>> {
        let disk = std::fs::read_to_string(&self.disk).context("cannot read the disk")?;
        for step in script::steps(&disk)? {
            self.network.wait_until_running();
            self.log(&format!("{step:?}"))?;
            let step = match step {
                Step::Unless(file, step) if !Path::new(&file).try_exists()? => *step,
                step => step,
            };
            if let Step::Exit(code) = step {
                return Ok(Some(code));
            }
            self.perform(step, &disk)?;
        }
        Ok(None)
    }

    fn perform(&mut self, step: Step, disk: &str) -> Result<()> {
        match step {
            Step::Get(file) => {
                let content = tftp::get(&mut self.network, &file)?;
                if file == "task.manifest" {
                    self.task = content;
                }
                Ok(())
            }
            Step::Put(file, size) => tftp::put(&mut self.network, &file, &vec![b'x'; size]),
            Step::PutHalf(file, size) => {
                tftp::put_half(&mut self.network, &file, &vec![b'x'; size])
            }
            Step::PutArchive(files) => {
                tftp::put(&mut self.network, "upload.tar", &archive(&files)?)
            }
            Step::PutBootstrap(version) => {
                let text = bootstrap_manifest(&version);
                tftp::put(&mut self.network, "bootstrap.manifest", text.as_bytes())
            }
            Step::PutResult(status) => {
                self.put_result(&lz4_frame(result(&self.task, &status, "pretended")?.as_bytes())?)
            }
            Step::PutResultOf(name, version, status) => {
                let text = result_of(&name, &version, &status, "pretended");
                self.put_result(&lz4_frame(text.as_bytes())?)
            }
            Step::PutTask => {
                let log = bbot_manifest::text::encode_base64(&self.task).replace('\n', "");
                self.put_result(&lz4_frame(result(&self.task, "success", &log)?.as_bytes())?)
            }
            Step::PutLargeResult(size) => {
                let log = "x".repeat(size);
                self.put_result(&lz4_frame(result(&self.task, "success", &log)?.as_bytes())?)
            }
            Step::PutCutResult(status) => {
                let frame = lz4_frame(result(&self.task, &status, "pretended")?.as_bytes())?;
                self.put_result(&frame[..frame.len() - 5])
            }
            Step::Flood(count) => tftp::flood(&mut self.network, count),
            Step::Await(file) => wait_for_file(Path::new(&file), AWAIT_LIMIT),
            Step::Forward(socket) => self.network.forward_to(Path::new(&socket)),
            Step::FillDisk => self.machine.fill_disk(),
            Step::Install => Ok(std::fs::write(&self.disk, script::installed(disk))?),
            Step::Spoil => Ok(std::fs::write(&self.disk, "spoiled\n")?),
            // It fails if the hypervisor has ended.
            Step::IgnorePower => {
                drop(self.machine.events.send(Event::IgnorePower));
                Ok(())
            }
            Step::AwaitPower => {
                self.machine.power.wait_until_pressed();
                Ok(())
            }
            Step::Event(name, data) => self.machine.send_event(&name, &data),
            Step::Kill(signal) => {
                // The standard library catches SIGSEGV and SIGBUS once, and lets the next one end
                // the process.
                raise(signal)?;
                Ok(raise(signal)?)
            }
            Step::Unless(..) | Step::Exit(_) => Ok(()),
        }
    }

    fn put_result(&mut self, content: &[u8]) -> Result<()> {
        tftp::put(&mut self.network, RESULT, content)
    }

    fn log(&mut self, line: &str) -> Result<()> {
        self.console.as_mut().map_or(Ok(()), |console| writeln!(console, "{line}\r"))?;
        Ok(())
    }
}
