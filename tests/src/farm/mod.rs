//! A build host for one test: btrfs volume, network, `/run`, `/proc`, all its own.

mod enter;
mod holder;
mod inventory;
pub mod layout;
mod machines;
mod process;
mod scratch;
mod traces;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, bail};

pub use enter::Inside;
pub use holder::{hold, init};
pub use inventory::Inventory;
pub use machines::{Disk, MachineSpec};
pub use process::Process;
pub use scratch::PREFIX as SCRATCH_PREFIX;
pub use traces::Traces;

/// What the owner writes to the holder to make the farm outlive it.
const KEEP: u8 = b'k';

/// The environment variable by which every process of a farm bears its scratch folder's path.
pub const ENVIRONMENT: &str = "BBOT_FARM";

/// A farm. It is put away when dropped, and also when this process is killed.
#[derive(Debug)]
pub struct Farm {
    holder: Child,
    /// Its end is the farm's end; `None` once the farm has ended or is kept.
    lifeline: Option<ChildStdin>,
    inside: Inside,
    scratch: PathBuf,
    init: u32,
}

impl Farm {
    /// Makes a farm in a fresh scratch folder.
    ///
    /// # Errors
    /// Without root, or if a part of it cannot be made.
    pub fn start() -> Result<Farm> {
        if !nix::unistd::geteuid().is_root() {
            bail!(
                "a farm needs root: it mounts a btrfs volume from a file, and makes namespaces \
                 with a bridge and taps; run this again as root"
            );
        }
        let base = crate::programs::scratch_base()?;
        let mut holder = Command::new(crate::programs::find("bbot-farm")?)
            .arg("hold")
            .arg(&base)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the owner; the holder ends in order when the owner has.
            .process_group(0)
            .spawn()
            .context("cannot start the farm's holder")?;
        let lifeline = holder.stdin.take();
        let mut line = String::new();
        let stdout = holder.stdout.take().context("the holder has no standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let announced = line.trim_end_matches('\n').split_once(' ');
        let Some((Ok(init), scratch)) = announced.map(|(pid, path)| (pid.parse(), path)) else {
            let output = holder.wait_with_output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("cannot make the farm: {}", said.trim_end());
        };
        let scratch = PathBuf::from(scratch);
        let inside = Inside::of_holder(holder.id(), &scratch);
        Ok(Farm { holder, lifeline, inside, scratch, init })
    }

    /// The farm's scratch folder; its path is the same inside and outside.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// The folder for `--machines`; the volume is seen only from inside.
    pub fn machines(&self) -> PathBuf {
        layout::machines(&self.scratch)
    }

    /// The mount point of the btrfs volume.
    pub fn volume(&self) -> PathBuf {
        layout::volume(&self.scratch)
    }

    /// The folder for `--tftp`.
    pub fn tftp(&self) -> PathBuf {
        layout::tftp(&self.scratch)
    }

    /// The folder that holds the instances' state folders.
    pub fn state(&self) -> PathBuf {
        layout::state(&self.scratch)
    }

    /// What is `/run` inside.
    pub fn run(&self) -> PathBuf {
        layout::run(&self.scratch)
    }

    /// The way in.
    pub fn inside(&self) -> &Inside {
        &self.inside
    }

    /// The pid of the holder, as this process sees it.
    pub fn holder_pid(&self) -> u32 {
        self.holder.id()
    }

    /// The pid of the first process inside, as this process sees it.
    pub fn init_pid(&self) -> u32 {
        self.init
    }

    /// What the farm holds now.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn inventory(&self) -> Result<Inventory> {
        Inventory::take(self)
    }

    /// What can be seen of the farm from outside; see [`Traces::remaining`].
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn traces(&self) -> Result<Traces> {
        Traces::of(&self.scratch, self.init)
    }

    /// Puts the farm away, waits until it is gone.
    ///
    /// # Errors
    /// If a part of it could not be put away.
    pub fn end(mut self) -> Result<()> {
        self.put_away()
    }

    /// Leaves the farm as it is when this process has ended. Returns the command that enters it
    /// and the one that puts it away.
    ///
    /// # Errors
    /// If the holder is gone.
    pub fn keep(mut self) -> Result<(String, String)> {
        let mut lifeline = self.lifeline.take().context("the farm has ended")?;
        lifeline.write_all(&[KEEP]).context("the farm's holder is gone")?;
        let enter = format!("nsenter --target {} --mount --net --pid", self.init);
        Ok((enter, format!("kill {}", self.holder.id())))
    }

    fn put_away(&mut self) -> Result<()> {
        if self.lifeline.take().is_none() {
            return Ok(());
        }
        self.inside.bury_the_dead();
        let mut said = String::new();
        if let Some(mut stderr) = self.holder.stderr.take() {
            stderr.read_to_string(&mut said).context("cannot read from the farm's holder")?;
        }
        let status = self.holder.wait().context("cannot wait for the farm's holder")?;
        if !status.success() {
            bail!("cannot put the farm away: {}", said.trim_end());
        }
        Ok(())
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        if let Err(error) = self.put_away() {
            // A test that fails for another reason shall still say this.
            let text = format!("bbot-farm: {error:#}\n");
            // Nothing is left to do if even that cannot be written.
            drop(std::io::stderr().write_all(text.as_bytes()));
        }
    }
}
