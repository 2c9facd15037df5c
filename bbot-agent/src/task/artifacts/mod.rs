//! Packs the artifacts that a guest has uploaded beside a good result for its controller (W33).
//!
//! The guest's `upload.tar` is read in place, and nothing in it ever becomes a path of this host:
//! its headers are read once, and each folder `upload/<type>/<instance>/` for whose type the
//! controller has named a URL is then copied, member by member, into a ustar archive of our own.

mod archive;
mod package;
mod tree;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use thiserror::Error;

use crate::diag;
use crate::fs::FileError;
use crate::outbox::{Artifact, Entry, EntryId, Outbox};

/// The file that a guest uploads before its result if the build has made artifacts. Under this name
/// the TFTP server shows only a complete upload (W28).
pub(super) const UPLOAD: &str = "upload.tar";

/// What is wrong with a guest's archive.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum Problem {
    #[error("it is truncated")]
    Truncated,
    /// A block is not the header of a member.
    #[error("this is no header of a tar archive")]
    Header,
    #[error("a number is malformed")]
    Number,
    /// A member is neither a file nor a folder; its type.
    #[error("type {:?} is neither file nor folder", char::from(*.0))]
    Kind(u8),
    /// A member's extended header is too long, or asks for what is not supported.
    #[error("{0}")]
    Extension(&'static str),
    #[error("more than {} members", archive::MEMBERS_MAX)]
    TooMany,
    /// A member's name leads out of the archive, or is malformed.
    #[error("{:?} is not a name inside the archive", shown(.0))]
    Path(Vec<u8>),
    /// Two members have this name, or a file has members.
    #[error("{:?} is there twice", shown(.0))]
    Twice(Vec<u8>),
    /// The folder of an artifact has a name that is not fit for one.
    #[error("{:?} cannot be the name of an artifact", shown(.0))]
    Instance(Vec<u8>),
}

/// Returns as much of a name as is shown in an error.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(80).collect()
}

/// Why there are no artifacts.
#[derive(Debug, Error)]
pub(super) enum ArtifactError {
    /// The guest's archive is not acceptable, at this offset in bytes.
    #[error("{UPLOAD}, byte {at}: {problem}")]
    Archive { at: u64, problem: Problem },
    /// A name is too long for a ustar archive.
    #[error("{UPLOAD}: {name:?} is too long a name")]
    LongName { name: String },
    /// A file of the host could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Makes `entry` durable, with the artifacts in the `upload` of its guest whose types are in
/// `urls`.
///
/// The entry names its artifacts, so these are durable first; a crash in between leaves the task
/// on record, and it is built again. An archive that is not acceptable is logged, and the result is
/// posted without artifacts.
///
/// # Errors
///
/// A failure of the host, and nothing is stored: another host may perform the task.
pub(super) fn store(
    outbox: &Outbox,
    entry: Entry,
    upload: Option<&Path>,
    urls: &BTreeMap<String, String>,
) -> anyhow::Result<EntryId> {
    let is_wanted = !urls.is_empty() && !entry.result.status.is_failure();
    let Some(upload) = upload.filter(|_| is_wanted) else { return Ok(outbox.store(&entry)?) };
    let start = Instant::now();
    let archive = match File::open(upload) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(outbox.store(&entry)?),
        archive => archive.map_err(FileError::of("open", upload))?,
    };
    let reservation = outbox.reserve()?;
    match pack(&archive, upload, urls, |number| reservation.path(number)) {
        Ok(artifacts) if artifacts.is_empty() => Ok(outbox.store(&entry)?),
        Ok(artifacts) => {
            let session = entry.session.clone();
            let id = outbox.store_reserved(reservation, &Entry { artifacts, ..entry })?;
            diag::phase("artifacts", start.elapsed(), &[("session", &session)]);
            Ok(id)
        }
        Err(error @ ArtifactError::File(_)) => Err(error.into()),
        Err(error) => {
            diag::error(format_args!("the result goes without artifacts: {error}"));
            Ok(outbox.store(&entry)?)
        }
    }
}

/// Checks that a guest's archive is acceptable, whatever it contains.
///
/// # Errors
///
/// If it is not, or cannot be read.
pub(super) fn check(upload: &Path) -> Result<(), ArtifactError> {
    let archive = File::open(upload).map_err(FileError::of("open", upload))?;
    trees(&archive, upload, &BTreeMap::new()).map(drop)
}

/// Writes the requested artifacts, synchronised; `path` gives the path of each by its number.
fn pack(
    archive: &File,
    upload: &Path,
    urls: &BTreeMap<String, String>,
    path: impl Fn(usize) -> PathBuf,
) -> Result<Vec<Artifact>, ArtifactError> {
    let mut artifacts = Vec::new();
    for (number, (name, tree)) in trees(archive, upload, urls)?.into_iter().enumerate() {
        let path = path(number);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(FileError::of("create", &path))?;
        let sha256 = package::write(archive, upload, &name.instance, &tree, &file, &path)?;
        file.sync_all().map_err(FileError::of("synchronise", &path))?;
        let url = urls[&name.kind].clone();
        artifacts.push(Artifact { url, instance: name.instance, sha256 });
    }
    Ok(artifacts)
}

/// Returns the folders of the archive whose types are in `urls`.
fn trees(
    archive: &File,
    upload: &Path,
    urls: &BTreeMap<String, String>,
) -> Result<tree::Trees, ArtifactError> {
    let length = archive.metadata().map_err(FileError::of("read", upload))?.len();
    let mut trees = tree::Trees::new();
    for member in archive::Members::new(archive, upload, length) {
        tree::add(&mut trees, &member?, |kind| urls.contains_key(kind))?;
    }
    Ok(trees)
}

#[cfg(test)]
mod tests;
