//! Whether a subvolume proves by its content that it is ours to replace or delete (W44).
//!
//! Its name alone does not: a program that knows other rules for names, or an operator, may have
//! given it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use anyhow::{Context, bail};
use bbot_manifest::{Event, Parser};

use super::layout::{Layout, MachineDir};
use super::mark;
use crate::fs::bounded_read;

/// The most bytes of a machine's manifest.
pub(crate) const MANIFEST_LIMIT: u64 = 1 << 20;

/// What the manifest of a subvolume says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// A machine, as an operator installs it.
    Machine,
    /// A machine that was bootstrapped: its manifest has the parts machine, toolchain and
    /// bootstrap.
    Bootstrapped,
    /// Nothing of these.
    Unknown,
}

/// Checks that what has the name `<name>-<toolchain>`, if anything has, was bootstrapped for this
/// toolchain.
///
/// # Errors
///
/// It does not prove that; the error says why.
pub(crate) fn check_bootstrapped(layout: &Layout, machine: &MachineDir) -> anyhow::Result<()> {
    let path = layout.bootstrapped(machine);
    let check = || {
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            metadata => {
                if !metadata?.is_dir() {
                    bail!("it is not a subvolume");
                }
            }
        }
        if is_linked(machine, &path)? {
            bail!("a symbolic link in its folder names it as a revision of the machine");
        }
        match mark::read(&path)?.and_then(|mark| mark.toolchain) {
            Some(toolchain) if toolchain == *layout.toolchain() => Ok(()),
            Some(toolchain) => bail!("it was made for toolchain {toolchain}"),
            // Bootstrapped by an agent that marks nothing.
            None if content(&path) == Content::Bootstrapped => Ok(()),
            None => bail!("its manifest is not that of a bootstrapped machine"),
        }
    };
    check().with_context(|| format!("{} is neither replaced nor deleted", path.display()))
}

/// Checks that `path`, which has the name of a working snapshot of this instance, was made by it.
///
/// # Errors
///
/// It does not prove that; the error says why.
pub(crate) fn check_snapshot(
    layout: &Layout,
    machine: &MachineDir,
    path: &Path,
) -> anyhow::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() || !bbot_btrfs::is_subvolume(path)? {
        bail!("it is not a subvolume");
    }
    if is_linked(machine, path)? {
        bail!("a symbolic link in its folder names it as a revision of the machine");
    }
    match mark::read(path)?.and_then(|mark| mark.toolchain) {
        Some(toolchain) if toolchain == *layout.toolchain() => return Ok(()),
        Some(toolchain) => bail!("it was made for toolchain {toolchain}"),
        None => {}
    }
    // Its maker was killed before it could mark it, or marks nothing.
    let parent = bbot_btrfs::identity(path)?.parent.context("it is not a snapshot")?;
    let is_bootstrapped =
        || bbot_btrfs::identity(&layout.bootstrapped(machine)).is_ok_and(|it| it.uuid == parent);
    match content(path) {
        Content::Machine => Ok(()),
        Content::Bootstrapped if is_bootstrapped() => Ok(()),
        Content::Bootstrapped => bail!("it may have been bootstrapped for another toolchain"),
        Content::Unknown => bail!("its manifest is not that of a machine"),
    }
}

