//! Programs in the farm's `/run`, where every user may run them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::owner::Farm;

impl Farm {
    /// Copies a program to `/run/<name>`; returns that path.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub fn install_program(&self, name: &str, program: &Path) -> Result<PathBuf> {
        self.install(name, program, b"")
    }

    /// Writes a script to `/run/<name>`; returns that path.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn install_script(&self, name: &str, script: &str) -> Result<PathBuf> {
        self.install(name, Path::new("/dev/stdin"), script.as_bytes())
    }

    /// Copies by another process: a file that this process has open for writing may be inherited
    /// by a child that another thread starts, and cannot be executed then (ETXTBSY).
    fn install(&self, name: &str, source: &Path, input: &[u8]) -> Result<PathBuf> {
        let mut install = Command::new("install");
        install.args(["-m", "755"]).arg(source).arg(self.run().join(name));
        let child = install.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.context("cannot run install")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input).context("cannot write to install")?;
        }
        let output = child.wait_with_output().context("cannot wait for install")?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "install: {}", stderr.trim_end());
        Ok(Path::new("/run").join(name))
    }
}
