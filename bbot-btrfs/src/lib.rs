//! Btrfs subvolumes as a build agent needs them.
//!
//! A build machine is a subvolume. A build runs in a *snapshot* of it, which is made in an instant,
//! whatever the size, and *deleted* when the build is done. A machine that has been prepared anew
//! takes the name of the old one in one step: it is *published*.
//!
//! ```
//! # mod volume { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/volume/mod.rs")); }
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> { volume::with(|volume| {
//! # let folder = volume.root();
//! let machine = folder.join("linux-public");
//! let working = folder.join("linux-public-1-4242-0");
//! bbot_btrfs::create(&machine)?;
//!
//! bbot_btrfs::snapshot(&machine, &working)?;
//! std::fs::write(working.join("manifest"), ": 1\n")?;
//!
//! let published = bbot_btrfs::publish(&working, &machine)?;
//! assert!(machine.join("manifest").try_exists()?);
//! if published.displaced {
//!     bbot_btrfs::delete(&working)?; // The obsolete one bears this name now.
//! }
//! # assert_eq!(std::fs::read_dir(folder)?.count(), 1);
//! # Ok(()) }) }
//! ```
//!
//! # What it guarantees
//!
//! * [`publish`] is atomic for all who look, and durable when it returns.
//! * [`delete`] deletes nothing but a subvolume, never a folder.
//! * No path makes it panic, and no path is given to a shell or another program.
//!
//! # What it does not
//!
//! * It locks nothing. Two processes that work with one machine agree by other means.
//! * Snapshots are not recursive, and subvolumes below one keep it from being deleted.
//! * A snapshot shares the source's space until it changes; nothing limits what it takes then.
//!
//! # Errors
//!
//! An [`Error`] tells the operation with its paths; its source is the [`Cause`].
//!
//! # Platform
//!
//! Linux with glibc, and libbtrfsutil 1.2 or newer (Debian: `libbtrfsutil-dev`, `libclang-dev` to
//! build). To snapshot and to create needs no privilege but that to write; to delete needs
//! `CAP_SYS_ADMIN` or a volume mounted with `user_subvol_rm_allowed`.
#![forbid(unsafe_code)]

mod error;
mod publication;
mod subvolume;

pub use error::{Cause, Error, Operation};
pub use publication::{Published, publish};
pub use subvolume::{create, delete, is_read_only, is_subvolume, set_read_only, snapshot};

/// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
