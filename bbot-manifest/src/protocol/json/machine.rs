//! Machines.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::protocol::json::check::{checked, checked_serde};
use crate::protocol::machine::{MachineHeader, MachineManifest};
use crate::value::mac_address::MacAddress;
use crate::value::machine_name::MachineName;
use crate::value::machine_role::MachineRole;
use crate::value::machine_type::MachineType;

#[derive(Serialize, Deserialize)]
#[serde(remote = "MachineHeader", rename_all = "kebab-case", deny_unknown_fields)]
struct HeaderFields {
    id: String,
    name: MachineName,
    summary: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<MachineRole>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ram_minimum: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ram_maximum: Option<u64>,
}

checked_serde!(MachineHeader, HeaderFields, |_, _| {});

/// The fields of a machine: those of its header among the others, as in the manifest.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct MachineFields {
    id: String,
    name: MachineName,
    summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<MachineRole>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ram_minimum: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ram_maximum: Option<u64>,
    #[serde(rename = "type")]
    kind: MachineType,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<MacAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<String>,
}

impl From<MachineManifest> for MachineFields {
    fn from(manifest: MachineManifest) -> Self {
        let MachineManifest { header, kind, mac, options, changes } = manifest;
        let MachineHeader { id, name, summary, role, ram_minimum, ram_maximum } = header;
        Self { id, name, summary, role, ram_minimum, ram_maximum, kind, mac, options, changes }
    }
}

impl From<MachineFields> for MachineManifest {
    fn from(fields: MachineFields) -> Self {
        let MachineFields { id, name, summary, role, ram_minimum, ram_maximum, .. } = fields;
        let header = MachineHeader { id, name, summary, role, ram_minimum, ram_maximum };
        let MachineFields { kind, mac, options, changes, .. } = fields;
        Self { header, kind, mac, options, changes }
    }
}

impl Serialize for MachineManifest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        MachineFields::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MachineManifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked(MachineFields::deserialize(deserializer)?.into(), |_, _| {})
    }
}
