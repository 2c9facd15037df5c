//! The outbox on a storage whose n-th operation fails, for every n (I5).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use bbot_manifest::{Manifest, ResultManifest, ResultStatus};
use nix::errno::Errno;
use tempfile::TempDir;

use super::*;

/// The operations that fail, counted from the first.
#[derive(Debug, Clone, Copy)]
enum Failing {
    /// This one.
    Once(u32),
    /// These two.
    Both(u32, u32),
    /// This one and all later ones.
    From(u32),
}

/// More than there are for one task.
const OPERATIONS_MAX: u32 = 200;

/// None.
const NEVER: Failing = Failing::From(u32::MAX);

/// A real storage of which some operations fail. Nothing is synchronised: no test cuts the power.
#[derive(Debug)]
struct FailingStorage {
    failing: Failing,
    errno: Errno,
    /// The operations so far.
    count: AtomicU32,
    /// The texts of the failures.
    failures: Mutex<Vec<String>>,
}

impl FailingStorage {
    fn new(failing: Failing, errno: Errno) -> Self {
        Self { failing, errno, count: AtomicU32::new(0), failures: Mutex::default() }
    }

    /// Returns the error if the present operation is one that fails.
    fn check(&self, operation: &'static str, path: &Path) -> Result<(), FileError> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let fails = match self.failing {
            Failing::Once(failing) => number == failing,
            Failing::Both(first, second) => number == first || number == second,
            Failing::From(failing) => number >= failing,
        };
        if !fails {
            return Ok(());
        }
        let error = FileError::of(operation, path)(self.errno.into());
        self.failures.lock().unwrap().push(error.to_string());
        Err(error)
    }
}

impl Storage for FailingStorage {
    fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
        self.check("read", path)?;
        RealStorage.read(path, limit)
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>, FileError> {
        self.check("list", folder)?;
        RealStorage.list(folder)
    }

    /// A failure to write leaves half of the content.
    fn write(&self, path: &Path, mode: u32, content: &[u8], sync: bool) -> Result<(), FileError> {
        self.check("create", path)?;
        let failed = self.check("write", path);
        let written = if failed.is_err() { &content[..content.len() / 2] } else { content };
        RealStorage.write(path, mode, written, false).and(failed)?;
        if sync { self.check("synchronise", path) } else { Ok(()) }
    }

    fn reserve(&self, path: &Path, mode: u32, size: u64) -> Result<bool, FileError> {
        self.check("create", path)?;
        self.check("reserve room in", path)?;
        RealStorage.reserve(path, mode, size)
    }

    /// As for [`Storage::write`].
    fn fill(&self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        let failed = self.check("write", path);
        let written = if failed.is_err() { &content[..content.len() / 2] } else { content };
        RealStorage.fill(path, written).and(failed)?;
        self.check("synchronise", path)
    }

    fn trim(&self, path: &Path) -> Result<(), FileError> {
        self.check("trim", path)?;
        RealStorage.trim(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.check("rename", from)?;
        RealStorage.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.check("rename", from)?;
        RealStorage.rename_new(from, to)
    }

    fn remove(&self, path: &Path) -> Result<(), FileError> {
        self.check("remove", path)?;
        RealStorage.remove(path)
    }

    fn create_folder(&self, folder: &Path) -> Result<(), FileError> {
        self.check("create", folder)?;
        RealStorage.create_folder(folder)
    }

    fn remove_folder(&self, folder: &Path) -> Result<(), FileError> {
        self.check("remove", folder)?;
        RealStorage.remove_folder(folder)
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), FileError> {
        self.check("synchronise", folder)
    }
}

fn entry(status: ResultStatus) -> Entry {
    let result = ": 1\nname: foo\nversion: 1.2.3\nstatus: success\n";
    let mut result = ResultManifest::parse(result.as_bytes(), "result").unwrap();
    result.status = status;
    Entry {
        session: "s".to_owned(),
        result_url: "https://ci.example.org/?build-result".to_owned(),
        challenge: None,
        fingerprint: None,
        artifacts: Vec::new(),
        result,
    }
}

/// The reaction of the controller to a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Controller {
    Accepts,
    Refuses,
}

