//! What an operator and the service manager see of an instance.

pub(crate) mod held;
pub(crate) mod host_status;
pub(crate) mod status;
pub(crate) mod systemd;
