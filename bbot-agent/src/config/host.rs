//! Properties of the host.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::ConfigError;

/// Returns the host's name.
pub(super) fn name() -> Result<String, ConfigError> {
    let what = "the name of this host";
    let name = nix::unistd::gethostname()
        .map_err(|error| ConfigError::Host { what, source: error.into() })?;
    name.into_string().ok().filter(|name| !name.is_empty()).ok_or_else(|| {
        let source = io::Error::new(io::ErrorKind::InvalidData, "not a readable text");
        ConfigError::Host { what, source }
    })
}

/// Returns the address at which other hosts reach this one (W31), as the original agent does.
pub(super) fn address() -> Result<IpAddr, ConfigError> {
    let what = "an IPv4 address for --interactive-address";
    let interfaces =
        getifaddrs().map_err(|error| ConfigError::Host { what, source: error.into() })?;
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?.as_sockaddr_in()?.ip();
        Some((interface.flags, address))
    });
    first_public(addresses).map(IpAddr::V4).ok_or_else(|| {
        let source = io::Error::new(io::ErrorKind::NotFound, "no interface that is up has one");
        ConfigError::Host { what, source }
    })
}

/// Returns the first address of an interface that is up and not the loopback.
fn first_public(
    addresses: impl IntoIterator<Item = (InterfaceFlags, Ipv4Addr)>,
) -> Option<Ipv4Addr> {
    let is_public = |flags: InterfaceFlags| {
        flags.contains(InterfaceFlags::IFF_UP) && !flags.contains(InterfaceFlags::IFF_LOOPBACK)
    };
    addresses.into_iter().find(|(flags, _)| is_public(*flags)).map(|(_, address)| address)
}

/// Returns `qemu-system-x86_64`, or `kvm`, as the original agent, if only that is in the PATH (D5).
pub(super) fn default_hypervisor() -> &'static str {
    const QEMU: &str = "qemu-system-x86_64";
    const KVM: &str = "kvm";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let exists =
        |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !exists(QEMU) && exists(KVM) { KVM } else { QEMU }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W31
    #[test]
    fn first_address_that_is_up_and_not_the_loopback() {
        let (up, loopback) = (InterfaceFlags::IFF_UP, InterfaceFlags::IFF_LOOPBACK);
        let address = |last| Ipv4Addr::new(192, 0, 2, last);
        let table = [
            (up | loopback, address(1)),
            (InterfaceFlags::empty(), address(2)),
            (up, address(3)),
            (up, address(4)),
        ];
        assert_eq!(first_public(table), Some(address(3)));
        assert_eq!(first_public(table.into_iter().take(2)), None);
    }

    #[test]
    fn host_has_a_name() {
        assert!(!name().unwrap().is_empty());
    }
}
