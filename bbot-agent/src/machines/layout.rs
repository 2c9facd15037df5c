//! Names and paths of machines on the host (docs/machine-storage.md).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use bbot_manifest::MachineName;

use super::entry::{Entry, SnapshotName};
use crate::config::ToolchainName;

/// The bootstrap protocol that this agent speaks: the `P` of `<name>-<P>`.
const PROTOCOL: &str = "1";

/// The names that belong to one instance of one toolchain.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
    toolchain: ToolchainName,
    instance: u16,
}

/// The folder of one machine: `<machines>/<volume>/<name>/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MachineDir {
    /// The machine's name, which is also the folder's.
    pub(crate) name: MachineName,
    /// The folder.
    pub(crate) path: PathBuf,
}

/// An entry of a volume that cannot be a machine.
#[derive(Debug)]
pub(crate) struct BadEntry {
    /// The folder.
    pub(crate) path: PathBuf,
    /// The problem.
    pub(crate) reason: String,
}

impl Layout {
    /// Returns the layout for instance `instance` of `toolchain` below `root` (`--machines`).
    pub(crate) fn new(root: PathBuf, toolchain: ToolchainName, instance: u16) -> Self {
        Self { root, toolchain, instance }
    }

    /// Returns the name of the toolchain.
    pub(crate) fn toolchain(&self) -> &ToolchainName {
        &self.toolchain
    }

    /// Lists the machines, as [`machines`] does.
    pub(crate) fn machines(&self) -> io::Result<(Vec<MachineDir>, Vec<BadEntry>)> {
        machines(&self.root)
    }

    /// Returns the bootstrapped subvolume `<name>-<toolchain>`.
    pub(crate) fn bootstrapped(&self, machine: &MachineDir) -> PathBuf {
        machine.path.join(format!("{}-{}", machine.name, self.toolchain))
    }

    /// Returns the lock file `<name>-<toolchain>.lock`.
    pub(crate) fn lock_file(&self, machine: &MachineDir) -> PathBuf {
        machine.path.join(format!("{}-{}.lock", machine.name, self.toolchain))
    }

    /// Returns a new name for a working snapshot: `<name>-<toolchain>-<instance>-<pid>-<count>`.
    pub(crate) fn snapshot(&self, machine: &MachineDir) -> PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let Self { toolchain, instance, .. } = self;
        let (name, pid) = (&machine.name, std::process::id());
        machine.path.join(format!("{name}-{toolchain}-{instance}-{pid}-{count}"))
    }

    /// Returns the pid in the name of a working snapshot of exactly this instance (W3).
    pub(crate) fn snapshot_owner(&self, machine: &MachineName, file_name: &str) -> Option<u32> {
        match Entry::parse(machine, file_name)? {
            Entry::Snapshot(SnapshotName { toolchain, instance, pid, .. })
                if toolchain == self.toolchain && instance == self.instance =>
            {
                Some(pid)
            }
            _ => None,
        }
    }
}

/// Lists the machines of all volumes below `root` (`--machines`), in order of their names.
///
/// W7: dot names, files and symbolic links are skipped at both levels. D9: a folder whose name is
/// not that of a machine is an error of that machine only.
pub(crate) fn machines(root: &Path) -> io::Result<(Vec<MachineDir>, Vec<BadEntry>)> {
    let mut machines = Vec::new();
    let mut bad = Vec::new();
    for volume in folders(root)? {
        let entries = match folders(&volume) {
            Ok(entries) => entries,
            Err(error) => {
                bad.push(BadEntry { path: volume, reason: error.to_string() });
                continue;
            }
        };
        for path in entries {
            match machine_name(&path) {
                Ok(name) => machines.push(MachineDir { name, path }),
                Err(reason) => bad.push(BadEntry { path, reason }),
            }
        }
    }
    machines.sort();
    Ok((machines, bad))
}

impl MachineDir {
    /// Returns the symbolic link `<name>-<P>` to the current revision.
    pub(crate) fn link(&self) -> PathBuf {
        self.path.join(format!("{}-{PROTOCOL}", self.name))
    }

