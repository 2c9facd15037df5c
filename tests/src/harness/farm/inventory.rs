//! What is in a farm: everything that an agent could leave behind in it.

use std::collections::BTreeSet;
use std::fmt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result};

use super::layout;
use super::namespaces::Namespaces;

/// The inode number of the root of every btrfs subvolume.
const SUBVOLUME_INODE: u64 = 256;

/// Subvolumes, lock files, sockets, files of guests, links, nft tables, processes and ports of a
/// farm, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    items: BTreeSet<String>,
}

impl Inventory {
    pub(super) fn take(namespaces: &Namespaces, scratch: &Path) -> Result<Inventory> {
        let mut items = BTreeSet::new();
        add_network(namespaces, &mut items)?;
        namespaces.run(|| {
            walk(&layout::volume(scratch), &layout::machines(scratch), &mut items)?;
            for folder in ["tftp/bootstrap", "tftp/build", "run"] {
                walk(&scratch.join(folder), scratch, &mut items)?;
            }
            add_links(&mut items)?;
            add_processes(&mut items)
        })??;
        Ok(Inventory { items })
    }

    /// The items that are not in `earlier`.
    pub fn added_since(&self, earlier: &Inventory) -> Vec<&str> {
        let is_new = |item: &&str| !earlier.items.contains(*item);
        self.items.iter().map(String::as_str).filter(is_new).collect()
    }

    /// The pid in the farm of the first process whose command line contains `text`.
    pub fn pid_of(&self, text: &str) -> Option<String> {
        let processes = self.of_kind("process");
        let line = processes.into_iter().find(|line| line.contains(text))?;
        line.split(' ').nth(1).map(str::to_owned)
    }

    /// The lines that begin with `kind`, such as `subvolume`.
    pub fn of_kind(&self, kind: &str) -> Vec<&str> {
        self.items.iter().map(String::as_str).filter(|item| item.starts_with(kind)).collect()
    }
}

impl fmt::Display for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.iter().try_for_each(|item| writeln!(f, "{item}"))
    }
}

/// Adds every entry below `folder`, named relative to `base`; does not descend into subvolumes.
fn walk(folder: &Path, base: &Path, items: &mut BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        // An entry may be removed meanwhile: then it does not count.
        let Ok(found) = path.symlink_metadata() else { continue };
        let kind = match found.file_type() {
            _ if found.is_dir() && found.ino() == SUBVOLUME_INODE => "subvolume",
            kind if kind.is_dir() => "folder",
            kind if kind.is_socket() => "socket",
            kind if kind.is_symlink() => "symlink",
            _ if path.extension().is_some_and(|extension| extension == "lock") => "lock",
            _ => "file",
        };
        let name = path.strip_prefix(base).unwrap_or(&path);
        items.insert(format!("{kind} {}", name.display()));
        if kind == "folder" {
            walk(&path, base, items)?;
        }
    }
    Ok(())
}

fn add_links(items: &mut BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir("/sys/class/net")? {
        items.insert(format!("link {}", entry?.file_name().display()));
    }
    Ok(())
}

/// Adds the processes of the pid namespace, which are those of the farm's `/proc`.
fn add_processes(items: &mut BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // A process without a command line is a zombie, which init is about to reap.
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if !line.is_empty() {
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            items.insert(format!("process {name} {}", line.trim_end()));
        }
    }
    Ok(())
}

/// Adds firewall tables and listening ports, as `nft` and `ss` list them.
fn add_network(namespaces: &Namespaces, items: &mut BTreeSet<String>) -> Result<()> {
    let mut add = |kind: &str, program: &str, arguments: &[&str]| -> Result<()> {
        let mut command = namespaces.command(program);
        let output = namespaces.output(command.args(arguments))?;
        anyhow::ensure!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).context("output is not UTF-8")?;
        items.extend(text.lines().map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            format!("{kind} {}", words.join(" "))
        }));
        Ok(())
    };
    add("rules", "nft", &["list", "tables"])?;
    add("port", "ss", &["-Hlntu"])
}
