//! The outbox on a real file system.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::thread;

use bbot_manifest::Manifest;
use nix::unistd::{Uid, setfsuid};
use tempfile::TempDir;

use super::*;
use crate::fs::digest::sha256_hex;
use crate::outbox::summary;

fn outbox() -> (TempDir, Outbox) {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path()).unwrap();
    (folder, outbox)
}

const RESULT: &str = ": 1\nname: foo\nversion: 1.2.3\nstatus: error\nupdate-status: error\n\
                      update-log:\n\\\nline 1\n: 1\nline 3\n\\\n";

/// An entry whose values look like the form on disk.
fn entry(session: &str) -> Entry {
    Entry {
        session: session.to_owned(),
        result_url: "https://ci.example.org/?build-result".to_owned(),
        challenge: Some("a\n: 1\nb".to_owned()),
        fingerprint: Some("f00".to_owned()),
        artifacts: Vec::new(),
        result: bbot_manifest::ResultManifest::parse(RESULT.as_bytes(), "result").unwrap(),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names = RealStorage.list(folder).unwrap();
    names.sort_unstable();
    names
}

/// I5: what is stored is there for the next process.
#[test]
fn entries_survive_their_process() {
    let (folder, outbox) = outbox();
    let ids: Vec<_> = ["c", "b", "a"].map(|s| outbox.store(&entry(s)).unwrap()).into();
    drop(outbox);
    let outbox = Outbox::open(folder.path()).unwrap();
    assert_eq!(outbox.entries().unwrap(), ids);
    for (id, session) in ids.iter().zip(["c", "b", "a"]) {
        assert_eq!(outbox.load(id).unwrap(), entry(session));
    }
    outbox.remove(&ids[1]).unwrap();
    assert_eq!(outbox.entries().unwrap(), [ids[0].clone(), ids[2].clone()]);
}

#[test]
fn entry_without_challenge_is_kept_as_it_is() {
    let (_folder, outbox) = outbox();
    let entry = Entry { challenge: None, fingerprint: None, ..entry("s") };
    let id = outbox.store(&entry).unwrap();
    assert_eq!(outbox.load(&id).unwrap(), entry);
}

/// The form is a contract with later versions of ours.
#[test]
fn form_on_disk_is_fixed() {
    let text = String::from_utf8(entry("s").to_text().unwrap()).unwrap();
    let (digest, body) = text.split_once('\n').unwrap();
    assert_eq!(digest.len(), "# sha256 ".len() + 64);
    let head = ": 1\nentry-version: 1\nsession: s\n\
                result-url: https://ci.example.org/?build-result\n\
                challenge:\n\\\na\n: 1\nb\n\\\nfingerprint: f00\n";
    assert_eq!(body, format!("{head}{RESULT}"));
}

/// W33: an entry with artifacts has a version of its own, and keeps them in their order.
#[test]
fn form_with_artifacts_is_fixed() {
    let plain = String::from_utf8(entry("s").to_text().unwrap()).unwrap();
    let with = Entry { artifacts: artifacts(), ..entry("s") };
    let text = with.to_text().unwrap();
    assert_eq!(Entry::parse(&text, "entry").unwrap(), with);
    let body = plain.split_once('\n').unwrap().1;
    let body = body.replace("entry-version: 1", "entry-version: 2");
    let added = "fingerprint: f00\n\
                 artifact: 0a archive https://ci.example.org/?upload=bindist\n\
                 artifact: 0b debian https://ci.example.org/?upload=bindist\n";
    let body = body.replace("fingerprint: f00\n", added);
    assert_eq!(String::from_utf8(text).unwrap().split_once('\n').unwrap().1, body);
}

fn artifacts() -> Vec<Artifact> {
    let artifact = |(sha256, instance): (&str, &str)| Artifact {
        url: "https://ci.example.org/?upload=bindist".to_owned(),
        instance: instance.to_owned(),
        sha256: sha256.to_owned(),
    };
    [("0a", "archive"), ("0b", "debian")].map(artifact).into()
}

/// Stores an entry with two artifacts of 1000 bytes each.
fn store_with_artifacts(outbox: &Outbox) -> EntryId {
    let reservation = outbox.reserve().unwrap();
    for number in [0, 1] {
        fs::write(reservation.path(number), [0; 1000]).unwrap();
    }
    outbox.store_reserved(reservation, &Entry { artifacts: artifacts(), ..entry("s") }).unwrap()
}

/// W33, W38: artifacts are there for the next process, those that were taken are not, and they
/// count; with their entry they go.
#[test]
fn artifacts_survive_their_process() {
    let (folder, outbox) = outbox();
    let plain = outbox.store(&entry("s")).unwrap();
    let without = outbox.size().unwrap();
    let id = store_with_artifacts(&outbox);
    assert!(outbox.size().unwrap() >= 2 * without + 2000);
    assert_eq!(summary(folder.path()).unwrap().unwrap().bytes, outbox.size().unwrap());
    drop(outbox);
    let outbox = Outbox::open(folder.path()).unwrap();
    assert_eq!(outbox.entries().unwrap(), [plain, id.clone()]);
    let entry = outbox.load(&id).unwrap();
    let pending = |outbox: &Outbox| {
        let pending = outbox.pending(&id, &entry);
        pending.into_iter().map(|(n, artifact)| (n, artifact.instance.clone())).collect::<Vec<_>>()
    };
    assert_eq!(pending(&outbox), [(0, "archive".to_owned()), (1, "debian".to_owned())]);
    outbox.remove_artifact(&id, 0).unwrap();
    let outbox = Outbox::open(folder.path()).unwrap();
    assert_eq!(pending(&outbox), [(1, "debian".to_owned())]);
    outbox.remove(&id).unwrap();
    assert_eq!(names(&folder.path().join("outbox")).len(), 1);
    assert_eq!(outbox.size().unwrap(), without);
}

/// W33: artifacts without an entry, after a crash before it was stored or after it was removed.
#[test]
fn orphaned_artifacts_are_swept() {
    let (folder, outbox) = outbox();
    let id = store_with_artifacts(&outbox);
    let orphan = outbox.reserve().unwrap();
    fs::write(orphan.path(0), "half of it").unwrap();
    // As in a crash: it is not dropped.
    std::mem::forget(orphan);
    let foreign = folder.path().join("outbox/other.artifacts");
    fs::create_dir(&foreign).unwrap();
    let waiting = folder.path().join("outbox");
    assert_eq!(names(&waiting).len(), 4);
    let outbox = Outbox::open(folder.path()).unwrap();
    let left = [format!("{id}.artifacts"), id.file_name(), "other.artifacts".to_owned()];
    assert_eq!(names(&waiting), left);
    fs::remove_file(outbox.path(&id)).unwrap();
    Outbox::open(folder.path()).unwrap();
    assert_eq!(names(&waiting), ["other.artifacts"]);
}

/// A folder that is not used is removed.
#[test]
fn an_unused_reservation_leaves_nothing() {
    let (folder, outbox) = outbox();
    let reservation = outbox.reserve().unwrap();
    fs::write(reservation.path(0), "x").unwrap();
    drop(reservation);
    assert_eq!(names(&folder.path().join("outbox")), [""; 0]);
}

/// A dead letter keeps its artifacts.
#[test]
fn artifacts_go_to_the_dead_letters() {
    let (folder, outbox) = outbox();
    let id = store_with_artifacts(&outbox);
    outbox.dead_letter(&id, "refused").unwrap();
    assert_eq!(names(&folder.path().join("outbox")), [""; 0]);
    let dead = folder.path().join("dead-letters");
    let expected = [format!("{id}.artifacts"), format!("{id}.manifest"), format!("{id}.reason")];
    assert_eq!(names(&dead), expected);
    assert_eq!(names(&dead.join(&expected[0])), ["0.tar", "1.tar"]);
}

/// W41: an entry that was truncated or changed is detected, and becomes a dead letter.
#[test]
fn a_damaged_entry_becomes_a_dead_letter() {
    let (folder, outbox) = outbox();
    let good = entry("s").to_text().unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let cut = good[..good.len() - 1].to_vec();
    for bad in [Vec::new(), flipped, cut, b"# sha256 \n".to_vec()] {
        let id = outbox.store(&entry("s")).unwrap();
        fs::write(outbox.path(&id), &bad).unwrap();
        let error = outbox.load(&id).unwrap_err();
        let path = outbox.path(&id).display().to_string();
        let text = format!("cannot use {path}: its digest is not that of its content");
        assert_eq!(error.to_string(), text);
        outbox.dead_letter(&id, &error.to_string()).unwrap();
        assert_eq!(outbox.entries().unwrap(), []);
        let dead = folder.path().join("dead-letters");
        assert_eq!(names(&dead), [format!("{id}.manifest"), format!("{id}.reason")]);
        assert_eq!(fs::read(dead.join(format!("{id}.manifest"))).unwrap(), bad);
        let reason = fs::read_to_string(dead.join(format!("{id}.reason"))).unwrap();
        assert_eq!(reason, format!("{text}\n"));
        fs::remove_dir_all(&dead).unwrap();
        fs::create_dir(&dead).unwrap();
    }
}

/// An entry that a later version has written is not used.
#[test]
fn an_unknown_form_is_unusable() {
    let text = |head: &str| {
        let body = format!(": 1\n{head}{RESULT}");
        format!("# sha256 {}\n{body}", sha256_hex(body.as_bytes())).into_bytes()
    };
    let parse = |head: &str| Entry::parse(&text(head), "entry").map(|entry| entry.session);
    let known = "entry-version: 1\nsession: s\nresult-url: u\n";
    assert_eq!(parse(known).unwrap(), "s");
    assert_eq!(parse(&format!("{known}later: x\n")).unwrap(), "s");
    let version = known.replace("version: 1", "version: 3");
    let text = "its entry-version is 3, and this agent knows 2";
    assert_eq!(parse(&version).unwrap_err(), text);
    let none = known.replace("entry-version: 1\n", "");
    assert_eq!(parse(&none).unwrap_err(), "it has no entry-version");
    let artifact = format!("{}artifact: a b\n", known.replace("version: 1", "version: 2"));
    assert_eq!(parse(&artifact).unwrap_err(), "an artifact is malformed");
    let session = known.replace("session: s\n", "");
    assert_eq!(parse(&session).unwrap_err(), "it has no session");
}

/// A half-written file that a crash leaves is not read, and removed at the next start.
#[test]
fn unfinished_files_are_swept() {
    let (folder, outbox) = outbox();
    let id = outbox.store(&entry("s")).unwrap();
    let unfinished = folder.path().join("outbox/00000000000000000001-1.manifest.new");
    fs::write(&unfinished, "# sha256").unwrap();
    fs::write(folder.path().join("task-at-hand.manifest.new"), "").unwrap();
    assert_eq!(outbox.entries().unwrap(), std::slice::from_ref(&id));
    let outbox = Outbox::open(folder.path()).unwrap();
    assert_eq!(names(folder.path()), ["dead-letters", "outbox"]);
    assert_eq!(names(&folder.path().join("outbox")), [id.file_name()]);
    assert!(!outbox.recover_record().unwrap());
}

#[test]
fn other_files_are_left_alone() {
    let (folder, outbox) = outbox();
    for name in ["README", "1-1.manifest", "x-1.manifest", "00000000000000000001.manifest"] {
        fs::write(folder.path().join("outbox").join(name), "").unwrap();
    }
    assert_eq!(outbox.entries().unwrap(), []);
}

/// A session id is confidential: with it, another client could answer the task.
#[test]
fn only_the_owner_can_read() {
    let (folder, outbox) = outbox();
    let id = outbox.store(&entry("s")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&outbox.path(&id)), 0o600);
    assert_eq!(mode(&folder.path().join("outbox")), 0o700);
}

