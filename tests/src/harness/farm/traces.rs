//! What can be seen of a farm from the host, to show that nothing of it is left.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::scratch::PREFIX;

/// What identifies the parts of a farm on the host after its end.
#[derive(Debug)]
pub struct Traces {
    scratch: PathBuf,
    /// The names of its namespaces, such as `net:[4026532000]`.
    namespaces: BTreeSet<PathBuf>,
}

const NAMESPACES: [&str; 3] = ["mnt", "net", "pid"];

impl Traces {
    pub(super) fn of(scratch: &Path, init: u32) -> Result<Traces> {
        let name = |kind| {
            let path = format!("/proc/{init}/ns/{kind}");
            std::fs::read_link(&path).with_context(|| format!("cannot read {path}"))
        };
        let namespaces = NAMESPACES.into_iter().map(name).collect::<Result<_>>()?;
        Ok(Traces::new(scratch.to_owned(), namespaces))
    }

    /// The traces of the farm in the folder `scratch`, with the namespaces of these names (as
    /// the links in `/proc/<pid>/ns` read).
    pub fn new(scratch: PathBuf, namespaces: BTreeSet<PathBuf>) -> Traces {
        Traces { scratch, namespaces }
    }

    /// What is left of the farm: its folder, mounts in any namespace, loop devices, processes, and
    /// namespaces with a process in them; one line each.
    ///
    /// # Errors
    /// If the host's state cannot be read.
    pub fn remaining(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        if self.scratch.symlink_metadata().is_ok() {
            found.push(format!("folder {}", self.scratch.display()));
        }
        self.add_loop_devices(&mut found)?;
        for entry in std::fs::read_dir("/proc")? {
            let process = entry?.path();
            let is_process = process
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
            if is_process {
                self.add_process(&process, &mut found);
            }
        }
        Ok(found)
    }

    fn add_loop_devices(&self, found: &mut Vec<String>) -> Result<()> {
        for entry in std::fs::read_dir("/sys/block")? {
            let device = entry?.path();
            // Only a bound loop device has such a file.
            let backing = std::fs::read_to_string(device.join("loop/backing_file"));
            if backing.is_ok_and(|file| Path::new(&file).starts_with(&self.scratch)) {
                found.push(format!("loop device {}", device.display()));
            }
        }
        Ok(())
    }

    /// Adds the traces in one process; what cannot be read belongs to a process that has ended.
    fn add_process(&self, process: &Path, found: &mut Vec<String>) {
        let read = |name| std::fs::read(process.join(name)).unwrap_or_default();
        let scratch = self.scratch.as_os_str().as_encoded_bytes();
        let names_it = |text: &[u8]| text.windows(scratch.len()).any(|window| window == scratch);
        let (environment, line) = (read("environ"), read("cmdline"));
        if names_it(&environment) || names_it(&line) {
            found.push(format!("process {}", process.display()));
        }
        if names_it(&read("mountinfo")) {
            found.push(format!("mount of {}", process.display()));
        }
        // The kernel reuses the number of a namespace that has ended: processes of other farms may
        // be in it, which are known by their environment, and their holders by their arguments.
        let prefix = PREFIX.as_bytes();
        let is_holder = line.split(|byte| *byte == 0).nth(1) == Some(b"hold");
        if is_holder || environment.windows(prefix.len()).any(|window| window == prefix) {
            return;
        }
        for kind in NAMESPACES {
            let name = std::fs::read_link(process.join("ns").join(kind)).unwrap_or_default();
            if self.namespaces.contains(&name) {
                found.push(format!("namespace {} of {}", name.display(), process.display()));
            }
        }
    }
}
