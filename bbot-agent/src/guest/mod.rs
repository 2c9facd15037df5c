//! One guest, from its start to its end: what bootstraps and builds share.

pub(crate) mod boot;
mod console_log;
mod disk_space;
pub(crate) mod exit;
mod held;
pub(crate) mod hold;
mod network;
pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod sign;
pub(crate) mod tftp_folder;
