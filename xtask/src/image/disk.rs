//! The disk: a boot loader in the first sector, a boot partition for it, and the root.
//!
//! Both file systems are made in place by tools that need neither a loop device nor root.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::image::{guest, initramfs, tree};

const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;

/// A primary partition.
struct Partition {
    start: u64,
    size: u64,
    kind: u8,
    active: bool,
}

/// Kernel and initramfs take 20 MiB; FAT16 is for 16 MiB and more.
const BOOT: Partition = Partition { start: MIB, size: 31 * MIB, kind: 0x0e, active: true };
/// The system takes 10 MiB; the rest is for toolchain and builds, and costs nothing until then.
const ROOT: Partition = Partition { start: 32 * MIB, size: 224 * MIB, kind: 0x83, active: false };

const _: () = assert!(BOOT.start + BOOT.size <= ROOT.start, "partitions overlap");

/// The boot loader's code for the first sector, from the package syslinux-common.
const FIRST_SECTOR: &str = "/usr/lib/syslinux/mbr/mbr.bin";

/// Makes the disk.
pub(super) fn make(packages: &Path, work: &Path, disk: &Path) -> Result<()> {
    if let Some(folder) = disk.parent() {
        tree::make(folder)?;
    }
    let code = fs::read(FIRST_SECTOR).context(FIRST_SECTOR)?;
    let file = File::create(disk).with_context(|| disk.display().to_string())?;
    file.set_len(ROOT.start + ROOT.size).with_context(|| disk.display().to_string())?;
    file.write_all_at(&first_sector(&code, &[BOOT, ROOT])?, 0)
        .with_context(|| disk.display().to_string())?;
    make_boot(packages, work, disk)?;
    make_root(packages, work, disk)
}

/// The first sector: code, partition table, signature.
fn first_sector(code: &[u8], partitions: &[Partition]) -> Result<[u8; 512]> {
    let mut sector = [0; 512];
    if code.len() > 440 {
        bail!("the boot loader's code does not fit");
    }
    sector[..code.len()].copy_from_slice(code);
    for (entry, partition) in sector[446..510].chunks_exact_mut(16).zip(partitions) {
        entry[0] = if partition.active { 0x80 } else { 0 };
        // The cylinder fields hold the value for "out of range", as all partitioning tools write
        // it.
        entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[4] = partition.kind;
        entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[8..12].copy_from_slice(&sectors(partition.start)?.to_le_bytes());
        entry[12..16].copy_from_slice(&sectors(partition.size)?.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    Ok(sector)
}

fn sectors(bytes: u64) -> Result<u32> {
    u32::try_from(bytes / SECTOR).context("the disk is too large")
}

fn make_boot(packages: &Path, work: &Path, disk: &Path) -> Result<()> {
    let kernel = tree::files(&packages.join("boot"))?.into_iter().find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
    });
    let kernel = kernel.context("the kernel's package has no kernel")?;
    let initrd = work.join("initrd");
    initramfs::make(packages, &initrd)?;

    let mut mkfs = command::tool("mkfs.fat");
    mkfs.args(["-F", "16", "-n", "BOOT"]).arg(format!("--offset={}", BOOT.start / SECTOR));
    mkfs.arg(disk).arg((BOOT.size / 1024).to_string());
    command::output(&mut mkfs)?;
    let image = format!("{}@@{}", disk.display(), BOOT.start);
    let files = [
        (kernel, "::vmlinuz"),
        (initrd, "::initrd"),
        (guest().join("boot/syslinux.cfg"), "::syslinux.cfg"),
    ];
    for (from, to) in files {
        command::output(Command::new("mcopy").arg("-i").arg(&image).arg(from).arg(to))?;
    }
    let mut loader = Command::new("syslinux");
    loader.args(["--offset", &BOOT.start.to_string(), "--install"]).arg(disk);
    command::output(&mut loader).map(drop)
}

fn make_root(packages: &Path, work: &Path, disk: &Path) -> Result<()> {
    let root = work.join("root");
    lay_out_root(packages, &root)?;
    let mut mkfs = command::tool("mkfs.ext4");
    // A small journal, and nothing for the machine to initialise: what the guest writes is copied
    // on the host's volume at each boot.
    mkfs.args(["-q", "-F", "-L", "root", "-m", "0", "-N", "8192", "-J", "size=4", "-E"]);
    mkfs.arg(format!("offset={},lazy_itable_init=0,lazy_journal_init=0", ROOT.start));
    mkfs.arg("-d").arg(root).arg(disk).arg(format!("{}k", ROOT.size / 1024));
    command::output(&mut mkfs).map(drop)
}

/// A root file system: the C library, lz4, busybox with a link for each of its programs, and
/// the files of this repository.
fn lay_out_root(packages: &Path, root: &Path) -> Result<()> {
    for folder in ["dev", "proc", "sys", "tmp", "opt", "sbin", "usr/lib"] {
        tree::make(&root.join(folder))?;
    }
    for folder in ["lib/x86_64-linux-gnu", "lib64"] {
        tree::copy(&packages.join(folder), &root.join(folder))?;
    }
    let library = "usr/lib/x86_64-linux-gnu/liblz4.so.1";
    tree::copy_file(&packages.join(library), &root.join(library))?;
    tree::copy_file(&packages.join("usr/bin/lz4"), &root.join("usr/bin/lz4"))?;
    let busybox = root.join("bin/busybox");
    tree::copy_file(&packages.join("bin/busybox"), &busybox)?;
    let programs = command::output(Command::new(&busybox).arg("--list"))?;
    for program in String::from_utf8_lossy(&programs).lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(program)).with_context(|| program.to_owned())?;
    }
    symlink("../bin/busybox", root.join("sbin/init")).context("sbin/init")?;
    tree::copy(&guest().join("root"), root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sector_holds_code_partitions_and_signature() {
        let sector = first_sector(&[0xfa; 440], &[BOOT, ROOT]).unwrap();
        assert_eq!(&sector[438..446], &[0xfa, 0xfa, 0, 0, 0, 0, 0, 0]);
        let boot = [0x80, 0xfe, 0xff, 0xff, 0x0e, 0xfe, 0xff, 0xff, 0, 8, 0, 0, 0, 0xf8, 0, 0];
        assert_eq!(&sector[446..462], &boot);
        let root = [0, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff, 0, 0, 1, 0, 0, 0, 7, 0];
        assert_eq!(&sector[462..478], &root);
        assert_eq!(&sector[478..510], &[0; 32]);
        assert_eq!(&sector[510..], &[0x55, 0xaa]);
        assert!(first_sector(&[0; 441], &[]).is_err());
    }
}
