//! Requests for a task.

use serde::{Deserialize, Serialize};

use crate::protocol::json::check::checked_serde;
use crate::protocol::machine::MachineHeader;
use crate::protocol::task_request::TaskRequest;
use crate::value::interactive_mode::InteractiveMode;
use crate::version::StandardVersion;

#[derive(Serialize, Deserialize)]
#[serde(remote = "TaskRequest", rename_all = "kebab-case", deny_unknown_fields)]
struct RequestFields {
    agent: String,
    toolchain_name: String,
    toolchain_version: StandardVersion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interactive_mode: Option<InteractiveMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interactive_login: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auxiliary_ram: Option<u64>,
    machines: Vec<MachineHeader>,
}

checked_serde!(TaskRequest, RequestFields, |_, _| {});
