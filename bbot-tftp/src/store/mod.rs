//! Storage: the traits that a server reads and writes files through, and folders of the host as
//! an implementation.

mod atomic_file;
mod directory;
mod interface;
mod namespace;
mod new_file;
mod open_file;
mod quota;
mod storage_thread;
mod store_error;

pub use atomic_file::AtomicFile;
pub use directory::DirStore;
pub use interface::{ReadRequest, Sink, Source, Store, WriteRequest};
pub use namespace::{Namespace, WritePolicy};
pub use quota::WriteLimits;
pub use store_error::StoreError;

pub(crate) use interface::read_all;
pub(crate) use storage_thread::StorageThread;
