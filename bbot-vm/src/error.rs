//! Why an operation on a guest or on its network failed.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::exit::GuestExit;
use crate::qmp::QmpError;

/// Why an operation on a guest or on its network failed.
///
/// The text says what was being done, and to what; the cause is the error's
/// [`source`](std::error::Error::source), whose text is not repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(clippy::error_impl_error, reason = "the one error of the crate: `bbot_vm::Error`")]
pub enum Error {
    /// A value of the configuration cannot be used.
    #[error("{what} {value:?} {reason}")]
    Config {
        /// Which value.
        what: &'static str,
        /// The value as it was given.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The user that guests shall run as cannot be used.
    #[error("user {name:?} {reason}")]
    User {
        /// The user's name or number.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file, folder or socket could not be prepared.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was being done, as a verb phrase: `open disk image`.
        operation: &'static str,
        /// The file, folder or socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A network interface could not be prepared.
    #[error("cannot {operation} network interface {interface:?}")]
    Interface {
        /// What was being done, as a verb phrase: `read the IPv4 address of`.
        operation: &'static str,
        /// The name of the interface.
        interface: String,
        /// The system's error.
        source: io::Error,
    },
    /// The bridge cannot be used.
    #[error("bridge {bridge:?} {problem}")]
    Bridge {
        /// The name of the bridge.
        bridge: String,
        /// What is wrong with it.
        problem: BridgeProblem,
    },
    /// The tap of a guest that runs has been removed, renamed or replaced.
    #[error("tap {tap:?} is gone")]
    TapGone {
        /// The name of the tap.
        tap: String,
    },
    /// The tap of a guest that runs was attached to the bridge, and does not stay there.
    #[error("tap {tap:?} does not stay attached to bridge {bridge:?}")]
    TapDetached {
        /// The name of the tap.
        tap: String,
        /// The name of the bridge.
        bridge: String,
    },
    /// The nft tables could not be read back.
    #[error("cannot read nft table {table}")]
    TablesRead {
        /// The name of the tables.
        table: String,
        /// The system's error.
        source: io::Error,
    },
    /// `nft` made the tables, but the kernel does not have them as they were made.
    #[error("nft table {table} does not stay as it was made")]
    TablesMissing {
        /// The name of the tables.
        table: String,
    },
    /// `nft` could not be run.
    #[error("cannot run nft for table {table}")]
    NftRun {
        /// The name of the tables that were to be changed.
        table: String,
        /// The system's error.
        source: io::Error,
    },
    /// `nft` refused its input.
    #[error("nft for table {table} ended with {status}: {}", stderr.trim_end())]
    Nft {
        /// The name of the tables that were to be changed.
        table: String,
        /// How `nft` ended.
        status: ExitStatus,
        /// What `nft` wrote to standard error.
        stderr: String,
    },
    /// The hypervisor could not be executed.
    #[error("cannot execute {} as user {user:?}", program.display())]
    Exec {
        /// The program.
        program: PathBuf,
        /// The name of the user that it was to run as.
        user: String,
        /// The system's error.
        source: io::Error,
    },
    /// The hypervisor was executed, but its guest did not start.
    #[error("{} did not start a guest: {exit}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What failed on the monitor connection.
        source: QmpError,
        /// How the process ended, with what it wrote to standard error.
        exit: GuestExit,
    },
    /// The hypervisor was executed and answers, but the processor of its guest does not run.
    #[error("{} has started a guest that does not run", program.display())]
    Stalled {
        /// The program.
        program: PathBuf,
    },
    /// A monitor command failed.
    #[error("monitor command {command} failed")]
    Qmp {
        /// The command.
        command: &'static str,
        /// Why it failed.
        source: QmpError,
    },
    /// A process was killed, but has not ended.
    #[error("process {pid} was killed and is still there after {limit:?}")]
    StillAlive {
        /// The process's number.
        pid: i32,
        /// How long its end was waited for.
        limit: Duration,
    },
}

/// Why a bridge cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeProblem {
    /// There is no interface of that name.
    #[error("does not exist")]
    Missing,
    /// It is not a bridge, but another interface.
    #[error("is not a bridge")]
    OtherKind,
    /// It is down.
    #[error("is down")]
    Down,
    /// It has no IPv4 address.
    #[error("has no IPv4 address")]
    NoAddress,
    /// It has another IPv4 address than when the guest was started.
    #[error("has another IPv4 address, {0}")]
    OtherAddress(Ipv4Addr),
}

impl Error {
    /// Returns what makes a system's error into one about `path`.
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl Fn(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { operation, path: path.clone(), source }
    }

    /// Returns what makes a system's error into one about the network interface `name`.
    pub(crate) fn interface(
        operation: &'static str,
        name: impl Into<String>,
    ) -> impl Fn(io::Error) -> Error {
        let interface = name.into();
        move |source| Error::Interface { operation, interface: interface.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    /// The texts of the other variants are tested where they are returned.
    #[test]
    fn texts_of_what_tests_cannot_bring_about() {
        for (error, expected) in [
            (
                Error::NftRun {
                    table: "bbot-public-1".into(),
                    source: io::ErrorKind::NotFound.into(),
                },
                "cannot run nft for table bbot-public-1",
            ),
            (
                Error::Nft {
                    table: "bbot-public-1".into(),
                    status: ExitStatus::from_raw(0x100),
                    stderr: "Error: syntax\n".into(),
                },
                "nft for table bbot-public-1 ended with exit status: 1: Error: syntax",
            ),
            (
                Error::StillAlive { pid: 7, limit: Duration::from_secs(10) },
                "process 7 was killed and is still there after 10s",
            ),
        ] {
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn causes_are_sources_and_are_not_repeated() {
        let cause = || io::Error::other("the cause");
        for error in [
            Error::io("open", "/x")(cause()),
            Error::interface("create", "tap1")(cause()),
            Error::NftRun { table: "bbot-x".into(), source: cause() },
            Error::Exec { program: "/x".into(), user: "nobody".into(), source: cause() },
            Error::Qmp { command: "stop", source: QmpError::Closed },
        ] {
            let source = error.source().unwrap().to_string();
            assert!(!error.to_string().contains(&source), "{error}");
        }
        assert!(QmpError::Io(cause()).source().is_some());
    }
}
