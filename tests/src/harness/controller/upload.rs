//! Artifacts: multipart/form-data (RFC 7578), parsed without the agent's code.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::exchange::{Answer, Outcome};
use super::message::{Request, Response};
use super::pairs::{self, pair};

/// An uploaded artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Artifact {
    /// The session that it belongs to.
    pub session: String,
    /// The signature of the session's challenge.
    pub signature: Option<Vec<u8>>,
    /// Its instance.
    pub instance: String,
    /// The name of its file.
    pub name: String,
    /// The content of its file.
    pub archive: Vec<u8>,
    /// The SHA-256 of its file as the form has it, in hexadecimal.
    pub sha256: String,
}

/// The answer to an upload: a manifest.
pub(super) fn answer(status: u16, message: &str) -> Answer {
    let pairs = [pair("status", &status.to_string()), pair("message", message)];
    let response = Response { status, ..Response::manifest(pairs::write(true, &pairs)) };
    (response, Outcome::Refused)
}

impl Artifact {
    /// Parses the form in a request.
    ///
    /// # Errors
    /// If there is no form, or it is not one of an artifact: the reason.
    pub fn parse(request: &Request) -> Result<Artifact, String> {
        let media = request.header("content-type").unwrap_or_default();
        let boundary = media.strip_prefix("multipart/form-data; boundary=").ok_or("no form")?;
        let mut artifact = Artifact::default();
        let mut names = Vec::new();
        for (head, content) in parts(&request.body, boundary)? {
            let name = parameter(&head, "name").ok_or("a field without a name")?;
            let text = || String::from_utf8(content.to_vec()).map_err(|error| error.to_string());
            match name {
                "session" => artifact.session = text()?,
                "instance" => artifact.instance = text()?,
                "sha256sum" => artifact.sha256 = text()?,
                "challenge" => {
                    let bytes = STANDARD.decode(content).map_err(|error| error.to_string())?;
                    artifact.signature = Some(bytes);
                }
                "archive" => {
                    let file = parameter(&head, "filename").ok_or("an archive without a name")?;
                    file.rsplit('/').next().unwrap_or_default().clone_into(&mut artifact.name);
                    artifact.archive = content.to_vec();
                }
                name => return Err(format!("unknown field {name}")),
            }
            names.push(name.to_owned());
        }
        for name in ["session", "instance", "archive", "sha256sum"] {
            if names.iter().filter(|own| *own == name).count() != 1 {
                return Err(format!("{name} is not there once"));
            }
        }
        Ok(artifact)
    }
}

/// The parts of a form: head and content.
fn parts<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<(String, &'a [u8])>, String> {
    let mark = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(&mark.as_bytes()[2..]).ok_or("no first boundary")?;
    let mut parts = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let head = find(part, b"\r\n\r\n").ok_or("a part without a head")?;
        let content = &part[head + 4..];
        let end = find(content, mark.as_bytes()).ok_or("a part without an end")?;
        parts.push((String::from_utf8_lossy(&part[..head]).into_owned(), &content[..end]));
        rest = &content[end + mark.len()..];
    }
    if rest.trim_ascii_end() == b"--" { Ok(parts) } else { Err("no last boundary".to_owned()) }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == wanted[0]) {
        if text[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// A parameter of a part's disposition.
fn parameter<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = head.split_once(&format!("; {name}=\""))?;
    value.split_once('"').map(|(value, _)| value)
}
