//! The Debian packages and sources that the machine is made of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::image::tree;
use crate::{command, setup};

/// The packages, but for the kernel, whose real name changes with each of its updates.
const PACKAGES: &[&str] =
    &["busybox-static", "libc6", "liblz4-1", "lz4", "make", "musl-dev", "tcc"];

/// The package that depends on the present kernel.
const KERNEL: &str = "linux-image-cloud-amd64";

/// The third-party source that the machine builds, as Debian's archive names it.
const SOURCE: &str = "pool/main/z/zlib/zlib_1.2.13.dfsg.orig.tar.bz2";
const SOURCE_SHA256: &str = "71feb7947e3c00ef125f83b79a4e529bde31171e5babe48b391f06758d1ab0a1";

/// A file of the archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    name: String,
    uri: String,
    sha256: String,
}

/// The current versions of the packages and the source in the archive.
pub(super) struct Debian {
    packages: Vec<Item>,
    pub(super) source: Item,
}

impl Debian {
    /// Asks apt for the current versions; package lists are fetched if they are missing.
    pub(super) fn find(archive: &Archive) -> Result<Self> {
        archive.find().or_else(|_| {
            setup::refresh_package_lists()?;
            archive.find()
        })
    }

    /// A line for each part, which changes when the part does.
    pub(super) fn lines(&self) -> Vec<String> {
        let items = self.packages.iter().chain([&self.source]);
        items.map(|item| format!("{} archive {}\n", item.sha256, item.name)).collect()
    }
}

/// Debian's archive, with local copies of what was fetched.
pub(super) struct Archive {
    copies: PathBuf,
}

impl Archive {
    /// The archive, with a folder for the copies.
    pub(super) fn new(copies: PathBuf) -> Result<Self> {
        tree::make(&copies)?;
        Ok(Archive { copies })
    }

    fn find(&self) -> Result<Debian> {
        let kernel = command::output(self.apt("apt-cache").args(["depends", KERNEL]))?;
        let kernel = parse_kernel(&String::from_utf8_lossy(&kernel))
            .with_context(|| format!("{KERNEL} depends on no kernel"))?;
        let mut uris = self.apt("apt-get");
        uris.args(["--print-uris", "download", &kernel]).args(PACKAGES);
        let packages = parse_uris(&String::from_utf8_lossy(&command::output(&mut uris)?));
        let source =
            source(&packages).context("no package of Debian's main archive is known to apt")?;
        if packages.len() != PACKAGES.len() + 1 {
            bail!("apt does not know all packages of the machine");
        }
        Ok(Debian { packages, source })
    }

    /// A command of apt. In containers it often has no cache of its package lists, and reads
    /// them anew each time for more than a second; so it gets one here.
    fn apt(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        let cache = self.copies.join("pkgcache.bin");
        apt.arg("-o").arg(format!("Dir::Cache::pkgcache={}", cache.display()));
        // Its output is parsed.
        apt.env("LC_ALL", "C");
        apt
    }

    /// Fetches a file unless there is a copy, and returns the path of the copy.
    pub(super) fn fetch(&self, item: &Item) -> Result<PathBuf> {
        let copy = self.copies.join(&item.sha256);
        if copy.is_file() {
            return Ok(copy);
        }
        let part = self.copies.join(format!("{}.{}", item.sha256, std::process::id()));
        // apt's own fetcher: it knows the system's proxy, and checks the hash.
        let mut fetch = Command::new("/usr/lib/apt/apt-helper");
        fetch.args(["-o", "APT::Sandbox::User=", "download-file"]).arg(&item.uri).arg(&part);
        command::output(fetch.arg(format!("SHA256:{}", item.sha256)))?;
        fs::rename(&part, &copy).with_context(|| copy.display().to_string())?;
        Ok(copy)
    }

    /// Fetches everything of which there is no copy.
    pub(super) fn fetch_all(&self, debian: &Debian) -> Result<()> {
        let items = debian.packages.iter().chain([&debian.source]);
        items.map(|item| self.fetch(item)).collect::<Result<Vec<_>>>().map(drop)
    }

    /// Unpacks the packages, all into one tree, and returns it.
    pub(super) fn unpack(&self, debian: &Debian, folder: &Path) -> Result<PathBuf> {
        for item in &debian.packages {
            let package = self.fetch(item)?;
            command::output(Command::new("dpkg-deb").arg("-x").arg(package).arg(folder))?;
        }
        Ok(folder.to_owned())
    }
}

/// The real kernel package in what `apt-cache depends` prints.
fn parse_kernel(listing: &str) -> Option<String> {
    let depends = listing.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    depends.map(str::to_owned).find(|name| name.starts_with("linux-image-"))
}

/// The lines of `apt-get --print-uris`: quoted URI, file name, size, hash.
fn parse_uris(listing: &str) -> Vec<Item> {
    let parse = |line: &str| {
        let mut words = line.split(' ');
        let uri = words.next()?.trim_matches('\'').to_owned();
        let name = words.next()?.to_owned();
        let sha256 = words.nth(1)?.strip_prefix("SHA256:")?.to_owned();
        Some(Item { name, uri, sha256 })
    };
    listing.lines().filter_map(parse).collect()
}

/// The source, at the same mirror that has the packages: security updates are elsewhere, but
/// not all packages have one.
fn source(packages: &[Item]) -> Option<Item> {
    let mut mirrors = packages.iter().filter_map(|item| item.uri.split_once("pool/main/"));
    let (mirror, _) = mirrors.find(|(mirror, _)| !mirror.contains("security"))?;
    let name = SOURCE.rsplit_once('/').map_or(SOURCE, |(_, name)| name);
    Some(Item {
        name: name.to_owned(),
        uri: format!("{mirror}{SOURCE}"),
        sha256: SOURCE_SHA256.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const URIS: &str = "\
        'http://m/debian-security/pool/updates/main/l/linux/l.deb' linux_6.1.deb 267 SHA256:00be\n\
        'http://m/debian/pool/main/t/tcc/tcc_0.9.27%2bgit.deb' tcc_0.9.27+git.deb 29 SHA256:86f4\n";

    #[test]
    fn uris_are_read_and_the_source_lies_at_the_main_mirror() {
        let items = parse_uris(URIS);
        assert_eq!(items.len(), 2);
        assert_eq!(items[1].name, "tcc_0.9.27+git.deb");
        assert_eq!(items[1].sha256, "86f4");
        let source = source(&items).unwrap();
        assert_eq!(source.uri, format!("http://m/debian/{SOURCE}"));
        assert_eq!(source.name, "zlib_1.2.13.dfsg.orig.tar.bz2");
        assert_eq!(parse_uris("E: nothing\n"), []);
    }

    #[test]
    fn the_kernel_is_what_the_meta_package_depends_on() {
        let listing = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(parse_kernel(listing).as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(parse_kernel("N: Unable to locate package\n"), None);
    }

    impl Debian {
        /// A Debian with one package.
        pub(in crate::image) fn sample() -> Self {
            let item = || Item { name: "a".into(), uri: "u".into(), sha256: "0".into() };
            Debian { packages: vec![item()], source: item() }
        }
    }

    #[test]
    fn a_changed_part_changes_the_key() {
        let (old, mut package, mut source) = (Debian::sample(), Debian::sample(), Debian::sample());
        package.packages[0].sha256 = "1".into();
        source.source.sha256 = "1".into();
        assert_eq!(old.lines(), Debian::sample().lines());
        assert_ne!(old.lines(), package.lines());
        assert_ne!(old.lines(), source.lines());
    }
}
