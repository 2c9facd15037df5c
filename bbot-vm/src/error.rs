//! Why a guest, its network or its monitor did not do as told.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::guest::GuestExit;
use crate::qmp::QmpError;

/// Why an operation on a guest or on its network failed.
#[derive(Debug)]
#[non_exhaustive]
#[expect(clippy::error_impl_error, reason = "the one error of the crate: `bbot_vm::Error`")]
pub enum Error {
    /// A value of the configuration cannot be used.
    Config {
        /// Which value.
        what: &'static str,
        /// The value as it was given.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The user that guests shall run as cannot be used.
    User {
        /// The user's name or number.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file, folder or socket could not be prepared.
    Io {
        /// What was being done, as a verb phrase: `open disk image`.
        operation: &'static str,
        /// The file, folder or socket.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A network interface could not be prepared.
    Interface {
        /// What was being done, as a verb phrase: `read the IPv4 address of`.
        operation: &'static str,
        /// The name of the interface.
        interface: String,
        /// The system's answer.
        source: io::Error,
    },
    /// `nft` could not be run.
    NftRun {
        /// The tables that were to be changed.
        table: String,
        /// The system's answer.
        source: io::Error,
    },
    /// `nft` refused what it was told.
    Nft {
        /// The tables that were to be changed.
        table: String,
        /// How `nft` ended.
        status: ExitStatus,
        /// What `nft` said.
        stderr: String,
    },
    /// The hypervisor could not be executed.
    Exec {
        /// The program.
        program: PathBuf,
        /// The name of the user that it was to run as.
        user: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The hypervisor was executed, but did not get its guest running.
    Start {
        /// The program.
        program: PathBuf,
        /// What was missed on the monitor.
        source: QmpError,
        /// How it ended, with what it said on stderr.
        exit: GuestExit,
    },
    /// A monitor command failed.
    Qmp {
        /// The command.
        command: &'static str,
        /// Why.
        source: QmpError,
    },
    /// A process was killed, but is not gone.
    StillAlive {
        /// The process.
        pid: i32,
        /// How long its end was waited for.
        limit: Duration,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Config { what, value, reason } => write!(f, "{what} {value:?} {reason}"),
            Error::User { name, reason } => write!(f, "user {name:?} {reason}"),
            Error::Io { operation, path, .. } => {
                write!(f, "cannot {operation} {}", path.display())
            }
            Error::Interface { operation, interface, .. } => {
                write!(f, "cannot {operation} network interface {interface:?}")
            }
            Error::NftRun { table, .. } => write!(f, "cannot run nft for table {table}"),
            Error::Nft { table, status, stderr } => {
                write!(f, "nft for table {table} ended with {status}: {}", stderr.trim_end())
            }
            Error::Exec { program, user, .. } => {
                write!(f, "cannot execute {} as user {user:?}", program.display())
            }
            Error::Start { program, exit, .. } => {
                write!(f, "{} did not start a guest: {exit}", program.display())
            }
            Error::Qmp { command, .. } => write!(f, "monitor command {command} failed"),
            Error::StillAlive { pid, limit } => {
                write!(f, "process {pid} was killed and is still there after {limit:?}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. }
            | Error::Interface { source, .. }
            | Error::NftRun { source, .. }
            | Error::Exec { source, .. } => Some(source),
            Error::Start { source, .. } | Error::Qmp { source, .. } => Some(source),
            Error::Config { .. }
            | Error::User { .. }
            | Error::Nft { .. }
            | Error::StillAlive { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    /// The other variants' texts are tried where they come from.
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
    fn an_exit_is_told_in_one_line() {
        let exit = |code, signal, stderr: &str| {
            GuestExit { code, signal, stderr: stderr.into() }.to_string()
        };
        assert_eq!(exit(Some(0), None, ""), "exit code 0");
        assert_eq!(exit(Some(1), None, "bad\n"), "exit code 1: bad");
        assert_eq!(exit(None, Some(9), "\n"), "ended by signal 9");
        assert_eq!(exit(None, None, ""), "ended in an unknown way");
    }
}
