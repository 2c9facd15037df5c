//! A build host for one test: btrfs volume, network, `/run`, `/proc`, all its own.

mod holder;
mod inventory;
pub mod layout;
mod machines;
mod namespaces;
mod owner;
mod process;
mod run_folder;
mod scratch;
mod traces;

pub use holder::{hold, init};
pub use inventory::Inventory;
pub use machines::{Disk, MachineSpec};
pub use namespaces::Namespaces;
pub use owner::Farm;
pub use process::Process;
pub use traces::Traces;
