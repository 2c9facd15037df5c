//! HTTP requests and answers, as values.

/// A request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The method, such as `POST`.
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// Names in lower case, values without surrounding white space, in the order sent.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of the first header `name` (given in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The part of the target before `?`.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The part of the target after `?`.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Whether it asks for a task.
    pub fn is_task_request(&self) -> bool {
        self.query() == "build-task"
    }

    /// Whether it posts a result.
    pub fn is_result(&self) -> bool {
        self.query() == "build-result"
    }

    /// Whether it uploads an artifact.
    pub fn is_upload(&self) -> bool {
        self.query().starts_with("upload=")
    }

    /// Whether the client wants the connection closed after the answer.
    pub(super) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A manifest, or an empty body, with status 200.
    pub fn manifest(text: impl Into<Vec<u8>>) -> Response {
        let content_type = "text/manifest;charset=utf-8";
        Response { status: 200, content_type, body: text.into() }
    }

    /// An error status with a reason in plain text.
    pub fn refusal(status: u16, reason: &str) -> Response {
        let body = format!("{reason}\n").into_bytes();
        Response { status, content_type: "text/plain;charset=utf-8", body }
    }
}
