//! The folders of an outbox, and what is written into them.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::artifacts;
use super::entry::Entry;

/// The most that an entry may have: a request may have 10 MiB, the rest is some hundred bytes.
const ENTRY_MAX: u64 = 16 << 20;

/// The folder of results that wait.
pub(super) const WAITING: &str = "outbox";

/// The folder of those that no controller takes.
pub(super) const DEAD: &str = "dead-letters";

pub(super) const SUFFIX: &str = ".manifest";

/// The end of the name of the file that says why a letter is dead.
pub(super) const REASON_SUFFIX: &str = ".reason";

/// The outbox of one instance.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(super) waiting: PathBuf,
    dead: PathBuf,
    record: PathBuf,
    /// Held while the record is looked at or changed: who posts an entry removes its record.
    recording: Mutex<()>,
    /// The newest id's time, so that ids are unique and in order even if the clock is set back.
    newest: AtomicU64,
    /// An entry that may be there or not after a power cut.
    doubtful: OnceLock<PathBuf>,
}

/// Names an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId(String);

impl EntryId {
    /// `<nanoseconds since 1970>-<pid>`, with leading zeros.
    pub(super) fn new(time: u64) -> Self {
        Self(format!("{time:020}-{}", std::process::id()))
    }

    pub(super) fn from_file_name(name: &str) -> Option<Self> {
        let id = name.strip_suffix(SUFFIX)?;
        let (time, pid) = id.split_once('-')?;
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (time.len() == 20 && is_number(time) && is_number(pid)).then(|| Self(id.to_owned()))
    }

    pub(super) fn file_name(&self) -> String {
        format!("{}{SUFFIX}", self.0)
    }

    /// Returns for how long the entry has waited.
    pub(crate) fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(self.stored())
    }

    /// Returns when the entry was stored, since the epoch.
    pub(super) fn stored(&self) -> Duration {
        let time = self.0.get(..20).and_then(|time| time.parse().ok());
        Duration::from_nanos(time.unwrap_or(u64::MAX))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What went wrong with the outbox.
#[derive(Debug)]
pub(crate) enum OutboxError {
    /// The file system does not do its part.
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    /// The file is not what was written, or a later version of ours has written it.
    Unusable { path: PathBuf, problem: String },
    /// The entry cannot be written as a manifest.
    Unwritable { source: bbot_manifest::Error },
    /// An entry was neither made durable nor taken back: nothing is stored until the next start,
    /// which sees what the disk has kept.
    Doubtful { path: PathBuf },
}

impl fmt::Display for OutboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { operation, path, .. } => write!(f, "cannot {operation} {}", path.display()),
            Self::Unusable { path, problem } => {
                write!(f, "cannot use {}: {problem}", path.display())
            }
            Self::Unwritable { .. } => f.write_str("cannot write the result as a manifest"),
            Self::Doubtful { path } => write!(
                f,
                "{} could be neither synchronised nor removed: no result is stored beside it",
                path.display()
            ),
        }
    }
}

impl std::error::Error for OutboxError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Unwritable { source } => Some(source),
            Self::Unusable { .. } | Self::Doubtful { .. } => None,
        }
    }
}

/// Turns an I/O error into ours.
pub(super) fn io_error<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> OutboxError + 'a {
    move |source| OutboxError::Io { operation, path: path.to_owned(), source }
}

impl Outbox {
    /// Opens the outbox below a state directory, making what is missing, and removes what a dead
    /// process did not finish.
    pub(crate) fn open(state_dir: &Path) -> Result<Self, OutboxError> {
        let outbox = Self {
            waiting: state_dir.join(WAITING),
            dead: state_dir.join(DEAD),
            record: state_dir.join("task-at-hand.manifest"),
            recording: Mutex::new(()),
            newest: AtomicU64::new(0),
            doubtful: OnceLock::new(),
        };
        for folder in [state_dir, &outbox.waiting, &outbox.dead] {
            make_folder(folder)?;
            sweep(folder)?;
        }
        sweep_reasons(&outbox.dead)?;
        artifacts::sweep(&outbox.waiting)?;
        Ok(outbox)
    }

    /// Makes an entry durable: when this returns, a crash does not lose it.
    ///
    /// # Errors
    ///
    /// The entry is not there, so that its task can be given another answer. Should it resist,
    /// nothing is stored any more: the next start answers the task, from the entry or the record.
    pub(crate) fn store(&self, entry: &Entry) -> Result<EntryId, OutboxError> {
        let text = entry.to_text()?;
        loop {
            let id = self.next_id();
            if self.put(&self.path(&id), &text)? {
                return Ok(id);
            }
        }
    }

