//! The multipart form in which an artifact is posted (docs/controller-protocol.md).

use std::path::Path;

use ureq::unversioned::multipart::{Form, Part};

use crate::fs::FileError;

/// An artifact to post.
#[derive(Debug)]
pub(crate) struct Upload<'a> {
    /// The session that it belongs to.
    pub(crate) session: &'a str,
    /// The signature of the session's challenge, in base64.
    pub(crate) challenge: Option<&'a str>,
    /// Its instance, which is also its name.
    pub(crate) instance: &'a str,
    /// Its file.
    pub(crate) archive: &'a Path,
    /// The SHA-256 of its file, in hexadecimal digits.
    pub(crate) sha256: &'a str,
}

impl Upload<'_> {
    /// Returns the form; the archive is opened now, and read while it is sent.
    pub(super) fn form(&self) -> Result<Form<'_>, FileError> {
        let archive = Part::file(self.archive)
            .map_err(FileError::of("read", self.archive))?
            .file_name(&format!("{}.tar", self.instance));
        let mut form = Form::new().text("session", self.session);
        if let Some(challenge) = self.challenge {
            form = form.text("challenge", challenge);
        }
        let form = form.text("instance", self.instance).part("archive", archive);
        Ok(form.text("sha256sum", self.sha256))
    }
}
