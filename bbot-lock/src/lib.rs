//! Locks by which the build agents of a host share its machines.
//!
//! Agents of one *toolchain* use the same machines. The *host lock* of the toolchain is held for
//! moments, while an agent looks at the machines and chooses; a *machine lock* is held for as long
//! as a build takes. A lock file beside the machine says which process has it, and how urgent its
//! task is, so that a more urgent one may interrupt it. The files are those of the C++
//! `bbot-agent`: both may run on one host.
//!
//! ```
//! use bbot_lock::{HostLock, MachineLock, MachineState, probe};
//!
//! let dir = tempfile::tempdir()?;
//! let toolchain = dir.path().join("bbot-agent-public.lock");
//! let machine = dir.path().join("linux-public.lock");
//!
//! let host = HostLock::lock(&toolchain)?;
//! assert_eq!(probe(&host, &machine)?, MachineState::Free);
//! let mut lock = MachineLock::acquire(&host, &machine)?.expect("it was free");
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
//! # The protocol
//!
//! All locks are exclusive `flock(2)` locks on whole files.
//!
//! 1. The host lock comes first. Its file is made once and never removed.
//! 2. Under the host lock: a machine without a lock file is free. One with a file is free if the
//!    file can be locked, which is tried without making it.
//! 3. Under the host lock: a machine lock is taken by opening or making its file and locking it
//!    without waiting. Then the path must still name that very file (device and inode). If not, its
//!    holder has just released it, and all is tried again.
//! 4. Under the host lock: the holder truncates the file and writes `<pid>` (it bootstraps the
//!    machine) or `<pid> <priority>` (it builds). Readers hold the host lock as well, so that they
//!    never see the moment between. That is why [`MachineLock::write`] and [`probe`] want a
//!    [`HostLock`].
//! 5. Without the host lock: the holder may take the priority away, by one truncation to the length
//!    of its pid.
//! 6. Without the host lock: the holder releases the machine. It removes the file, then unlocks it,
//!    in this order.
//!
//! # What it guarantees
//!
//! * One machine has at most one holder, even if its lock file is removed while others open it.
//! * A lock ends with its process, also by SIGKILL, and whatever children that has left behind.
//!   What the file says then is ignored, and overwritten by the next holder.
//! * Whoever has the host lock reads, of each held machine, who holds it: the content is never
//!   empty, nor mixed from two holders.
//! * A content that nobody should have written is never an error: the machine is busy, its holder
//!   unknown.
//!
//! # What it does not
//!
//! * Nothing stops a process that does not follow the protocol. Who may open the host lock's file
//!   can hold it for ever.
//! * `flock(2)` must be a local affair: not on NFS, nor on other network file systems.
//! * A lock is neither upgraded nor shared, and nobody waits for a machine lock: the wait would
//!   have to be made under the host lock.
//! * A process that is killed within the microseconds in which it starts a program keeps its locks
//!   until the kernel has closed that program's copies of the files.
//! * A pid means something in one pid namespace only; agents that share machines share it too.
//!
//! # Errors
//!
//! That somebody else has a lock is a value. An [`Error`] means that a system call failed, or that
//! files keep being replaced; it names the file and the operation.
#![forbid(unsafe_code)]

mod error;
mod flock;
mod holder;
mod host;
mod instance;
mod lock_file;
mod machine;

pub use error::Error;
pub use holder::Holder;
pub use host::HostLock;
pub use instance::InstanceLock;
pub use machine::{Content, MachineLock, MachineState, inspect, probe};

/// Runs the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
