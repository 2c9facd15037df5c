//! `setup`: what Debian 12 lacks for building and testing, and why each part is needed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{command, message};

/// The oldest Rust release that builds the workspace (`rust-version` of its packages).
const RUST: (u32, u32) = (1, 89);

/// A Debian package and the reason why it is here.
struct Package {
    name: &'static str,
    why: &'static str,
}

/// The packages that are needed, sorted by name. They do not include a C compiler for linking:
/// without one, this program could not have been built.
const PACKAGES: &[Package] = &[
    Package { name: "atftp", why: "TFTP clients that our server is tested with" },
    Package { name: "btrfs-progs", why: "mkfs.btrfs for test volumes; the bench's opponent" },
    Package { name: "busybox-static", why: "TFTP clients that our server is tested with" },
    Package { name: "bzip2", why: "unpacks what the test machine builds" },
    Package { name: "curl", why: "TFTP clients that our server is tested with" },
    Package { name: "dnsmasq-base", why: "TFTP servers that ours is tested and measured beside" },
    Package { name: "dosfstools", why: "file systems of the test machine's disk" },
    Package { name: "e2fsprogs", why: "file systems of the test machine's disk" },
    Package { name: "g++", why: "compiles the test program that locks as the original agent does" },
    Package { name: "iproute2", why: "ip: network namespaces, bridges and taps of the tests" },
    Package { name: "libbtrfsutil-dev", why: "the library that bbot-btrfs binds" },
    Package { name: "libclang-dev", why: "bindgen reads libbtrfsutil's header with it" },
    Package {
        name: "libpcre2-8-0",
        why: "libraries of atftpd, a TFTP server that tests only unpack",
    },
    Package { name: "libwrap0", why: "libraries of atftpd, a TFTP server that tests only unpack" },
    Package { name: "mtools", why: "file systems of the test machine's disk" },
    Package { name: "nftables", why: "nft: the redirection of a guest's TFTP requests" },
    Package { name: "openssl", why: "signs challenges, and checks the signatures in tests" },
    Package { name: "qemu-system-x86", why: "runs the machines" },
    Package { name: "strace", why: "shows in tests which locks the agent takes" },
    Package { name: "syslinux", why: "the test machine's boot loader" },
    Package { name: "syslinux-common", why: "the test machine's boot loader" },
    Package { name: "tftp-hpa", why: "TFTP clients that our server is tested with" },
    Package { name: "tftpd-hpa", why: "TFTP servers that ours is tested and measured beside" },
    Package { name: "xz-utils", why: "packs the toolchain that the test machine installs" },
];

/// The command `setup`.
pub(crate) fn run() -> Result<ExitCode> {
    ensure().map(|()| ExitCode::SUCCESS)
}

/// Installs the packages that are missing; silent if there are none.
pub(crate) fn ensure() -> Result<()> {
    check_rust()?;
    let missing = missing(&installed()?);
    if missing.is_empty() {
        return Ok(());
    }
    let system = System::read();
    if !system.is_debian_12() || !is_root()? {
        bail!(what_to_do(&missing, &system));
    }
    message::print(format_args!("Installing with apt-get:\n{}", list(&missing)));
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    install(&names)
}

/// Returns whether the process has the rights of root.
pub(crate) fn is_root() -> Result<bool> {
    // The owner of this folder is the process's effective user.
    Ok(fs::metadata("/proc/self").context("/proc/self")?.uid() == 0)
}

/// Runs `apt-get update`.
pub(crate) fn refresh_package_lists() -> Result<()> {
    command::succeed(apt_get().args(["update", "-qq"]))
}

fn install(names: &[&str]) -> Result<()> {
    let mut install = apt_get();
    install.args(["install", "-qq", "--no-install-recommends"]).args(names);
    // A fresh system has no package lists, and old lists name packages that no longer exist. To
    // fetch them takes seconds, so it is done in these cases only.
    if has_package_lists() && command::status(&mut install)?.success() {
        return Ok(());
    }
    refresh_package_lists()?;
    command::succeed(&mut install)
}

/// Returns whether apt has package lists; in fresh containers it has none.
fn has_package_lists() -> bool {
    let Ok(lists) = fs::read_dir("/var/lib/apt/lists") else { return false };
    lists.flatten().any(|list| list.file_name().to_string_lossy().contains("_Packages"))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("-y").stdin(Stdio::null());
    command
}

/// The names of those of our packages that dpkg says are installed; none on a system without it.
fn installed() -> Result<BTreeSet<String>> {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "${Package} ${db:Status-Status}\n"]);
    query.args(PACKAGES.iter().map(|package| package.name));
    match query.stderr(Stdio::null()).output() {
        // It exits with 1 if any of the packages is unknown, and lists the others all the same.
        Ok(output) => Ok(parse_installed(&String::from_utf8_lossy(&output.stdout))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error).context("dpkg-query"),
    }
}

fn parse_installed(listing: &str) -> BTreeSet<String> {
    let names = listing.lines().filter_map(|line| line.strip_suffix(" installed"));
    names.map(str::to_owned).collect()
}