/// The course of one task.
#[derive(Debug, Default)]
struct Course {
    /// Whether the task was on record.
    is_recorded: bool,
    /// The answer that was stored.
    stored: Option<ResultStatus>,
    /// What was posted, in this order; an artifact has no status.
    posted: Vec<Option<ResultStatus>>,
    /// The texts of the errors that the outbox returned.
    errors: Vec<String>,
}

impl Course {
    /// Keeps a value, or the text of the error.
    fn keep<T>(&mut self, result: Result<T, OutboxError>) -> Option<T> {
        let text = |error| format!("{:#}", anyhow::Error::new(error));
        result.map_err(|error| self.errors.push(text(error))).ok()
    }

    /// Performs the task, as `task/perform.rs` does: on record, then the result, or `interrupt` if
    /// that cannot be stored.
    fn perform(&mut self, outbox: &Outbox, with_artifacts: bool) {
        let interrupt = entry(ResultStatus::Interrupt);
        if self.keep(outbox.make_room()).is_none() {
            // W48: no task is requested.
            return;
        }
        self.is_recorded = self.keep(outbox.record(&interrupt)).is_some();
        let stored = match (self.is_recorded, with_artifacts) {
            (false, _) => None,
            (true, false) => self.keep(outbox.store(&entry(ResultStatus::Success))),
            (true, true) => {
                let stored = store_with_artifacts(outbox);
                self.keep(stored)
            }
        };
        self.stored = stored.map(|_| ResultStatus::Success);
        if self.stored.is_none() && self.keep(outbox.store(&interrupt)).is_some() {
            self.stored = Some(ResultStatus::Interrupt);
        }
        if self.stored.is_some() {
            self.keep(outbox.forget_record());
        }
    }

    /// Attempts once to deliver each entry, as `reports/delivery.rs` does.
    fn deliver(&mut self, outbox: &Outbox, controller: Controller) {
        for id in self.keep(outbox.entries()).unwrap_or_default() {
            let Some(entry) = self.keep(outbox.load(&id)) else { continue };
            if controller == Controller::Refuses {
                self.keep(outbox.dead_letter(&id, "refused"));
                continue;
            }
            let pending: Vec<_> = outbox.pending(&id, &entry).iter().map(|(n, _)| *n).collect();
            let are_posted = pending.into_iter().all(|number| {
                self.posted.push(None);
                self.keep(outbox.remove_artifact(&id, number)).is_some()
            });
            if are_posted {
                self.posted.push(Some(entry.result.status));
                self.keep(outbox.remove(&id));
            }
        }
    }
}

fn store_with_artifacts(outbox: &Outbox) -> Result<EntryId, OutboxError> {
    let reservation = outbox.reserve()?;
    let artifact = |number: usize| {
        std::fs::write(reservation.path(number), "archive").unwrap();
        let url = "https://ci.example.org/?upload=bindist".to_owned();
        Artifact { url, instance: format!("instance-{number}"), sha256: "0a".to_owned() }
    };
    let artifacts = [0, 1].map(artifact).into();
    outbox.store_reserved(reservation, &Entry { artifacts, ..entry(ResultStatus::Success) })
}

/// Performs and delivers a task, crashes, starts once more, crashes, and starts a third time: on
/// storages that fail in these ways, the third one not at all. Returns how many operations failed
/// in the first two lives.
fn check(
    failing: [Failing; 2],
    errno: Errno,
    with_artifacts: bool,
    controller: Controller,
) -> [usize; 2] {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = failing.map(|failing| Arc::new(FailingStorage::new(failing, errno)));
    let working = Arc::new(FailingStorage::new(NEVER, errno));
    drop(Outbox::open_on(working.clone(), folder.path()).unwrap());
    let mut course = Course::default();
    if let Some(outbox) = course.keep(Outbox::open_on(first.clone(), folder.path())) {
        course.perform(&outbox, with_artifacts);
        for _ in 0..2 {
            course.deliver(&outbox, controller);
        }
    }
    if let Some(outbox) = course.keep(Outbox::open_on(second.clone(), folder.path())) {
        course.keep(outbox.recover_record());
        course.deliver(&outbox, controller);
    }
    let failures = [first, second].map(|storage| storage.failures.lock().unwrap().clone());
    for error in &course.errors {
        let is_told = failures.iter().flatten().any(|text| error.starts_with(text));
        let is_consequence = error.contains("could be neither synchronised nor removed");
        assert!(is_told || is_consequence || is_gone(error), "{error}, of {failures:?}");
    }
    let outbox = Outbox::open_on(working, folder.path()).unwrap();
    outbox.recover_record().unwrap();
    course.deliver(&outbox, controller);
    let case = format!("{failing:?} {errno} {failures:?}");
    check_end(&folder, &course, with_artifacts, controller, &case);
    failures.map(|failures| failures.len())
}

