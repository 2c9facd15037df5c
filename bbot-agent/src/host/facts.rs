//! What the host looks like (W67): read from the kernel, without starting a process.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use bbot_vm::VncAddress;
use nix::errno::Errno;
use nix::sys::inotify::{InitFlags, Inotify};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt,
};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access};

use super::health::{
    Bridge, BridgeFault, Facts, Hypervisor, Port, PortObstacle, Service, Share, Space, Tap,
    UsableBridge, Volume, VolumeFault,
};
use crate::config::Config;

/// Looks at the host. It takes less than a millisecond.
pub(crate) fn gather(config: &Config) -> Facts {
    let network = config.network();
    let bridge = bridge(&config.bridge);
    let tap = Tap { name: network.tap(), state: network.tap_use().map_err(describe) };
    Facts {
        ports: ports(config, bridge.state.as_ref().ok()),
        bridge,
        tap,
        hypervisor: hypervisor(config.hypervisor()),
        volumes: volumes(config),
        memory_kib: read_number("/proc/meminfo", "MemAvailable:"),
        memory_pressure: pressure("/proc/pressure/memory"),
        io_pressure: pressure("/proc/pressure/io"),
        descriptors: descriptors(),
        inotify: Inotify::init(InitFlags::IN_CLOEXEC).err().map(|error| error.desc().to_owned()),
    }
}

fn bridge(name: &str) -> Bridge {
    let state = match bbot_vm::usable_bridge(name) {
        Ok((found, address)) => Ok(UsableBridge { address, forward_delay: found.forward_delay }),
        Err(bbot_vm::Error::Bridge { problem, .. }) => Err(BridgeFault::Unusable(problem)),
        Err(error) => Err(BridgeFault::Unknown(describe(error))),
    };
    Bridge { name: name.to_owned(), state }
}

/// The TFTP port is at the bridge's address, if there is one.
fn ports(config: &Config, bridge: Option<&UsableBridge>) -> Vec<Port> {
    let mut found = Vec::new();
    if let Some(bridge) = bridge {
        let address = SocketAddr::from((bridge.address, config.network().tftp_port));
        let obstacle = UdpSocket::bind(address).err().as_ref().map(obstacle);
        found.push(Port { service: Service::Tftp, address, obstacle });
    }
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let interactive = config.interactive_address.filter(|address| *address != local);
    for address in std::iter::once(local).chain(interactive) {
        let address = VncAddress::new(address, config.offset).socket();
        let obstacle = try_listen(address).err().map(|error| obstacle(&error.into()));
        found.push(Port { service: Service::Vnc, address, obstacle });
    }
    found
}

/// Listens as QEMU does: connections that were closed a moment ago are no obstacle.
fn try_listen(address: SocketAddr) -> nix::Result<()> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&socket, Backlog::new(1)?)
}

fn obstacle(error: &io::Error) -> PortObstacle {
    match error.kind() {
        io::ErrorKind::AddrInUse => PortObstacle::InUse,
        _ => PortObstacle::Other(error.to_string()),
    }
}

/// A bare name is looked for in the PATH, as when it is executed.
fn hypervisor(program: PathBuf) -> Hypervisor {
    let is_executable = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_found = if program.components().count() > 1 {
        is_executable(&program)
    } else {
        std::env::split_paths(&path).any(|folder| is_executable(&folder.join(&program)))
    };
    Hypervisor { program, is_found }
}

/// The folders of machines, and where files of tasks and results are.
fn volumes(config: &Config) -> Vec<Volume> {
    let mut folders = Vec::new();
    match fs::read_dir(&config.machines) {
        Ok(entries) => folders.extend(entries.flatten().map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().unwrap_or_default();
            // By name as enumeration does (W7).
            !name.as_encoded_bytes().starts_with(b".") && is_folder(path)
        })),
        Err(error) => {
            let state = Err(VolumeFault::Other(error.to_string()));
            return vec![Volume { folder: config.machines.clone(), state }];
        }
    }
    folders.sort();
    folders.extend([&config.tftp, &config.state_dir].map(|folder| existing(folder)));
    folders.dedup();
    folders.into_iter().map(|folder| Volume { state: space(&folder), folder }).collect()
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Returns the folder itself, or the one in which it is going to be made.
fn existing(folder: &Path) -> PathBuf {
    let mut ancestors = folder.ancestors();
    ancestors.find(|ancestor| is_folder(ancestor)).unwrap_or(folder).to_owned()
}

fn space(folder: &Path) -> Result<Space, VolumeFault> {
    let found = statvfs(folder).map_err(|error| VolumeFault::Other(error.desc().to_owned()))?;
    if found.flags().contains(FsFlags::ST_RDONLY) {
        return Err(VolumeFault::ReadOnly);
    }
    match access(folder, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => {}
        // A read-only subvolume of btrfs, in a file system that is not.
        Err(Errno::EROFS) => return Err(VolumeFault::ReadOnly),
        Err(error) => return Err(VolumeFault::Other(error.desc().to_owned())),
    }
    let bytes = Share { free: found.blocks_available(), total: found.blocks() };
    let files = Share { free: found.files_available(), total: found.files() };
    Ok(Space { bytes, files })
}

fn descriptors() -> u64 {
    let Ok((limit, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    limit.saturating_sub(u64::try_from(open).unwrap_or(u64::MAX))
}

/// Returns the number that follows `key` in a file of lines.
fn read_number(path: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Reads `some avg60`; a kernel without PSI has no such file.
fn pressure(path: &str) -> Option<f64> {
    parse_pressure(&fs::read_to_string(path).ok()?)
}

fn parse_pressure(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|word| word.strip_prefix("avg60="))?.parse().ok()
}

fn describe(error: bbot_vm::Error) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W67: the format is that of the kernel's `accounting/psi.rst`.
    #[test]
    fn the_pressure_of_the_last_minute_is_read() {
        let text = "some avg10=1.00 avg60=12.34 avg300=3.00 total=1\n\
                    full avg10=9.00 avg60=9.00 avg300=9.00 total=9\n";
        assert_eq!(parse_pressure(text), Some(12.34));
        assert_eq!(parse_pressure("full avg60=9.00\n"), None);
        assert_eq!(parse_pressure("some avg60=x\n"), None);
    }

    /// W67: a listener is in the way, whatever the address that it listens at.
    #[test]
    fn a_port_in_use_is_noticed() {
        let listener = std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert_eq!(try_listen(local), Err(Errno::EADDRINUSE));
        drop(listener);
        assert_eq!(try_listen(local), Ok(()));
    }

    /// W67
    #[test]
    fn volumes_are_examined() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(existing(&folder.path().join("a/b")), folder.path());
        let space = space(folder.path()).unwrap();
        assert!(space.bytes.free > 0 && space.bytes.total >= space.bytes.free);
        let missing = super::space(&folder.path().join("a"));
        assert!(matches!(missing, Err(VolumeFault::Other(_))));
        assert!(read_number("/proc/meminfo", "MemAvailable:").unwrap() > 0);
        assert!(descriptors() > 0);
    }
}