/// W38
#[test]
fn the_size_is_that_of_all_entries() {
    let (_folder, outbox) = outbox();
    assert_eq!(outbox.size().unwrap(), 0);
    let id = outbox.store(&entry("s")).unwrap();
    let length = fs::metadata(outbox.path(&id)).unwrap().len();
    assert_eq!(outbox.size().unwrap(), length);
    outbox.store(&entry("s")).unwrap();
    assert_eq!(outbox.size().unwrap(), 2 * length);
}

/// Another process's entry of the same name is not written over.
#[test]
fn a_taken_name_is_not_reused() {
    let (_folder, outbox) = outbox();
    let path = outbox.path(&outbox.ids.next());
    assert!(outbox.put(&path, b"1").unwrap());
    assert!(!outbox.put(&path, b"2").unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"1");
}

/// Runs `work` with a new folder on a thread without root's rights to files.
fn as_ordinary_user(work: impl FnOnce(&Path) + Send) {
    let folder = tempfile::tempdir().unwrap();
    let (root, nobody) = (Uid::from_raw(0), Uid::from_raw(65534));
    let work = || {
        if Uid::effective() == root {
            chown(folder.path(), Some(nobody.as_raw()), None).unwrap();
            // Of this thread alone, and with it the capabilities that override modes.
            setfsuid(nobody);
        }
        work(folder.path());
    };
    thread::scope(|scope| scope.spawn(work).join()).unwrap();
}

