//! What the response to a POST means, and whether it is the controller's own (W61). Pure.

use std::time::Duration;

use bbot_manifest::{Event, Parser};

/// The outcome of posting a result or an artifact (W33, W38, W61).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PostOutcome {
    /// The controller has accepted it.
    Accepted,
    /// It may be accepted later, at the earliest after `retry_after`.
    Transient { reason: String, retry_after: Option<Duration> },
    /// The answer may be that of a proxy or of a login page, or a refusal by the controller. The
    /// reason does not repeat the status.
    Foreign { status: u16, reason: String, retry_after: Option<Duration> },
    /// The controller itself will never accept it; the reason does not repeat the status.
    Refused { status: u16, reason: String },
}

/// The body with which a controller answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnBody {
    /// None: the answer to a result.
    Empty,
    /// A manifest with the status of the answer: the answer to an artifact.
    Manifest,
}

/// Classifies a response: `name` is that of its status, `body` the beginning of its content.
pub(super) fn classify(
    own: OwnBody,
    (status, name): (u16, &str),
    body: &[u8],
    retry_after: Option<Duration>,
) -> PostOutcome {
    let manifest = StatusManifest::parse(body).filter(|_| own == OwnBody::Manifest);
    let is_success = (200..300).contains(&status);
    match manifest {
        // A controller repeats the status in the manifest, so that this is its own.
        Some(manifest) if is_success || manifest.status == status => manifest.outcome(retry_after),
        _ if is_transient(status) => transient(status, &page_line(body), retry_after),
        _ if is_success && own == OwnBody::Empty && body.is_empty() => PostOutcome::Accepted,
        _ if is_success => {
            let expected = match own {
                OwnBody::Empty => "empty answer",
                OwnBody::Manifest => "manifest",
            };
            let reason = format!("not the {expected} of a controller, but: {}", page_line(body));
            PostOutcome::Foreign { status, reason, retry_after }
        }
        _ => {
            let line = Some(page_line(body)).filter(|line| !line.is_empty());
            let reason = line.unwrap_or_else(|| name.to_owned());
            PostOutcome::Foreign { status, reason, retry_after }
        }
    }
}

/// W38: the statuses of a server that cannot serve now.
fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

fn transient(status: u16, message: &str, retry_after: Option<Duration>) -> PostOutcome {
    let colon = if message.is_empty() { "" } else { ": " };
    PostOutcome::Transient { reason: format!("HTTP {status}{colon}{message}"), retry_after }
}

/// The answer of a controller to an artifact (docs/controller-protocol.md).
#[derive(Debug)]
struct StatusManifest {
    status: u16,
    message: String,
}

impl StatusManifest {
    /// Parses the answer; `None` if it is another text.
    fn parse(body: &[u8]) -> Option<Self> {
        let (mut status, mut message) = (None, String::new());
        for event in Parser::new(body) {
            match event.ok()? {
                Event::Pair(pair) if pair.name == "status" => status = pair.value.parse().ok(),
                Event::Pair(pair) if pair.name == "message" => message = pair.value.into_owned(),
                _ => {}
            }
        }
        Some(Self { status: status?, message: printable(&message) })
    }

    fn outcome(self, retry_after: Option<Duration>) -> PostOutcome {
        match self.status {
            200..300 => PostOutcome::Accepted,
            status if is_transient(status) => transient(status, &self.message, retry_after),
            status => PostOutcome::Refused { status, reason: self.message },
        }
    }
}

/// Returns whether a text may be a stream of manifests: what precedes the first `:` is comments and
/// blank lines.
pub(super) fn may_be_manifest(text: &[u8]) -> bool {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut lines = lines.skip_while(|line| line.is_empty() || line.starts_with(b"#"));
    lines.next().is_some_and(|line| line.starts_with(b":"))
}

/// Returns the first line of a page, or the message of a manifest; empty if there is none.
pub(super) fn page_line(page: &[u8]) -> String {
    let text = String::from_utf8_lossy(page);
    let mut lines = text.lines().map(str::trim);
    let line = match lines.find(|line| !line.is_empty()) {
        Some(": 1") => lines.find_map(|line| line.strip_prefix("message:")).map(str::trim),
        line => line,
    };
    printable(line.unwrap_or_default())
}

