//! A farm, as the process that starts it uses it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::holder::KEEP;
use super::inventory::Inventory;
use super::layout;
use super::namespaces::Namespaces;
use super::traces::Traces;
use crate::harness::programs;

/// A farm. It is removed when dropped, and also when this process is killed.
#[derive(Debug)]
pub struct Farm {
    holder: Child,
    /// The holder's standard input: the farm ends when it is closed. `None` once the farm has
    /// ended or is kept.
    holder_stdin: Option<ChildStdin>,
    namespaces: Namespaces,
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
        let base = programs::scratch_base()?;
        let mut holder = Command::new(programs::find("bbot-farm")?)
            .arg("hold")
            .arg(&base)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C ends the owner; the holder then ends in order.
            .process_group(0)
            .spawn()
            .context("cannot start the farm's holder")?;
        let holder_stdin = holder.stdin.take();
        let mut line = String::new();
        let stdout = holder.stdout.take().context("the holder has no standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let announced = line.trim_end_matches('\n').split_once(' ');
        let Some((Ok(init), scratch)) = announced.map(|(pid, path)| (pid.parse(), path)) else {
            let output = holder.wait_with_output()?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("cannot make the farm: {}", stderr.trim_end());
        };
        let scratch = PathBuf::from(scratch);
        let namespaces = Namespaces::of_holder(holder.id(), &scratch);
        Ok(Farm { holder, holder_stdin, namespaces, scratch, init })
    }

    /// The farm's scratch folder; its path is the same inside and outside.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// The folder for `--machines`; the volume in it is mounted only inside the farm.
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

    /// The folder that is `/run` inside the farm.
    pub fn run(&self) -> PathBuf {
        layout::run(&self.scratch)
    }

    /// Its namespaces, to run something in.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// The pid of the holder, as this process sees it.
    pub fn holder_pid(&self) -> u32 {
        self.holder.id()
    }

    /// The pid of the first process inside, as this process sees it.
    pub fn init_pid(&self) -> u32 {
        self.init
    }

    /// What is in the farm now.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn inventory(&self) -> Result<Inventory> {
        Inventory::take(&self.namespaces, &self.scratch)
    }

    /// What can be seen of the farm from outside; see [`Traces::remaining`].
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn traces(&self) -> Result<Traces> {
        Traces::of(&self.scratch, self.init)
    }

    /// Removes the farm and waits until nothing of it is left.
    ///
    /// # Errors
    /// If a part of it could not be removed.
    pub fn end(mut self) -> Result<()> {
        self.remove()
    }

    /// Makes the farm outlive this process. Returns the command that enters it and the one that
    /// removes it.
    ///
    /// # Errors
    /// If the holder has ended.
    pub fn keep(mut self) -> Result<(String, String)> {
        let mut holder_stdin = self.holder_stdin.take().context("the farm has ended")?;
        holder_stdin.write_all(&[KEEP]).context("the farm's holder has ended")?;
        let enter = format!("nsenter --target {} --mount --net --pid", self.init);
        Ok((enter, format!("kill {}", self.holder.id())))
    }

    fn remove(&mut self) -> Result<()> {
        if self.holder_stdin.take().is_none() {
            return Ok(());
        }
        self.namespaces.reap_all();
        let mut errors = String::new();
        if let Some(mut stderr) = self.holder.stderr.take() {
            stderr.read_to_string(&mut errors).context("cannot read from the farm's holder")?;
        }
        let status = self.holder.wait().context("cannot wait for the farm's holder")?;
        if !status.success() {
            bail!("cannot remove the farm: {}", errors.trim_end());
        }
        Ok(())
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            // A test that fails for another reason reports this too.
            let text = format!("bbot-farm: {error:#}\n");
            // Nothing is left to do if even that cannot be written.
            drop(std::io::stderr().write_all(text.as_bytes()));
        }
    }
}