    /// Resolves the link to the current revision's subvolume; `None` if there is no link.
    pub(crate) fn current(&self) -> io::Result<Option<PathBuf>> {
        match fs::read_link(self.link()) {
            Ok(target) => Ok(Some(self.path.join(target))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns the folders in `dir` whose names do not begin with a dot.
fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

fn machine_name(path: &Path) -> Result<MachineName, String> {
    let name = path.file_name().unwrap_or_default();
    let name = name.to_str().ok_or("the name is not ASCII")?;
    name.parse::<MachineName>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn layout(toolchain: &str, instance: u16) -> Layout {
        Layout::new("/build/machines".into(), toolchain.parse().unwrap(), instance)
    }

    fn machine() -> MachineDir {
        let path = PathBuf::from("/build/machines/default/linux-gcc");
        MachineDir { name: "linux-gcc".parse().unwrap(), path }
    }

    #[test]
    fn names_are_those_of_the_original_agent() {
        let layout = layout("public", 1);
        let machine = machine();
        let dir = "/build/machines/default/linux-gcc";
        assert_eq!(machine.link(), Path::new(&format!("{dir}/linux-gcc-1")));
        let bootstrapped = layout.bootstrapped(&machine);
        assert_eq!(bootstrapped, Path::new(&format!("{dir}/linux-gcc-public")));
        let lock = layout.lock_file(&machine);
        assert_eq!(lock, Path::new(&format!("{dir}/linux-gcc-public.lock")));
        let snapshot = layout.snapshot(&machine);
        let name = snapshot.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(&format!("linux-gcc-public-1-{}-", std::process::id())));
        assert_ne!(snapshot, layout.snapshot(&machine));
    }

    /// W3: only a snapshot with exactly this instance's name is its own.
    #[test]
    fn knows_its_own_snapshots() {
        let machine = machine().name;
        let owner =
            |toolchain, instance, name| layout(toolchain, instance).snapshot_owner(&machine, name);
        assert_eq!(owner("public", 1, "linux-gcc-public-1-4242-0"), Some(4242));
        assert_eq!(owner("public-1", 2, "linux-gcc-public-1-2-4242-0"), Some(4242));
        for foreign in [
            "linux-gcc-public",
            "linux-gcc-public-1",
            "linux-gcc-public-1-2-4242-0",
            "linux-gcc-public-11-4242-0",
            "linux-gcc-public-2-4242-0",
            "linux-gcc-public-1-4242",
            "linux-gcc-public-1-4242-",
            "linux-gcc-public-1-4242-0x",
            "linux-gcc-public-1-+4242-0",
            "linux-gcc-public-01-4242-0",
            "linux-gcc-public-1-4242-00",
            "linux-gcc-public-1-0-0",
            "linux-gcc-14-public-1-4242-0",
        ] {
            assert_eq!(owner("public", 1, foreign), None, "{foreign}");
        }
    }

    /// W7: dot names, files and symbolic links are skipped; other invalid names are reported.
    #[test]
    fn lists_machines_of_all_volumes() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["b/m2", "b/.hidden", "b/bad name", "a/m1", ".c/m3"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        fs::write(root.path().join("file"), "").unwrap();
        fs::write(root.path().join("a/file"), "").unwrap();
        symlink("m1", root.path().join("a/link")).unwrap();
        symlink("a", root.path().join("volume-link")).unwrap();
        let layout = Layout::new(root.path().into(), "public".parse().unwrap(), 1);
        let (machines, bad) = layout.machines().unwrap();
        let names: Vec<String> = machines.iter().map(|m| m.name.to_string()).collect();
        assert_eq!(names, ["m1", "m2"]);
        assert_eq!(bad.len(), 1);
        assert_eq!(bad[0].path, root.path().join("b/bad name"));
    }

    #[test]
    fn a_relative_link_is_resolved_in_the_machines_folder() {
        let dir = tempfile::tempdir().unwrap();
        let machine = MachineDir { name: "m".parse().unwrap(), path: dir.path().into() };
        assert_eq!(machine.current().unwrap(), None);
        symlink("m-1.2", machine.link()).unwrap();
        assert_eq!(machine.current().unwrap(), Some(dir.path().join("m-1.2")));
        fs::remove_file(machine.link()).unwrap();
        symlink("/elsewhere/m-1.2", machine.link()).unwrap();
        assert_eq!(machine.current().unwrap(), Some("/elsewhere/m-1.2".into()));
        fs::remove_file(machine.link()).unwrap();
        fs::write(machine.link(), "").unwrap();
        assert!(machine.current().is_err());
    }
}