/// I5, W41: an entry that is not certain to survive a power failure is removed, so that the
/// other answer that its task gets is the only one.
#[test]
fn an_entry_that_is_not_durable_is_removed() {
    as_ordinary_user(|folder| {
        let outbox = Outbox::open(folder).unwrap();
        let waiting = folder.join(WAITING);
        let mode = |mode| fs::set_permissions(&waiting, Permissions::from_mode(mode)).unwrap();
        let reservation = outbox.reserve().unwrap();
        fs::write(reservation.path(0), "x").unwrap();
        // Names can be created in it and removed, but it cannot be opened to be synchronised.
        mode(0o300);
        let plain = outbox.store(&entry("s")).unwrap_err();
        let with = Entry { artifacts: artifacts(), ..entry("s") };
        let with = outbox.store_reserved(reservation, &with).unwrap_err();
        mode(0o700);
        let text = format!("cannot synchronise {}", waiting.display());
        assert_eq!([plain, with].map(|error| error.to_string()), [text.clone(), text]);
        assert_eq!(names(&waiting), [""; 0]);
        // The disk works again: the other answer is stored.
        let id = outbox.store(&entry("s")).unwrap();
        assert_eq!(outbox.entries().unwrap(), [id]);
    });
}

/// W41: an entry that cannot even be removed may be the answer; only the next start can tell.
#[test]
fn nothing_is_stored_beside_an_uncertain_entry() {
    let (folder, outbox) = outbox();
    outbox.record(&entry("s")).unwrap();
    let path = outbox.path(&outbox.ids.next());
    // A folder is not removed as a file is.
    fs::create_dir(&path).unwrap();
    outbox.withdraw(&path);
    let text = format!(
        "{} could be neither synchronised nor removed: no result is stored beside it",
        path.display()
    );
    assert_eq!(outbox.store(&entry("s")).unwrap_err().to_string(), text);
    let reservation = outbox.reserve().unwrap();
    assert_eq!(outbox.store_reserved(reservation, &entry("s")).unwrap_err().to_string(), text);
    fs::remove_dir(&path).unwrap();
    // In this case the disk has not kept it, so the record is the answer.
    let outbox = Outbox::open(folder.path()).unwrap();
    assert!(outbox.recover_record().unwrap());
    assert_eq!(outbox.entries().unwrap().len(), 1);
}

