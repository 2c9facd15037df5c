//! Who is at fault when a guest cannot be run: the host, or one of its machines (W68).

use std::fmt;
use std::io;

use nix::errno::Errno;

/// Who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The host: every machine would fail alike.
    Host,
    /// The machine.
    Machine,
    /// Either: a host that is fit is not at fault.
    Unclear,
}

/// The context of an error that is the host's, whatever its cause.
#[derive(Debug)]
pub(crate) struct OfHost(String);

impl OfHost {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for OfHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OfHost {}

/// Decides by the kinds of an error and of its causes.
pub(crate) fn of(error: &anyhow::Error) -> Fault {
    if error.downcast_ref::<OfHost>().is_some() || error.chain().any(is_shortage) {
        return Fault::Host;
    }
    let mut causes = error.chain();
    causes.find_map(|cause| cause.downcast_ref().map(of_guest)).unwrap_or(Fault::Machine)
}

/// Of errors that say that the host lacks something, or that its disk fails.
fn is_shortage(cause: &(dyn std::error::Error + 'static)) -> bool {
    let io = cause.downcast_ref().and_then(io::Error::raw_os_error).map(Errno::from_raw);
    let btrfs = cause.downcast_ref().and_then(bbot_btrfs::Error::raw_os_error).map(Errno::from_raw);
    let errno = io.or(btrfs).or_else(|| cause.downcast_ref().copied());
    matches!(
        errno,
        Some(
            Errno::ENOSPC
                | Errno::EDQUOT
                | Errno::EROFS
                | Errno::EIO
                | Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOMEM
                | Errno::EAGAIN
        )
    )
}

fn of_guest(error: &bbot_vm::Error) -> Fault {
    use bbot_vm::Error as E;
    match error {
        // Its options, its disk.
        E::Config { .. } => Fault::Machine,
        // Options that the hypervisor refuses, or a hypervisor that cannot start any guest; a file
        // of the machine, or of the instance.
        E::Start { .. } | E::Stalled { .. } | E::Io { .. } => Fault::Unclear,
        _ => Fault::Host,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use bbot_vm::BridgeProblem;

    use super::*;

    fn os(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno as i32)
    }

    /// W68: by the kind of the error, however deep, not by its text.
    #[test]
    fn the_kind_of_an_error_decides() {
        let guest = |error: bbot_vm::Error| of(&anyhow::Error::new(error).context("cannot build"));
        let bridge = bbot_vm::Error::Bridge { bridge: "br1".into(), problem: BridgeProblem::Down };
        assert_eq!(guest(bridge), Fault::Host);
        assert_eq!(guest(bbot_vm::Error::TapGone { tap: "tap1".into() }), Fault::Host);
        let user = bbot_vm::Error::User { name: "x".into(), reason: "does not exist" };
        assert_eq!(guest(user), Fault::Host);
        let stalled = bbot_vm::Error::Stalled { program: "qemu".into() };
        assert_eq!(guest(stalled), Fault::Unclear);
        let option = ("guest option", String::new(), "is empty");
        let config = bbot_vm::Error::Config { what: option.0, value: option.1, reason: option.2 };
        assert_eq!(guest(config), Fault::Machine);
        let io = |errno| bbot_vm::Error::Io {
            operation: "open disk image",
            path: "disk.img".into(),
            source: os(errno),
        };
        assert_eq!(guest(io(Errno::ENOENT)), Fault::Unclear);
        assert_eq!(guest(io(Errno::EROFS)), Fault::Host);
    }

    /// W68: what the host lacks is lacking for every machine.
    #[test]
    fn a_shortage_is_the_hosts() {
        for errno in [Errno::ENOSPC, Errno::EROFS, Errno::EMFILE, Errno::EDQUOT, Errno::EIO] {
            assert_eq!(of(&anyhow::Error::new(os(errno)).context("a")), Fault::Host, "{errno}");
            assert_eq!(of(&anyhow::Error::new(errno).context("a")), Fault::Host, "{errno}");
        }
        for errno in [Errno::ENOENT, Errno::EACCES, Errno::EINVAL] {
            assert_eq!(of(&anyhow::Error::new(os(errno)).context("a")), Fault::Machine, "{errno}");
        }
        assert_eq!(of(&anyhow::anyhow!("no space is left on the host's disk")), Fault::Machine);
    }

    /// W68
    #[test]
    fn the_context_of_the_host_is_found_beneath_others() {
        let failed: Result<(), _> = Err(os(Errno::EADDRINUSE));
        let error = failed.context(OfHost::new("cannot serve TFTP")).context("cannot build");
        let error = error.unwrap_err();
        assert_eq!(of(&error), Fault::Host);
        assert!(format!("{error:#}").starts_with("cannot build: cannot serve TFTP: "));
        assert_eq!(of(&anyhow::Error::new(OfHost::new("full"))), Fault::Host);
    }
}
