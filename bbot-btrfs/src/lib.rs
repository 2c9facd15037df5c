//! Btrfs subvolumes as a build agent needs them: snapshot, delete, atomic replace.
//!
//! A *machine* is a disk image in a subvolume. A build runs in a *snapshot* of it, which is taken
//! in an instant, whatever the size, and *deleted* after the build. A machine that has been
//! prepared anew takes the name of the old one in one step: it is *published*.
//!
//! A throw-away snapshot, deleted when its value is dropped:
//!
//! ```
//! # mod volume { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/volume/mod.rs")); }
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> { volume::with(|volume| {
//! # let folder = volume.root();
//! use bbot_btrfs::{As, Snapshot};
//!
//! let machine = folder.join("linux-public");
//! let working = folder.join("linux-public-1-4242-0");
//! # bbot_btrfs::create(&machine)?;
//!
//! let snapshot = Snapshot::take(&machine, As(&working), |error| eprintln!("{error}"))?;
//! // ... the build changes what is in snapshot.path() ...
//! snapshot.delete()?;
//! # assert_eq!(std::fs::read_dir(folder)?.count(), 1);
//! # Ok(()) }) }
//! ```
//!
//! A snapshot that replaces its machine:
//!
//! ```
//! # mod volume { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/volume/mod.rs")); }
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> { volume::with(|volume| {
//! # let folder = volume.root();
//! # use bbot_btrfs::{As, Snapshot};
//! # let machine = folder.join("linux-public");
//! # let working = folder.join("linux-public-1-4242-0");
//! bbot_btrfs::create(&machine)?;
//!
//! let snapshot = Snapshot::take(&machine, As(&working), |error| eprintln!("{error}"))?;
//! std::fs::write(snapshot.path().join("manifest"), ": 1\n")?;
//! std::fs::File::open(snapshot.path().join("manifest"))?.sync_all()?;
//! snapshot.publish(&machine)?;
//! assert!(machine.join("manifest").try_exists()?);
//! # assert_eq!(std::fs::read_dir(folder)?.count(), 1);
//! # Ok(()) }) }
//! ```
//!
//! The same step by step, for a caller that keeps the obsolete subvolume for a while:
//!
//! ```
//! # mod volume { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/volume/mod.rs")); }
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> { volume::with(|volume| {
//! # let folder = volume.root();
//! # use bbot_btrfs::As;
//! # let machine = folder.join("linux-public");
//! # let working = folder.join("linux-public-1-4242-0");
//! # bbot_btrfs::create(&machine)?;
//! bbot_btrfs::snapshot(&machine, As(&working))?;
//! let published = bbot_btrfs::publish(&working, As(&machine))?;
//! assert!(published.displaced);
//! bbot_btrfs::delete(&working)?; // The obsolete one has this name now.
//! # assert_eq!(std::fs::read_dir(folder)?.count(), 1);
//! # Ok(()) }) }
//! ```
//!
//! # What it guarantees
//!
//! * [`publish`] is atomic for every process that opens the name, and durable when it returns.
//! * [`delete`] deletes nothing but a subvolume, never a folder.
//! * [`publish`] displaces nothing but a subvolume, never a folder, a file or a symbolic link.
//! * No path makes it panic, and no path is given to a shell or another program.
//!
//! # What it does not guarantee
//!
//! * It locks nothing. Two processes that work with one machine must agree by other means.
//! * Snapshots are not recursive, and a subvolume with subvolumes below it cannot be deleted.
//! * A snapshot shares the space of its source until either changes; nothing limits the space that
//!   it takes then.
//! * A process that is killed leaves its snapshots on disk: see [`Snapshot`].
//!
//! # Errors
//!
//! An [`Error`] names the [`Operation`] with its paths; its source is the [`Cause`].
//!
//! # Platform
//!
//! Linux with glibc, and libbtrfsutil 1.2 or newer (Debian: `libbtrfsutil-dev`, `libclang-dev` to
//! build). To snapshot and to create needs no privilege but that to write; to delete needs
//! `CAP_SYS_ADMIN` or a volume mounted with `user_subvol_rm_allowed`.
#![forbid(unsafe_code)]

mod error;
mod identity;
mod owned;
mod publication;
mod subvolume;
mod target;

pub use error::{Cause, Error, Operation};
pub use identity::{Identity, identity};
pub use owned::Snapshot;
pub use publication::{Published, publish};
pub use subvolume::{create, delete, is_read_only, is_subvolume, set_read_only, snapshot};
pub use target::As;

/// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