/// W3, W41: the task that a dead process had at hand is answered, once.
#[test]
fn the_task_at_hand_is_answered_after_a_crash() {
    let (folder, outbox) = outbox();
    assert!(!outbox.recover_record().unwrap());
    outbox.record(&entry("old")).unwrap();
    outbox.record(&entry("s")).unwrap();
    drop(outbox);
    let outbox = Outbox::open(folder.path()).unwrap();
    assert!(outbox.recover_record().unwrap());
    let ids = outbox.entries().unwrap();
    assert_eq!(ids.len(), 1);
    assert_eq!(outbox.load(&ids[0]).unwrap(), entry("s"));
    assert!(!outbox.recover_record().unwrap());
    assert_eq!(outbox.entries().unwrap(), ids);
}

/// W41: a result that was durable before the crash is the answer.
#[test]
fn a_task_with_a_result_is_not_answered_again() {
    let (_folder, outbox) = outbox();
    outbox.record(&entry("s")).unwrap();
    let id = outbox.store(&entry("s")).unwrap();
    assert!(!outbox.recover_record().unwrap());
    assert_eq!(outbox.entries().unwrap(), [id]);
    outbox.record(&entry("s")).unwrap();
    outbox.forget_record().unwrap();
    outbox.forget_record().unwrap();
    assert!(!outbox.recover_record().unwrap());
}