    /// Writes an entry to its place, durably; returns false if the place is taken.
    pub(super) fn put(&self, path: &Path, text: &[u8]) -> Result<bool, OutboxError> {
        if let Some(path) = self.doubtful.get() {
            return Err(OutboxError::Doubtful { path: path.clone() });
        }
        if !write_new(path, text)? {
            return Ok(false);
        }
        sync_parent(path).map(|()| true).inspect_err(|_| self.take_back(path))
    }

    /// Removes an entry that might not survive a power cut, as its task gets another answer.
    fn take_back(&self, path: &Path) {
        match fs::remove_file(path) {
            // It has failed before. What is stored next synchronises the removal, too; until then
            // the task is on record.
            Ok(()) => drop(sync_parent(path)),
            Err(_) => {
                self.doubtful.get_or_init(|| path.to_owned());
            }
        }
    }

    /// Returns the entries that wait, the oldest first.
    pub(crate) fn entries(&self) -> Result<Vec<EntryId>, OutboxError> {
        let names = file_names(&self.waiting)?;
        let mut ids: Vec<_> =
            names.iter().filter_map(|name| EntryId::from_file_name(name)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Returns how many bytes wait.
    pub(crate) fn size(&self) -> Result<u64, OutboxError> {
        artifacts::size(&self.waiting).map_err(io_error("list", &self.waiting))
    }

    /// Reads an entry.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unusable`] if it is not what was written: such an entry is a dead letter.
    pub(crate) fn load(&self, id: &EntryId) -> Result<Entry, OutboxError> {
        load(&self.path(id))
    }

    /// Removes an entry, which the controller has.
    pub(crate) fn remove(&self, id: &EntryId) -> Result<(), OutboxError> {
        self.forget_record_of(id)?;
        let path = self.path(id);
        fs::remove_file(&path).map_err(io_error("remove", &path))?;
        sync_folder(&self.waiting)?;
        // Without its entry it is swept by the next start at the latest.
        artifacts::remove(&self.artifacts(id))
    }

    /// Moves an entry, which no controller will ever take, to the dead letters.
    pub(crate) fn dead_letter(&self, id: &EntryId, reason: &str) -> Result<(), OutboxError> {
        self.forget_record_of(id)?;
        self.bury(&self.path(id), id, reason)
    }

    /// Returns where an entry is.
    pub(crate) fn path(&self, id: &EntryId) -> PathBuf {
        self.waiting.join(id.file_name())
    }

    /// Makes the answer durable that the task at hand gets if this process dies (W41).
    pub(crate) fn record(&self, entry: &Entry) -> Result<(), OutboxError> {
        let _recording = self.recording();
        replace(&self.record, &entry.to_text()?)
    }

    /// Removes the record: the task's result is durable.
    pub(crate) fn forget_record(&self) -> Result<(), OutboxError> {
        let _recording = self.recording();
        self.remove_record()
    }

    /// Makes sure, before an entry goes, that the record of its task has gone for good: should it
    /// be there at the next start, and not the entry, the task would be answered twice.
    fn forget_record_of(&self, id: &EntryId) -> Result<(), OutboxError> {
        let _recording = self.recording();
        // Usually there is none, or one of the next task.
        if let Ok(record) = load(&self.record)
            && self.load(id).is_ok_and(|entry| entry.answers(&record))
        {
            self.remove_record()?;
        }
        sync_parent(&self.record)
    }

    fn recording(&self) -> MutexGuard<'_, ()> {
        // Files are as good after a panic elsewhere.
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove_record(&self) -> Result<(), OutboxError> {
        match fs::remove_file(&self.record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", &self.record)(error))
            }
            // Should a power cut undo the removal, the entry that answers it is there as well.
            _ => Ok(()),
        }
    }

    /// Puts the record of a task that a dead process had at hand into the outbox, unless the
    /// task's result is there (W3). Returns whether it was put there.
    ///
    /// A damaged record goes to the dead letters: it cannot be answered.
    pub(crate) fn recover_record(&self) -> Result<bool, OutboxError> {
        let entry = match load(&self.record) {
            Ok(entry) => entry,
            Err(OutboxError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(false);
            }
            Err(error @ OutboxError::Unusable { .. }) => {
                self.bury(&self.record, &self.next_id(), &error.to_string())?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let answers = |id| self.load(id).is_ok_and(|stored| stored.answers(&entry));
        let is_answered = self.entries()?.iter().any(answers);
        if !is_answered {
            self.store(&entry)?;
        }
        self.forget_record()?;
        Ok(!is_answered)
    }

    fn bury(&self, path: &Path, id: &EntryId, reason: &str) -> Result<(), OutboxError> {
        replace(&self.dead.join(format!("{id}{REASON_SUFFIX}")), format!("{reason}\n").as_bytes())?;
        // First, as what is left without its entry would be swept.
        artifacts::rename(&self.artifacts(id), &self.dead)?;
        fs::rename(path, self.dead.join(id.file_name())).map_err(io_error("move", path))?;
        sync_folder(&self.dead)?;
        sync_folder(path.parent().unwrap_or(&self.waiting))
    }

    pub(super) fn next_id(&self) -> EntryId {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let next = |newest: u64| now.max(newest.saturating_add(1));
        let update = |newest| Some(next(newest));
        let previous = self.newest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        EntryId::new(next(previous.unwrap_or_default()))
    }
}

fn load(path: &Path) -> Result<Entry, OutboxError> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(ENTRY_MAX + 1).read_to_end(&mut text))
        .map_err(io_error("read", path))?;
    let unusable = |problem| OutboxError::Unusable { path: path.to_owned(), problem };
    if text.len() as u64 > ENTRY_MAX {
        return Err(unusable(format!("more than {ENTRY_MAX} bytes")));
    }
    Entry::parse(&text, &path.display().to_string()).map_err(unusable)
}

/// Names of what is being written, which no reader looks at.
const NEW_SUFFIX: &str = ".new";

/// Writes a file that is not there yet, and its name not for certain; returns false if it is.
fn write_new(path: &Path, text: &[u8]) -> Result<bool, OutboxError> {
    let new = write_beside(path, text)?;
    match renameat_with(CWD, &new, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::EXIST) => Ok(false),
        Err(error) => Err(io_error("create", path)(error.into())),
    }
}