fn missing(installed: &BTreeSet<String>) -> Vec<&'static Package> {
    PACKAGES.iter().filter(|package| !installed.contains(package.name)).collect()
}

/// A line for each reason, with all packages that it is the reason for.
fn list(packages: &[&Package]) -> String {
    let names = |why: &str| {
        let same = packages.iter().filter(|package| package.why == why);
        same.map(|package| package.name).collect::<Vec<_>>().join(", ")
    };
    let mut lines: Vec<String> = Vec::new();
    for Package { why, .. } in packages {
        let line = format!("  {}: {why}", names(why));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

fn what_to_do(missing: &[&Package], system: &System) -> String {
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let how = if system.is_debian_12() {
        format!("Run `cargo xtask setup` as root, or:\n  apt-get install {}", names.join(" "))
    } else {
        format!(
            "setup installs them on Debian 12 only, and this is {}.\n\
             Install what your system calls these, or use a Debian 12 machine or container.",
            system.name
        )
    };
    format!("these Debian packages are missing:\n{}\n{how}", list(missing))
}

/// The operating system, from `/etc/os-release`.
struct System {
    id: String,
    version: String,
    name: String,
}

impl System {
    fn read() -> Self {
        // Without the file this is some other system.
        Self::parse(&fs::read_to_string("/etc/os-release").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let value = |name: &str| {
            let pair = text.lines().filter_map(|line| line.split_once('='));
            let mut values = pair.filter(|(n, _)| *n == name).map(|(_, value)| value);
            values.next().map(|value| value.trim_matches('"').to_owned())
        };
        System {
            id: value("ID").unwrap_or_default(),
            version: value("VERSION_ID").unwrap_or_default(),
            name: value("PRETTY_NAME").unwrap_or_else(|| "another system".to_owned()),
        }
    }

    fn is_debian_12(&self) -> bool {
        self.id == "debian" && self.version == "12"
    }
}

fn check_rust() -> Result<()> {
    let version = command::output(Command::new("rustc").arg("--version"))?;
    let version = String::from_utf8_lossy(&version);
    if parse_rust(&version).is_some_and(|found| found >= RUST) {
        return Ok(());
    }
    let (major, minor) = RUST;
    let found = version.trim();
    Err(anyhow!(
        "Rust {major}.{minor} or newer is needed, and is the one thing that setup does not \
         install; this is {found}\n(rustup installs it: `rustup update stable`)"
    ))
}

/// The release of a compiler that says `rustc 1.95.0 (... 2026-04-14)`.
fn parse_rust(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(' ').nth(1)?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(packages: &[&Package]) -> Vec<&'static str> {
        packages.iter().map(|package| package.name).collect()
    }

    #[test]
    fn packages_are_sorted_unique_and_have_a_reason() {
        assert!(PACKAGES.is_sorted_by(|a, b| a.name < b.name));
        assert!(PACKAGES.iter().all(|package| !package.why.is_empty()));
    }

    #[test]
    fn only_packages_that_dpkg_calls_installed_count() {
        let lines: Vec<String> =
            PACKAGES.iter().map(|package| format!("{} installed\n", package.name)).collect();
        let all = lines.concat();
        assert_eq!(names(&missing(&parse_installed(&all))), [""; 0]);
        // Removed with its configuration left, half installed, and unknown.
        let some = all
            .replace("curl installed", "curl config-files")
            .replace("mtools installed", "mtools half-installed")
            .replace("nftables installed\n", "");
        assert_eq!(names(&missing(&parse_installed(&some))), ["curl", "mtools", "nftables"]);
        assert_eq!(missing(&parse_installed("")).len(), PACKAGES.len());
    }

    #[test]
    fn advice_fits_one_screen_and_names_every_package() {
        let all: Vec<&Package> = PACKAGES.iter().collect();
        for os in ["ID=debian\nVERSION_ID=\"12\"\n", "ID=fedora\nPRETTY_NAME=\"Fedora 44\"\n", ""] {
            let advice = what_to_do(&all, &System::parse(os));
            let rows = advice.lines().map(|line| line.len().div_ceil(80)).sum::<usize>();
            assert!(rows <= 24, "{advice}");
            assert!(PACKAGES.iter().all(|package| advice.contains(package.name)));
        }
    }

    #[test]
    fn systems_are_told_apart() {
        let debian =
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert!(System::parse(debian).is_debian_12());
        assert!(!System::parse(&debian.replace("12", "13")).is_debian_12());
        assert!(!System::parse("ID=fedora\nVERSION_ID=12\n").is_debian_12());
        assert!(!System::parse("").is_debian_12());
    }

    #[test]
    fn rust_releases_compare_as_numbers() {
        assert_eq!(parse_rust("rustc 1.95.0 (59807616e 2026-04-14)"), Some((1, 95)));
        assert!(parse_rust("rustc 1.100.0-nightly") >= Some(RUST));
        assert!(parse_rust("rustc 1.9.0") < Some(RUST));
        assert_eq!(parse_rust("gcc"), None);
    }
}