fn printable(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTML: &[u8] = b"<!DOCTYPE html>\n<title>Log in</title>\n";

    fn class(own: OwnBody, status: u16, body: &[u8]) -> &'static str {
        match classify(own, (status, "Name"), body, None) {
            PostOutcome::Accepted => "accepted",
            PostOutcome::Transient { .. } => "transient",
            PostOutcome::Foreign { .. } => "foreign",
            PostOutcome::Refused { .. } => "refused",
        }
    }

    /// W38, W61: only the empty answer of success takes a result, and no single answer refuses it.
    #[test]
    fn a_result_is_taken_by_an_empty_answer() {
        let manifest = b": 1\nstatus: 200\nmessage: ok\n";
        for status in [200, 201, 202, 204, 226] {
            assert_eq!(class(OwnBody::Empty, status, b""), "accepted", "{status}");
            for body in [HTML, b" ", b"\n", b"OK", manifest] {
                assert_eq!(class(OwnBody::Empty, status, body), "foreign", "{status}");
            }
        }
        for status in [100, 101, 300, 302, 304, 400, 401, 403, 404, 407, 410, 413, 421, 451, 499] {
            for body in [HTML, b"", b": 1\nstatus: 404\nmessage: no\n"] {
                assert_eq!(class(OwnBody::Empty, status, body), "foreign", "{status}");
            }
        }
        for status in [408, 429, 500, 501, 502, 503, 504, 511, 599] {
            for body in [HTML, b"", manifest] {
                assert_eq!(class(OwnBody::Empty, status, body), "transient", "{status}");
            }
        }
    }

    /// W61: an artifact is taken, or refused for good, by a manifest that gives its status.
    #[test]
    fn an_artifact_is_judged_by_a_manifest() {
        let table: [(u16, &[u8], &str); 17] = [
            (200, b": 1\nstatus: 200\nmessage: bindist upload is queued\n", "accepted"),
            (200, b": 1\nstatus: 201\nmessage: queued\nreference: 1\n", "accepted"),
            (200, b"", "foreign"),
            (200, HTML, "foreign"),
            (200, b": 1\nmessage: no status\n", "foreign"),
            (200, b": 1\nstatus: ok\n", "foreign"),
            (200, b": 1\nstatus: 200\nmess", "foreign"),
            (200, b": 1\nstatus: 422\nmessage: checksum mismatch\n", "refused"),
            (200, b": 1\nstatus: 503\nmessage: busy\n", "transient"),
            (422, b": 1\nstatus: 422\nmessage: checksum mismatch\n", "refused"),
            (404, b": 1\nstatus: 404\nmessage: no such type\n", "refused"),
            (404, b": 1\nstatus: 403\nmessage: another one\n", "foreign"),
            (404, HTML, "foreign"),
            (413, b"", "foreign"),
            (401, HTML, "foreign"),
            (503, b": 1\nstatus: 503\nmessage: busy\n", "transient"),
            (503, HTML, "transient"),
        ];
        for (status, body, expected) in table {
            let text = String::from_utf8_lossy(body);
            assert_eq!(class(OwnBody::Manifest, status, body), expected, "{status} {text}");
        }
    }

    /// W61
    #[test]
    fn pages_are_no_manifests() {
        for text in [": 1\nsession:\n", "\n# x\n: 1\n", ":", " : 1", ": 1\r\n", ": 1\nbroken"] {
            assert!(may_be_manifest(text.as_bytes()), "{text:?}");
        }
        for text in ["", "\n\n", "<!DOCTYPE html>\n: 1\n", "OK", "{\"a\": 1}", "# : 1"] {
            assert!(!may_be_manifest(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn reasons_tell_what_came() {
        let reason = |status: (u16, &str), body| match classify(OwnBody::Empty, status, body, None)
        {
            PostOutcome::Foreign { reason, .. } => reason,
            outcome => panic!("{outcome:?}"),
        };
        let expected = "not the empty answer of a controller, but: <!DOCTYPE html>";
        assert_eq!(reason((200, "OK"), HTML), expected);
        assert_eq!(reason((403, "Forbidden"), b""), "Forbidden");
        assert_eq!(reason((403, "Forbidden"), b"\n  no \x1b way \nmore"), "no  way");
    }
}