/// W41: a record that could not be removed in time is no second answer: it is removed before the
/// entry is removed or becomes a dead letter. The record of another task stays.
#[test]
fn a_record_is_removed_before_its_entry() {
    let (folder, outbox) = outbox();
    for is_dead in [false, true] {
        outbox.record(&entry("s")).unwrap();
        let (first, second) =
            (outbox.store(&entry("other")).unwrap(), outbox.store(&entry("s")).unwrap());
        outbox.remove(&first).unwrap();
        assert!(outbox.record.path.is_file());
        if is_dead {
            outbox.dead_letter(&second, "no").unwrap();
        } else {
            outbox.remove(&second).unwrap();
        }
        let outbox = Outbox::open(folder.path()).unwrap();
        assert!(!outbox.recover_record().unwrap());
        assert_eq!(outbox.entries().unwrap(), []);
    }
}

/// A crash can leave a reason without its entry. A dead letter that an operator moves back is
/// posted again.
#[test]
fn a_reason_without_its_entry_is_swept() {
    let (folder, outbox) = outbox();
    let dead = folder.path().join("dead-letters");
    fs::write(dead.join("00000000000000000001-1.reason"), "crashed").unwrap();
    let [kept, back] = ["a", "b"].map(|session| outbox.store(&entry(session)).unwrap());
    outbox.dead_letter(&kept, "no").unwrap();
    outbox.dead_letter(&back, "not today").unwrap();
    fs::rename(dead.join(back.file_name()), outbox.path(&back)).unwrap();
    let outbox = Outbox::open(folder.path()).unwrap();
    assert_eq!(names(&dead), [kept.file_name(), format!("{kept}.reason")]);
    assert_eq!(outbox.entries().unwrap(), std::slice::from_ref(&back));
    assert_eq!(outbox.load(&back).unwrap(), entry("b"));
}

/// W41: a record that cannot be read is not answered, but it is not lost either.
#[test]
fn a_damaged_record_becomes_a_dead_letter() {
    let (folder, outbox) = outbox();
    fs::write(&outbox.record.path, "# sha256 0\n").unwrap();
    assert!(!outbox.recover_record().unwrap());
    assert_eq!(outbox.entries().unwrap(), []);
    assert_eq!(names(&folder.path().join("dead-letters")).len(), 2);
    assert_eq!(names(folder.path()), ["dead-letters", "outbox"]);
}
