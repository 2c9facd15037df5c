//! `Snapshot`: a snapshot that its value owns.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use bbot_btrfs::{As, Error, Operation, Snapshot, create, is_subvolume, set_read_only};

use crate::volume::{self, Volume};
use crate::{content, create_with};

/// A machine with a snapshot, and the errors that the drop of the snapshot reported.
struct Taken {
    machine: PathBuf,
    path: PathBuf,
    snapshot: Snapshot,
    undeleted: Receiver<Error>,
}

fn take(volume: &Volume) -> Taken {
    let (machine, path) = (volume.root().join("machine"), volume.root().join("working"));
    create_with(&machine, "old");
    let (sender, undeleted) = channel();
    let snapshot = Snapshot::take(&machine, As(&path), move |error| sender.send(error).unwrap());
    let snapshot = snapshot.unwrap();
    assert_eq!(snapshot.path(), path);
    fs::write(path.join("manifest"), "new").unwrap();
    Taken { machine, path, snapshot, undeleted }
}

/// Keeps a subvolume from being deleted.
fn obstruct(path: &Path) {
    create(&path.join("below")).unwrap();
}

/// `W16`: a snapshot that goes out of scope is deleted, its source is not.
#[test]
fn a_dropped_snapshot_is_deleted() {
    volume::with(|volume| {
        let taken = take(volume);
        drop(taken.snapshot);
        assert!(!taken.path.try_exists().unwrap());
        assert_eq!(content(&taken.machine), "old");
        assert!(taken.undeleted.recv().is_err());
    });
}

/// A deletion that fails in a drop is reported to the handler, once.
#[test]
fn the_handler_receives_the_error_of_a_drop() {
    volume::with(|volume| {
        let taken = take(volume);
        obstruct(&taken.path);
        drop(taken.snapshot);
        let error = taken.undeleted.recv().unwrap();
        assert_eq!(error.operation, Operation::Delete { path: taken.path.clone() });
        assert!(taken.undeleted.recv().is_err());
        assert!(is_subvolume(&taken.path).unwrap());
    });
}

/// A deletion that fails in `delete` is returned, and not reported to the handler as well.
#[test]
fn delete_returns_its_error() {
    volume::with(|volume| {
        let taken = take(volume);
        obstruct(&taken.path);
        let error = taken.snapshot.delete().unwrap_err();
        assert_eq!(error.operation, Operation::Delete { path: taken.path });
        assert!(taken.undeleted.recv().is_err());
    });
}

/// A snapshot that could not be taken leaves nothing, and the handler is not called.
#[test]
fn a_snapshot_that_was_not_taken_is_not_deleted() {
    volume::with(|volume| {
        let (machine, path) = (volume.root().join("machine"), volume.root().join("working"));
        create_with(&path, "of another process");
        let taken = Snapshot::take(&machine, As(&path), |error| panic!("{error}"));
        assert!(taken.unwrap_err().is_not_found());
        assert_eq!(content(&path), "of another process");
    });
}

/// `W14`: a published snapshot has the name of the obsolete one, which is deleted.
#[test]
fn a_published_snapshot_stays() {
    volume::with(|volume| {
        let taken = take(volume);
        taken.snapshot.publish(&taken.machine).unwrap();
        assert_eq!(content(&taken.machine), "new");
        assert!(!taken.path.try_exists().unwrap());
        assert!(taken.undeleted.recv().is_err());
    });
}

/// `W14`: as above, if no subvolume had the name.
#[test]
fn a_snapshot_takes_a_free_name() {
    volume::with(|volume| {
        let taken = take(volume);
        let name = volume.root().join("name");
        taken.snapshot.publish(&name).unwrap();
        assert_eq!((content(&name), content(&taken.machine)), ("new".into(), "old".into()));
        assert!(!taken.path.try_exists().unwrap());
        assert!(taken.undeleted.recv().is_err());
    });
}

/// `W14`: an obsolete subvolume that cannot be deleted does not undo the publication.
#[test]
fn an_obsolete_subvolume_may_stay() {
    volume::with(|volume| {
        let taken = take(volume);
        obstruct(&taken.machine);
        let error = taken.snapshot.publish(&taken.machine).unwrap_err();
        assert_eq!(error.operation, Operation::Delete { path: taken.path.clone() });
        assert_eq!((content(&taken.machine), content(&taken.path)), ("new".into(), "old".into()));
        assert!(taken.undeleted.recv().is_err());
    });
}

/// `W16`: a snapshot that could not be published is deleted.
#[test]
fn a_failed_publication_deletes_the_snapshot() {
    volume::with(|volume| {
        let taken = take(volume);
        let error = taken.snapshot.publish(&volume.root().join("no-folder/name")).unwrap_err();
        assert!(matches!(error.operation, Operation::Publish { .. }), "{error:?}");
        assert!(!taken.path.try_exists().unwrap());
        assert!(taken.undeleted.recv().is_err());
    });
}

/// A read-only snapshot is deleted as well.
#[test]
fn a_read_only_snapshot_is_deleted() {
    volume::with(|volume| {
        let taken = take(volume);
        set_read_only(&taken.path, true).unwrap();
        drop(taken.snapshot);
        assert!(!taken.path.try_exists().unwrap());
    });
}
