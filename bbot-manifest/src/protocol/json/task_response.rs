//! Responses to requests for a task.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::protocol::json::check::{checked, matching};
use crate::protocol::manifest::Manifest;
use crate::protocol::task::TaskManifest;
use crate::protocol::task_response::TaskResponse;
use crate::text::Lines;

/// Unknown fields are ignored, as unknown values are.
#[derive(Serialize, Deserialize)]
#[serde(remote = "TaskResponse", rename_all = "kebab-case")]
struct ResponseFields {
    session: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    challenge: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result_url: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    upload_urls: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_checksum: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<TaskManifest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task_text: Option<String>,
}

impl Serialize for TaskResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ResponseFields::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for TaskResponse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let response = ResponseFields::deserialize(deserializer)?;
        let Some(task_text) = &response.task_text else {
            return checked(response, |read, _| read.task_text = None);
        };
        // The text of the task must be that of `task`.
        let head = Self { task: None, task_text: None, ..response.clone() };
        let head = head.to_text(Lines::Long);
        let head = head.map_err(|error| serde::de::Error::custom(error.message()))?;
        let text = format!("{head}{task_text}");
        matching(response, &text, |_, _| {})
    }
}
