//! The names of a farm's parts.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// The environment variable that holds the path of a farm's scratch folder in each of its processes
/// but the holder.
pub(super) const ENVIRONMENT: &str = "BBOT_FARM";
/// The farm's bridge: the only interface besides `lo`.
pub const BRIDGE: &str = "br1";
/// The host's address on the bridge.
pub const BRIDGE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The length of the network prefix of [`BRIDGE_ADDRESS`], in bits.
pub const BRIDGE_PREFIX: u8 = 16;
/// The name of the one btrfs volume below the machines folder.
pub const VOLUME: &str = "default";
/// The version of the bootstrap protocol, P in `<name>-<P>.<R>`.
pub const PROTOCOL: u32 = 1;

pub(super) fn machines(scratch: &Path) -> PathBuf {
    scratch.join("machines")
}

pub(super) fn volume(scratch: &Path) -> PathBuf {
    machines(scratch).join(VOLUME)
}

pub(super) fn volume_image(scratch: &Path) -> PathBuf {
    scratch.join("volume.img")
}

pub(super) fn tftp(scratch: &Path) -> PathBuf {
    scratch.join("tftp")
}

pub(super) fn state(scratch: &Path) -> PathBuf {
    scratch.join("state")
}

pub(super) fn run(scratch: &Path) -> PathBuf {
    scratch.join("run")
}

/// Every folder of a new farm.
pub(super) fn folders(scratch: &Path) -> Vec<PathBuf> {
    let mut folders = vec![volume(scratch), state(scratch), run(scratch).join("lock")];
    folders.extend(["toolchains", "bootstrap", "build"].map(|name| tftp(scratch).join(name)));
    folders
}
