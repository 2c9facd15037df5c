//! An entry of the outbox and its form on disk.
//!
//! The form is a stream of two manifests, the entry's own and the result, behind a comment line
//! that holds the SHA-256 of all that follows it:
//!
//! ```text
//! # sha256 <64 hexadecimal digits>
//! : 1
//! entry-version: 1
//! session: ...
//! result-url: ...
//! challenge: ...
//! fingerprint: ...
//! : 1
//! name: ...
//! ```
//!
//! An entry with artifacts has version 2, and for each of them a value
//! `artifact: <sha256> <instance> <url>`.

use std::io;
use std::path::Path;

use bbot_manifest::ser::to_string_with;
use bbot_manifest::{Event, Lines, Manifest, Parser, ResultManifest};
use serde::Serialize;

use super::error::OutboxError;
use crate::fs::digest::sha256_hex;
use crate::fs::storage::Storage;

/// The most bytes of an entry's file: a request may have 10 MiB, the rest is some hundred bytes.
pub(super) const FILE_MAX: u64 = 16 << 20;

/// A result that is to be delivered to its controller.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// What the result refers to.
    pub(crate) session: String,
    /// Where it is posted.
    pub(crate) result_url: String,
    /// The challenge to sign when it is posted.
    pub(crate) challenge: Option<String>,
    /// The key that the challenge was made for.
    pub(crate) fingerprint: Option<String>,
    /// The artifacts to post before the result, in this order.
    pub(crate) artifacts: Vec<Artifact>,
    /// The result.
    pub(crate) result: ResultManifest,
}

/// An artifact that is to be delivered to its controller (W33); its file is beside the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Artifact {
    /// Where it is posted.
    pub(crate) url: String,
    /// Its instance, a name without blanks.
    pub(crate) instance: String,
    /// The SHA-256 of its file, in hexadecimal digits.
    pub(crate) sha256: String,
}

impl Artifact {
    fn to_value(&self) -> String {
        format!("{} {} {}", self.sha256, self.instance, self.url)
    }

    fn parse(value: &str) -> Option<Self> {
        let (sha256, rest) = value.split_once(' ')?;
        let (instance, url) = rest.split_once(' ')?;
        Some(Self { url: url.to_owned(), instance: instance.to_owned(), sha256: sha256.to_owned() })
    }
}

/// The version of entries without artifacts.
const PLAIN: &str = "1";

/// The version of entries with artifacts: an agent that does not know them must not post the
/// result.
const WITH_ARTIFACTS: &str = "2";

const DIGEST_PREFIX: &str = "# sha256 ";

impl Entry {
    /// Returns whether both are for the same task, so that the other one needs no answer.
    pub(super) fn answers(&self, other: &Self) -> bool {
        (&self.session, &self.result_url) == (&other.session, &other.result_url)
    }

    /// Returns the form on disk.
    pub(super) fn to_text(&self) -> Result<Vec<u8>, OutboxError> {
        let body = self.body().map_err(|source| OutboxError::Unwritable { source })?;
        let mut text = format!("{DIGEST_PREFIX}{}\n", sha256_hex(&body)).into_bytes();
        text.extend_from_slice(&body);
        Ok(text)
    }

    fn body(&self) -> Result<Vec<u8>, bbot_manifest::Error> {
        let version = if self.artifacts.is_empty() { PLAIN } else { WITH_ARTIFACTS };
        let head = Head {
            entry_version: Some(version.to_owned()),
            session: Some(self.session.clone()),
            result_url: Some(self.result_url.clone()),
            challenge: self.challenge.clone(),
            fingerprint: self.fingerprint.clone(),
            artifact: self.artifacts.iter().map(Artifact::to_value).collect(),
        };
        let mut body = to_string_with(&head, Lines::Long)?.into_bytes();
        body.extend_from_slice(self.result.to_text(Lines::Long)?.as_bytes());
        Ok(body)
    }

