//! Machines and toolchains, installed in a farm as an operator installs them on a host.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::unistd::{Whence, lseek};

use super::layout;
use super::owner::Farm;

/// A machine to be installed on the volume.
#[derive(Debug, Clone)]
pub struct MachineSpec {
    /// Its name: the folder's and the manifest's.
    pub name: String,
    /// R in `<name>-<P>.<R>`.
    pub revision: u32,
    /// The text of the machine manifest.
    pub manifest: String,
    /// The bytes of `disk.img`.
    pub disk: Disk,
}

/// Where the bytes of a disk image come from.
#[derive(Debug, Clone)]
pub enum Disk {
    /// A file outside of the farm; its holes stay holes.
    File(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
}

impl MachineSpec {
    /// A machine of the type kvm with a small disk of `disk` bytes, first revision; its id is
    /// its name and revision.
    pub fn small(name: &str, disk: impl Into<Vec<u8>>) -> MachineSpec {
        let manifest =
            format!(": 1\nid: {name}-1.1\nname: {name}\nsummary: Machine {name}\ntype: kvm\n");
        let disk = Disk::Bytes(disk.into());
        MachineSpec { name: name.to_owned(), revision: 1, manifest, disk }
    }

    /// The MAC address that it is bootstrapped with here: a hash of its name.
    fn mac(&self) -> String {
        let step = |hash: u16, byte: u8| (hash ^ u16::from(byte)).wrapping_mul(0x6b43);
        let [high, low] = self.name.bytes().fold(0x9dc5, step).to_be_bytes();
        format!("02:00:00:00:{high:02x}:{low:02x}")
    }

    /// The text of its manifest after an agent has bootstrapped it.
    pub fn bootstrapped_manifest(&self) -> String {
        let versions = ["bbot", "libbbot", "libbpkg", "libbutl"]
            .map(|package| format!("{package}-version: 0.16.0\n"))
            .concat();
        format!(
            "{}mac: {}\n:\nid: bogus\n:\n{versions}bbot-agent-version: 0.16.0\n",
            self.manifest,
            self.mac()
        )
    }

    /// The folder name of the subvolume, `<name>-<P>.<R>`.
    fn subvolume(&self) -> String {
        format!("{}-{}.{}", self.name, layout::PROTOCOL, self.revision)
    }
}

impl Farm {
    /// The folder of the machine `name`.
    pub fn machine_folder(&self, name: &str) -> PathBuf {
        self.volume().join(name)
    }

    /// Installs a machine on the volume: subvolume, manifest, image, link. A later revision of an
    /// installed machine replaces the link, as an upgrade does.
    ///
    /// # Errors
    /// If the volume cannot be written.
    pub fn add_machine(&self, machine: &MachineSpec) -> Result<()> {
        let folder = self.machine_folder(&machine.name);
        let link = folder.join(format!("{}-{}", machine.name, layout::PROTOCOL));
        let subvolume = folder.join(machine.subvolume());
        self.namespaces().run(|| std::fs::create_dir_all(&folder))??;
        self.create_subvolume(&subvolume)?;
        self.namespaces().run(|| {
            write_disk(&machine.disk, &subvolume.join("disk.img"))?;
            std::fs::write(subvolume.join("manifest"), &machine.manifest)?;
            let fresh = folder.join(".link");
            symlink(machine.subvolume(), &fresh)?;
            std::fs::rename(&fresh, &link)?;
            anyhow::Ok(())
        })?
    }

    /// Makes the bootstrapped subvolume of a machine that was installed with
    /// [`Farm::add_machine`], as an agent of toolchain `toolchain` would have made it.
    ///
    /// # Errors
    /// If the volume cannot be written.
    pub fn add_bootstrapped(&self, machine: &MachineSpec, toolchain: &str) -> Result<()> {
        let folder = self.machine_folder(&machine.name);
        let target = folder.join(format!("{}-{toolchain}", machine.name));
        self.btrfs(&["snapshot".as_ref(), &folder.join(machine.subvolume()), &target])?;
        let manifest = machine.bootstrapped_manifest();
        Ok(self.namespaces().run(|| {
            std::fs::write(target.join(".bbot-agent"), format!("{toolchain}\n"))?;
            std::fs::write(target.join("manifest"), manifest)
        })??)
    }

    /// Removes a machine from the volume, with all its subvolumes.
    ///
    /// # Errors
    /// If the volume cannot be written.
    pub fn remove_machine(&self, name: &str) -> Result<()> {
        let folder = self.machine_folder(name);
        Ok(self.namespaces().run(|| std::fs::remove_dir_all(folder))??)
    }

    /// Makes a subvolume, with the operator's tool rather than with the library under test.
    ///
    /// # Errors
    /// If the tool fails.
    pub fn create_subvolume(&self, path: &Path) -> Result<()> {
        self.btrfs(&["create".as_ref(), path])
    }

    fn btrfs(&self, arguments: &[&Path]) -> Result<()> {
        let mut command = self.namespaces().command("btrfs");
        let output = self.namespaces().output(command.arg("subvolume").args(arguments))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "btrfs: {}", stderr.trim_end());
        Ok(())
    }

    /// Installs `folder` as the toolchain `name`: its files are copied below the TFTP root.
    ///
    /// # Errors
    /// If the files cannot be copied.
    pub fn add_toolchain(&self, name: &str, folder: &Path) -> Result<()> {
        let target = self.tftp().join("toolchains").join(name);
        std::fs::create_dir(&target)?;
        for entry in std::fs::read_dir(folder)? {
            let file = entry?;
            std::fs::copy(file.path(), target.join(file.file_name()))
                .with_context(|| format!("cannot copy {}", file.path().display()))?;
        }
        Ok(())
    }
}

fn write_disk(disk: &Disk, target: &Path) -> Result<()> {
    match disk {
        Disk::Bytes(bytes) => Ok(std::fs::write(target, bytes)?),
        Disk::File(source) => copy_sparse(source, target)
            .with_context(|| format!("cannot copy the disk image {}", source.display())),
    }
}

/// Copies a file and keeps its holes.
fn copy_sparse(source: &Path, target: &Path) -> Result<()> {
    let mut input = File::open(source)?;
    let mut output = File::create_new(target)?;
    let length = i64::try_from(input.metadata()?.len())?;
    output.set_len(length.unsigned_abs())?;
    let mut position = 0;
    while position < length {
        let data = match lseek(&input, position, Whence::SeekData) {
            Ok(data) => data,
            // The rest of the file is a hole.
            Err(nix::Error::ENXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let end = lseek(&input, data, Whence::SeekHole)?;
        lseek(&input, data, Whence::SeekSet)?;
        lseek(&output, data, Whence::SeekSet)?;
        std::io::copy(&mut (&mut input).take((end - data).unsigned_abs()), &mut output)?;
        position = end;
    }
    Ok(output.flush()?)
}
