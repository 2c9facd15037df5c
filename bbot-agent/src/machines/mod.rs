//! The machines of the host: their folders, and which of them can take tasks.

pub(crate) mod complaints;
pub(crate) mod entry;
pub(crate) mod enumerate;
pub(crate) mod fake;
pub(crate) mod freshness;
pub(crate) mod layout;
pub(crate) mod mark;
pub(crate) mod offer;
pub(crate) mod ownership;
pub(crate) mod snapshot;
pub(crate) mod view;