/// Returns whether a symbolic link in the machine's folder leads to the subvolume, or into it.
fn is_linked(machine: &MachineDir, subvolume: &Path) -> io::Result<bool> {
    let subvolume = fs::canonicalize(subvolume)?;
    for entry in fs::read_dir(&machine.path)? {
        let entry = entry?;
        // A link to nothing names nothing.
        if entry.file_type()?.is_symlink()
            && fs::canonicalize(entry.path()).is_ok_and(|target| target.starts_with(&subvolume))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns what the manifest says that the subvolume is. It need not be valid in each value: a
/// broken one may be of a machine that was bootstrapped.
fn content(subvolume: &Path) -> Content {
    let read = File::open(subvolume.join("manifest"))
        .and_then(|file| bounded_read::whole(file, MANIFEST_LIMIT));
    let Ok(Some(bytes)) = read else { return Content::Unknown };
    manifest_names(&bytes).map_or(Content::Unknown, |names| classify(&names))
}

/// Returns the names of the values of each manifest; `None` if the text is not one of manifests.
fn manifest_names(text: &[u8]) -> Option<Vec<BTreeSet<String>>> {
    let mut manifests = Vec::new();
    for event in Parser::new(text) {
        match event.ok()? {
            Event::Start { .. } => manifests.push(BTreeSet::new()),
            Event::Pair(pair) => drop(manifests.last_mut()?.insert(pair.name.to_owned())),
            Event::End { .. } | Event::EndOfStream { .. } => {}
        }
    }
    Some(manifests)
}

fn classify(manifests: &[BTreeSet<String>]) -> Content {
    // D3: a list may begin with an empty manifest.
    let manifests = match manifests {
        [first, rest @ ..] if first.is_empty() => rest,
        all => all,
    };
    let is_machine = |names: &BTreeSet<String>| names.contains("id") && names.contains("name");
    let is_toolchain = |names: &BTreeSet<String>| names.len() == 1 && names.contains("id");
    match manifests {
        [machine] if is_machine(machine) => Content::Machine,
        [machine, toolchain, _] if is_machine(machine) && is_toolchain(toolchain) => {
            Content::Bootstrapped
        }
        _ => Content::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::mark::Mark;
    use super::*;

    const MACHINE: &str = ": 1\nid: 1\nname: m\nsummary: M\n";
    const REST: &str = ":\nid: bogus\n:\nbbot-version: 0.16.0\n";

    /// W44: what a manifest shows, whatever its values are.
    #[test]
    fn manifests_show_what_they_are_of() {
        let folder = tempfile::tempdir().unwrap();
        let check = |text: &str, expected| {
            fs::write(folder.path().join("manifest"), text).unwrap();
            assert_eq!(content(folder.path()), expected, "{text}");
        };
        assert_eq!(content(folder.path()), Content::Unknown);
        check(MACHINE, Content::Machine);
        check(&format!("{MACHINE}type: alien\n"), Content::Machine);
        check(&format!("{MACHINE}{REST}"), Content::Bootstrapped);
        check(&format!(": 1\n:\n{}{REST}", &MACHINE[4..]), Content::Bootstrapped);
        check(&format!(": 1\n:\n:\n{}{REST}", &MACHINE[4..]), Content::Unknown);
        check(&format!("{MACHINE}:\nid: t\n"), Content::Unknown);
        check(&format!("{MACHINE}{REST}:\nid: t\n"), Content::Unknown);
        check(&format!("{MACHINE}:\nid: t\nname: x\n:\nbbot-version: x\n"), Content::Unknown);
        for rubbish in ["", "rubbish", ": 1\n", ": 2\nid: 1\n", "\0"] {
            check(rubbish, Content::Unknown);
        }
    }

    struct Folder {
        _root: tempfile::TempDir,
        layout: Layout,
        machine: MachineDir,
    }

    impl Folder {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let layout = Layout::new(root.path().into(), "stage".parse().unwrap(), 1);
            let machine = MachineDir { name: "m".parse().unwrap(), path: root.path().join("v/m") };
            fs::create_dir_all(&machine.path).unwrap();
            Self { _root: root, layout, machine }
        }

        fn check(&self) -> Result<(), String> {
            check_bootstrapped(&self.layout, &self.machine).map_err(|error| format!("{error:#}"))
        }

        #[track_caller]
        fn check_refused(&self, reason: &str) {
            let error = self.check().unwrap_err();
            assert!(error.ends_with(reason) && error.contains("m-stage is neither"), "{error}");
        }
    }

    /// W44: what was bootstrapped shows it by its mark or its manifest; nothing else is replaced.
    #[test]
    fn only_what_was_bootstrapped_is_replaced() {
        let folder = Folder::new();
        folder.check().unwrap();
        let path = folder.layout.bootstrapped(&folder.machine);
        fs::write(&path, "").unwrap();
        folder.check_refused("it is not a subvolume");
        fs::remove_file(&path).unwrap();
        symlink("m-1.1", &path).unwrap();
        folder.check_refused("it is not a subvolume");
        fs::remove_file(&path).unwrap();

        fs::create_dir(&path).unwrap();
        let no_manifest = "its manifest is not that of a bootstrapped machine";
        folder.check_refused(no_manifest);
        for manifest in [MACHINE, "rubbish", ""] {
            fs::write(path.join("manifest"), manifest).unwrap();
            folder.check_refused(no_manifest);
        }
        fs::write(path.join("manifest"), format!("{MACHINE}{REST}")).unwrap();
        folder.check().unwrap();
        drop(Mark::set(&path, &"other".parse().unwrap()).unwrap());
        folder.check_refused("it was made for toolchain other");
        drop(Mark::set(&path, &"stage".parse().unwrap()).unwrap());
        folder.check().unwrap();
        fs::write(path.join("manifest"), "rubbish").unwrap();
        folder.check().unwrap();
    }

    /// W44: what a link names is the operator's, under whatever name.
    #[test]
    fn what_is_linked_is_left_alone() {
        for target in ["m-stage", "./m-stage/", "../m/m-stage", "m-stage/inner"] {
            let folder = Folder::new();
            let path = folder.layout.bootstrapped(&folder.machine);
            fs::create_dir_all(path.join("inner")).unwrap();
            fs::write(path.join("manifest"), format!("{MACHINE}{REST}")).unwrap();
            symlink("nothing", folder.machine.path.join("m-3")).unwrap();
            folder.check().unwrap();
            symlink(target, folder.machine.path.join("m-2")).unwrap();
            folder.check_refused("names it as a revision of the machine");
        }
    }
}
