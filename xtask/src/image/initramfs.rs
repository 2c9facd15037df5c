//! The first file system of the machine: busybox, the kernel modules that the machine needs,
//! and `tests/guest/boot/init`, in the kernel's cpio format.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::image::{guest, tree};

/// The modules that the machine needs, without those that they depend on: disk, network, power
/// button.
const WANTED: &[&str] = &["virtio_pci", "virtio_scsi", "sd_mod", "virtio_net", "button", "evdev"];

/// Makes the archive.
pub(super) fn make(packages: &Path, out: &Path) -> Result<()> {
    let modules = Modules::read(&packages.join("lib/modules"))?;
    let mut cpio = Cpio::default();
    for folder in ["bin", "dev", "modules", "root"] {
        cpio.folder(folder);
    }
    cpio.file("init", 0o755, &read(&guest().join("boot/init"))?);
    cpio.file("bin/busybox", 0o755, &read(&packages.join("bin/busybox"))?);
    let order = modules.order(WANTED)?;
    for (name, content) in &order {
        cpio.file(&format!("modules/{name}"), 0o644, content);
    }
    let names: Vec<String> = order.iter().map(|(name, _)| format!("{name}\n")).collect();
    cpio.file("modules/order", 0o644, names.concat().as_bytes());
    fs::write(out, cpio.finish()).with_context(|| out.display().to_string())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// The modules of a kernel: where each is, and which need no file since the kernel has them.
struct Modules {
    files: HashMap<String, PathBuf>,
    builtin: Vec<String>,
}

impl Modules {
    fn read(folder: &Path) -> Result<Self> {
        let mut files = HashMap::new();
        let mut builtin = Vec::new();
        for path in tree::files(folder)? {
            if path.extension().is_some_and(|extension| extension == "ko") {
                files.insert(name(&path), path);
            } else if path.ends_with("modules.builtin") {
                let list = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                builtin.extend(list.lines().map(|line| name(Path::new(line))));
            }
        }
        Ok(Modules { files, builtin })
    }

    /// The files of the wanted modules and of those that they depend on, which come first.
    fn order(&self, wanted: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut order = Vec::new();
        for module in wanted {
            self.add(module, &mut order)?;
        }
        Ok(order)
    }

    fn add(&self, module: &str, order: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
        let name = module.replace('-', "_");
        let file = format!("{name}.ko");
        if self.builtin.contains(&name) || order.iter().any(|(known, _)| *known == file) {
            return Ok(());
        }
        let path = self.files.get(&name);
        let path = path.with_context(|| format!("no kernel module {name}"))?;
        let content = read(path)?;
        for dependency in dependencies(&content) {
            self.add(&dependency, order)?;
        }
        order.push((file, content));
        Ok(())
    }
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_")
}

/// Returns the dependencies that a module declares: `depends=a,b`, between two NUL bytes.
fn dependencies(module: &[u8]) -> Vec<String> {
    let mut fields = module.split(|byte| *byte == 0);
    let field = fields.find_map(|field| field.strip_prefix(b"depends="));
    let list = String::from_utf8_lossy(field.unwrap_or_default()).into_owned();
    list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// An archive in the format "newc" (Linux: Documentation/driver-api/early-userspace).
#[derive(Default)]
struct Cpio {
    bytes: Vec<u8>,
    inodes: u32,
}

impl Cpio {
    fn folder(&mut self, name: &str) {
        self.entry(name, 0o040_755, &[]);
    }

    fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entry(name, 0o100_000 | mode, content);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.inodes += 1;
        let (inode, size, name_size) = (self.inodes, content.len(), name.len() + 1);
        // inode, mode, user, group, links, time, size, device and its own (two numbers each),
        // size of the name with its NUL, checksum (unused).
        let header = format!(
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}\
             {0:08x}{0:08x}{0:08x}{0:08x}{name_size:08x}{0:08x}",
            0, 1
        );
        self.bytes.extend(header.bytes().chain(name.bytes()).chain([0]));
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_the_module() {
        let module = b"\x7fELF...\0license=GPL\0depends=virtio,virtio-ring\0name=x\0";
        assert_eq!(dependencies(module), ["virtio", "virtio-ring"]);
        assert_eq!(dependencies(b"\0depends=\0"), [""; 0]);
        assert_eq!(dependencies(b"no such field"), [""; 0]);
    }

    #[test]
    fn cpio_entries_are_aligned_and_complete() {
        let mut cpio = Cpio::default();
        cpio.folder("bin");
        cpio.file("bin/a", 0o755, b"hello");
        let bytes = cpio.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches("070701").count(), 3);
        // Header 110 bytes, name with NUL 4, padding 2; then the next.
        assert_eq!(&text[116..122], "070701");
        assert!(text.contains("000081ed") && text.contains("hello\0\0\0"));
        assert!(text.contains("TRAILER!!!\0"));
    }
}