    /// Reads the entry in a file.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unusable`] if the file does not contain what was written.
    pub(super) fn load(storage: &dyn Storage, path: &Path) -> Result<Self, OutboxError> {
        let text = storage.read(path, FILE_MAX)?;
        let text = text.ok_or_else(|| format!("more than {FILE_MAX} bytes"));
        let entry = text.and_then(|text| Self::parse(&text, &path.display().to_string()));
        entry.map_err(|problem| OutboxError::Unusable { path: path.to_owned(), problem })
    }

    /// As [`Entry::load`]; `None` if there is no such file.
    pub(super) fn load_if_present(
        storage: &dyn Storage,
        path: &Path,
    ) -> Result<Option<Self>, OutboxError> {
        match Self::load(storage, path) {
            Err(OutboxError::File(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            entry => entry.map(Some),
        }
    }

    /// Parses the form on disk; the error says what is wrong with it.
    pub(super) fn parse(text: &[u8], name: &str) -> Result<Self, String> {
        let body = verified(text).ok_or("its digest is not that of its content")?;
        let (head, result) = Head::parse(body, name).map_err(|error| error.to_string())?;
        let version = head.entry_version.ok_or("it has no entry-version")?;
        if ![PLAIN, WITH_ARTIFACTS].contains(&&*version) {
            let known = WITH_ARTIFACTS;
            return Err(format!("its entry-version is {version}, and this agent knows {known}"));
        }
        let artifacts = head.artifact.iter().map(|value| Artifact::parse(value));
        Ok(Self {
            session: head.session.ok_or("it has no session")?,
            result_url: head.result_url.ok_or("it has no result-url")?,
            challenge: head.challenge,
            fingerprint: head.fingerprint,
            artifacts: artifacts.collect::<Option<_>>().ok_or("an artifact is malformed")?,
            result: ResultManifest::parse(result, name).map_err(|error| error.to_string())?,
        })
    }
}

/// The values of the entry's own manifest.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Head {
    entry_version: Option<String>,
    session: Option<String>,
    result_url: Option<String>,
    challenge: Option<String>,
    fingerprint: Option<String>,
    artifact: Vec<String>,
}

impl Head {
    /// Parses the first manifest; also returns the text that follows it.
    fn parse<'a>(body: &'a [u8], name: &str) -> Result<(Self, &'a [u8]), bbot_manifest::Error> {
        let mut head = Self::default();
        let mut end = None;
        for event in Parser::new(body).with_name(name) {
            match event? {
                Event::Pair(pair) => {
                    let field = match pair.name {
                        "entry-version" => &mut head.entry_version,
                        "session" => &mut head.session,
                        "result-url" => &mut head.result_url,
                        "challenge" => &mut head.challenge,
                        "fingerprint" => &mut head.fingerprint,
                        "artifact" => {
                            head.artifact.push(pair.value.into_owned());
                            continue;
                        }
                        _ => continue,
                    };
                    *field = Some(pair.value.into_owned());
                }
                Event::End { at } => {
                    end = Some(at.line);
                    break;
                }
                Event::Start { .. } | Event::EndOfStream { .. } => {}
            }
        }
        Ok((head, end.map_or(&[], |line| from_line(body, line))))
    }
}

/// Returns the text from this line on, counted from 1.
fn from_line(text: &[u8], line: u64) -> &[u8] {
    let mut rest = text;
    for _ in 1..line {
        let newline = rest.iter().position(|&byte| byte == b'\n');
        rest = newline.map_or(&[], |newline| &rest[newline + 1..]);
    }
    rest
}

/// Returns the text after the first line, if that contains its digest.
fn verified(text: &[u8]) -> Option<&[u8]> {
    let newline = text.iter().position(|&byte| byte == b'\n')?;
    let (line, body) = (&text[..newline], &text[newline + 1..]);
    let expected = line.strip_prefix(DIGEST_PREFIX.as_bytes())?;
    (expected == sha256_hex(body).as_bytes()).then_some(body)
}
