//! Files and folders of the agent.

pub(crate) mod runtime_dir;
