//! Toolchains and bootstrapped machines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::protocol::bootstrap::{BootstrapManifest, BootstrappedMachine};
use crate::protocol::json::check::checked_serde;
use crate::protocol::machine::MachineManifest;
use crate::protocol::toolchain::ToolchainManifest;
use crate::version::StandardVersion;

#[derive(Serialize, Deserialize)]
#[serde(remote = "ToolchainManifest", deny_unknown_fields)]
struct ToolchainFields {
    id: String,
}

checked_serde!(ToolchainManifest, ToolchainFields, |_, _| {});

/// Unknown fields are ignored, as unknown values are.
#[derive(Serialize, Deserialize)]
#[serde(remote = "BootstrapManifest", rename_all = "kebab-case")]
struct BootstrapFields {
    versions: BTreeMap<String, StandardVersion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_version: Option<StandardVersion>,
}

checked_serde!(BootstrapManifest, BootstrapFields, |_, _| {});

#[derive(Serialize, Deserialize)]
#[serde(remote = "BootstrappedMachine", deny_unknown_fields)]
struct BootstrappedFields {
    machine: MachineManifest,
    toolchain: ToolchainManifest,
    bootstrap: BootstrapManifest,
}

checked_serde!(BootstrappedMachine, BootstrappedFields, |_, _| {});
