//! Locks by which the build agents of a host share its machines.
//!
//! Agents of one *toolchain* use the same machines. The *host lock* of the toolchain is held for
//! moments, while an agent examines the machines and chooses one; a *machine lock* is held for as
//! long as a build takes. A lock file beside the machine names the process that has it and the
//! priority of its task, so that a process with a more urgent one may interrupt it. The *instance
//! lock* makes a process the only one of its toolchain and instance number. The files are those of
//! the C++ `bbot-agent`: both may run on one host. The [`protocol`] is described in full.
//!
//! A machine is taken for a task:
//!
//! ```
//! use bbot_lock::{Acquired, HostLock, MachineLock, MachineState, probe};
//!
//! let dir = tempfile::tempdir()?;
//! let toolchain = dir.path().join("bbot-agent-public.lock");
//! let machine = dir.path().join("linux-public.lock");
//!
//! let host = HostLock::acquire(&toolchain)?;
//! assert_eq!(probe(&host, &machine)?, MachineState::Free);
//! let Acquired::Lock(mut lock) = MachineLock::try_acquire(&host, &machine)? else {
//!     panic!("the machine was free");
//! };
//! lock.write(&host, Some(100))?;
//! let MachineState::Busy(Some(holder)) = probe(&host, &machine)? else { panic!() };
//! assert_eq!(holder.priority, Some(100));
//! drop(host);
//!
//! // ... the build ...
//! lock.release()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The other uses have examples of their own: [`InstanceLock`] for one process per instance,
//! [`interrupt`] to have other processes give up their tasks, [`holders`] to display the holders of
//! locks without taking one.
//!
//! # Words
//!
//! To *acquire* a lock is to wait until it is free and take it; to *try to acquire* it is to take
//! it if it is free, without waiting. To *release* a machine lock is to remove its file and free
//! it; host and instance locks are freed by a drop. To *probe* a machine is to find out under the
//! host lock whether it is locked.
//!
//! # What it guarantees
//!
//! * One machine has at most one holder, even if its lock file is removed while others open it.
//! * A lock ends with its process, even one that is killed (SIGKILL) and has left child processes.
//!   The content of its file is ignored then, and overwritten by the next holder.
//! * A process that has the host lock reads, for each held machine, the holder: the content is
//!   never empty, nor mixed from two holders.
//! * A malformed content is never an error: the machine is busy, its holder unknown.
//!
//! # What it does not guarantee
//!
//! * Nothing stops a process that does not follow the protocol. A process that may open the host
//!   lock's file can hold it for ever.
//! * `flock(2)` must be local: not on NFS, nor on other network file systems.
//! * A lock is neither upgraded nor shared, and no process waits for a machine lock: it would have
//!   to wait under the host lock.
//! * A process that is killed within the microseconds in which it starts a program keeps its locks
//!   until the kernel has closed that program's copies of the files.
//! * A pid has a meaning in one pid namespace only; of agents in several namespaces, none
//!   interrupts one of another namespace.
//!
//! # Errors
//!
//! That another process has a lock is a value. An [`Error`] means that a system call failed, or
//! that files keep being replaced; it names the operation and the file.
//!
//! # Platform
//!
//! Linux 5.8 or newer (`pidfd_open(2)`, and `statx(2)` with `STATX_MNT_ID`).
#![forbid(unsafe_code)]

mod acquired;
mod error;
mod flock;
mod holder;
pub mod holders;
mod host;
mod instance;
pub mod interrupt;
mod lock_file;
mod machine;

pub use acquired::Acquired;
pub use error::Error;
pub use holder::{Holder, ParseHolderError};
pub use host::HostLock;
pub use instance::InstanceLock;
pub use machine::{MachineLock, MachineState, probe, probe_and_tidy};

#[doc = include_str!("../docs/protocol.md")]
pub mod protocol {}

/// Runs the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