/// Writes a file in place of the one that may be there.
fn replace(path: &Path, text: &[u8]) -> Result<(), OutboxError> {
    let new = write_beside(path, text)?;
    fs::rename(&new, path).map_err(io_error("replace", path))?;
    sync_parent(path)
}

fn write_beside(path: &Path, text: &[u8]) -> Result<PathBuf, OutboxError> {
    let mut new = path.as_os_str().to_owned();
    new.push(NEW_SUFFIX);
    let new = PathBuf::from(new);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let write = |mut file: File| file.write_all(text).and_then(|()| file.sync_all());
    options.open(&new).and_then(write).map_err(io_error("write", &new))?;
    Ok(new)
}

/// Makes a folder, and those above it, so that a power cut does not take them away again with all
/// that is in them.
fn make_folder(folder: &Path) -> Result<(), OutboxError> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = parent(folder) {
        make_folder(parent)?;
    }
    DirBuilder::new().mode(0o700).create(folder).map_err(io_error("create", folder))?;
    sync_parent(folder)
}

/// The folder that a path lies in, if the path names it.
fn parent(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}

fn sync_parent(path: &Path) -> Result<(), OutboxError> {
    sync_folder(parent(path).unwrap_or_else(|| Path::new(".")))
}

pub(super) fn sync_folder(folder: &Path) -> Result<(), OutboxError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("synchronise", folder))
}

/// Removes what was not finished.
fn sweep(folder: &Path) -> Result<(), OutboxError> {
    for name in file_names(folder)? {
        if name.ends_with(NEW_SUFFIX) {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

/// Removes the reasons of letters that are not there: they were not moved here before a crash, or
/// somebody has moved them back.
fn sweep_reasons(dead: &Path) -> Result<(), OutboxError> {
    let names = file_names(dead)?;
    for name in &names {
        let Some(id) = name.strip_suffix(REASON_SUFFIX) else { continue };
        if !names.contains(&format!("{id}{SUFFIX}")) {
            let path = dead.join(name);
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

/// The names of the entries of a folder; ours are all readable, others do not concern us.
pub(super) fn file_names(folder: &Path) -> Result<Vec<String>, OutboxError> {
    fs::read_dir(folder)
        .and_then(|entries| {
            let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
            names.filter_map(Result::transpose).collect()
        })
        .map_err(io_error("list", folder))
}

#[cfg(test)]
mod tests;
