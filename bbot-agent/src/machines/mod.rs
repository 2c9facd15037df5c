//! The machines of the host: where they are, which serve, how they are bootstrapped.

pub(crate) mod complaints;
pub(crate) mod enumerate;
pub(crate) mod fake;
pub(crate) mod freshness;
pub(crate) mod layout;
pub(crate) mod offer;
pub(crate) mod snapshot;
pub(crate) mod view;
