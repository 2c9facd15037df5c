//! Artifacts: what a guest has uploaded beside a good result, made ready for its controller (W33).
//!
//! The guest's `upload.tar` is read where it lies, and nothing in it ever becomes a path of this
//! host: its members are looked at once, headers only, and each folder `upload/<type>/<instance>/`
//! that the controller wants is then copied, member by member, into a ustar archive of our own.

mod archive;
mod package;
mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::diag;
use crate::outbox::{Artifact, Entry, EntryId, Outbox};

/// The file that a guest sends before its result if it has built something for the world. Under
/// this name the TFTP server shows only what is complete (W28).
pub(super) const UPLOAD: &str = "upload.tar";

/// What is wrong with a guest's archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It ends before its end mark.
    Truncated,
    /// This is no member's header.
    Header,
    /// A member's header holds no number where there must be one.
    Number,
    /// A member is something else than a file or a folder: its type.
    Kind(u8),
    /// A member's extended header is too long, or asks for what is not supported.
    Extension(&'static str),
    /// There are too many members.
    TooMany,
    /// A member's name leads out of the archive, or is no name.
    Path(Vec<u8>),
    /// Two members have this name, or a file has members.
    Twice(Vec<u8>),
    /// The folder of an artifact has a name that is not fit for one.
    Instance(Vec<u8>),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, path: &[u8], what| {
            let path = String::from_utf8_lossy(path);
            let path: String = path.chars().take(80).collect();
            write!(f, "{path:?} {what}")
        };
        match self {
            Self::Truncated => f.write_str("it is truncated"),
            Self::Header => f.write_str("this is no header of a tar archive"),
            Self::Number => f.write_str("a number is malformed"),
            Self::Kind(kind) => {
                write!(f, "type {:?} is neither file nor folder", char::from(*kind))
            }
            Self::Extension(what) => f.write_str(what),
            Self::TooMany => write!(f, "more than {} members", archive::MEMBERS_MAX),
            Self::Path(path) => named(f, path, "is not a name inside the archive"),
            Self::Twice(path) => named(f, path, "is there twice"),
            Self::Instance(path) => named(f, path, "cannot be the name of an artifact"),
        }
    }
}

/// Why there are no artifacts.
#[derive(Debug)]
pub(super) enum ArtifactError {
    /// The guest's archive is not acceptable, at this offset in bytes.
    Archive { at: u64, problem: Problem },
    /// A name is too long for a ustar archive.
    LongName { name: String },
    /// The host does not do its part.
    Io { operation: &'static str, path: PathBuf, source: io::Error },
}

impl fmt::Display for ArtifactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive { at, problem } => write!(f, "{UPLOAD}, byte {at}: {problem}"),
            Self::LongName { name } => write!(f, "{UPLOAD}: {name:?} is too long a name"),
            Self::Io { operation, path, .. } => write!(f, "cannot {operation} {}", path.display()),
        }
    }
}

impl std::error::Error for ArtifactError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Archive { .. } | Self::LongName { .. } => None,
        }
    }
}

/// Makes `entry` durable, and with it the artifacts in the `upload` of its guest for whose types
/// there are `urls`.
///
/// The entry names its artifacts, so these are durable first; a crash in between leaves the task
/// on record, and it is built again. An archive that is not acceptable is reported, and the result
/// goes without it.
///
/// # Errors
///
/// Nothing is stored: the host's trouble, for which another host may have a remedy.
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
        archive => archive.map_err(io_error("open", upload))?,
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
        Err(error @ ArtifactError::Io { .. }) => Err(error.into()),
        Err(error) => {
            diag::error(format_args!("the result goes without artifacts: {error}"));
            Ok(outbox.store(&entry)?)
        }
    }
}

/// Checks that a guest's archive is acceptable, whatever is in it.
///
/// # Errors
///
/// If it is not, or cannot be read.
pub(super) fn check(upload: &Path) -> Result<(), ArtifactError> {
    let archive = File::open(upload).map_err(io_error("open", upload))?;
    trees(&archive, upload, &BTreeMap::new()).map(drop)
}

fn io_error<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> ArtifactError + 'a {
    move |source| ArtifactError::Io { operation, path: path.to_owned(), source }
}

/// Makes the wanted artifacts, synchronised; `path` says where the first, the second and so on go.
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
        let file = file.map_err(io_error("create", &path))?;
        let sha256 = package::write(archive, upload, &name.instance, &tree, &file, &path)?;
        file.sync_all().map_err(io_error("synchronise", &path))?;
        let url = urls[&name.kind].clone();
        artifacts.push(Artifact { url, instance: name.instance, sha256 });
    }
    Ok(artifacts)
}

/// The folders of the archive for whose types there is an URL.
fn trees(
    archive: &File,
    upload: &Path,
    urls: &BTreeMap<String, String>,
) -> Result<tree::Trees, ArtifactError> {
    let length = archive.metadata().map_err(io_error("read", upload))?.len();
    let mut trees = tree::Trees::new();
    for member in archive::Members::new(archive, upload, length) {
        tree::add(&mut trees, &member?, |kind| urls.contains_key(kind))?;
    }
    Ok(trees)
}

#[cfg(test)]
mod tests;
