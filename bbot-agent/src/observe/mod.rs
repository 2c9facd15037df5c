//! What an instance shows to the operator and the service manager.

pub(crate) mod held;
pub(crate) mod host_status;
pub(crate) mod status;
pub(crate) mod systemd;