/// An entry whose removal could not be synchronised is removed nevertheless.
fn is_gone(failure: &str) -> bool {
    failure.contains("No such file or directory")
}

#[track_caller]
fn check_end(
    folder: &TempDir,
    course: &Course,
    with_artifacts: bool,
    controller: Controller,
    case: &str,
) {
    let answers: Vec<_> = course.posted.iter().flatten().collect();
    let names = |name: &str| RealStorage.list(&folder.path().join(name)).unwrap();
    let dead_letters = names("dead-letters");
    let entries = dead_letters.iter().filter(|name| name.ends_with(".manifest"));
    match controller {
        Controller::Accepts => {
            assert!(answers.is_sorted_by(|a, b| a == b), "two answers: {course:?}, {case}");
            assert!(dead_letters.is_empty(), "{dead_letters:?}, {case}");
            let first = answers.first().copied();
            assert!(course.stored.is_none() || course.stored.as_ref() == first, "lost, {case}");
            let before = course.posted.iter().take_while(|posted| posted.is_none()).count();
            let is_whole = !with_artifacts || first != Some(&ResultStatus::Success) || before >= 2;
            assert!(is_whole, "artifacts are lost: {course:?}, {case}");
            let is_lost = course.is_recorded && first.is_none();
            assert!(!is_lost, "no answer: {course:?}, {case}");
        }
        Controller::Refuses => {
            assert!(answers.is_empty());
            let count = entries.count();
            let is_due = course.is_recorded || course.stored.is_some();
            assert!(count == 1 || (count == 0 && !is_due), "{dead_letters:?}, {case}");
        }
    }
    assert!(names("outbox").is_empty(), "{:?}, {case}", names("outbox"));
    let mut left = names("");
    left.retain(|name| !name.ends_with(".reserved"));
    left.sort_unstable();
    assert_eq!(left, ["dead-letters", "outbox"], "{case}");
}

/// Checks every operation of the first life until all of them were made without a failure.
fn check_all(with_artifacts: bool, controller: Controller) {
    for (failing, errno) in [
        (Failing::Once as fn(u32) -> Failing, Errno::EIO),
        (Failing::From, Errno::EIO),
        (Failing::From, Errno::ENOSPC),
    ] {
        let fails = |n| check([failing(n), NEVER], errno, with_artifacts, controller) != [0, 0];
        let count = (0..OPERATIONS_MAX).take_while(|n| fails(*n)).count();
        assert!((20..OPERATIONS_MAX as usize).contains(&count), "{count} operations");
    }
}

/// I5, W41: whichever two operations fail, the task gets one answer.
#[test]
fn whichever_two_operations_fail_there_is_one_answer() {
    let count = |failing| check(failing, Errno::EIO, false, Controller::Accepts);
    for first in 0..OPERATIONS_MAX {
        if count([Failing::Once(first), NEVER]) == [0, 0] {
            return;
        }
        let both = |second| count([Failing::Both(first, second), NEVER]) == [2, 0];
        assert!((first + 1..OPERATIONS_MAX).any(|second| !both(second)));
        // A crash at the first one, and a failure in the recovery from it.
        let later = |second| count([Failing::From(first), Failing::Once(second)])[1] != 0;
        assert!((0..OPERATIONS_MAX).any(|second| !later(second)));
    }
    panic!("over {OPERATIONS_MAX} operations");
}

/// I5, W41: whichever operation fails, the task gets one answer, and the error says what failed.
#[test]
fn whichever_operation_fails_there_is_one_answer() {
    check_all(false, Controller::Accepts);
}

/// I5, W33, W41: with artifacts.
#[test]
fn whichever_operation_fails_artifacts_precede_their_result() {
    check_all(true, Controller::Accepts);
}

/// I5, W38: whichever operation fails, an entry is in the outbox or among the dead letters.
#[test]
fn whichever_operation_fails_a_refused_result_is_one_dead_letter() {
    check_all(false, Controller::Refuses);
    check_all(true, Controller::Refuses);
}
