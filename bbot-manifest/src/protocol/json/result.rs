//! Results, and requests with a result.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::protocol::json::check::checked_serde;
use crate::protocol::result::{OperationResult, ResultManifest};
use crate::protocol::result_request::ResultRequest;
use crate::value::base64::{decode_base64, encode_base64};
use crate::value::package_name::PackageName;
use crate::value::result_status::ResultStatus;
use crate::version::PackageVersion;

#[derive(Serialize, Deserialize)]
#[serde(remote = "ResultManifest", rename_all = "kebab-case", deny_unknown_fields)]
struct ResultFields {
    name: PackageName,
    version: PackageVersion,
    status: ResultStatus,
    #[serde(default)]
    results: Vec<OperationResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    worker_checksum: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dependency_checksum: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<String>,
}

checked_serde!(ResultManifest, ResultFields, |read, result| {
    read.dropped.clone_from(&result.dropped);
});

#[derive(Serialize, Deserialize)]
#[serde(remote = "ResultRequest", rename_all = "kebab-case", deny_unknown_fields)]
struct RequestFields {
    session: String,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "base64")]
    challenge: Option<Vec<u8>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_checksum: Option<String>,
    result: ResultManifest,
}

checked_serde!(ResultRequest, RequestFields, |read, request| {
    read.result.dropped.clone_from(&request.result.dropped);
});

/// Bytes as base64, in one line.
mod base64 {
    use super::{Deserialize, Deserializer, Serialize, Serializer, decode_base64, encode_base64};

    #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = bytes.as_deref().map(|bytes| encode_base64(bytes).replace('\n', ""));
        text.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let bytes = text.as_deref().map(decode_base64).transpose();
        bytes.map_err(serde::de::Error::custom)
    }
}
