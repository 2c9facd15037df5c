//! Files and folders of the agent.

pub(crate) mod digest;
pub(crate) mod runtime_dir;
