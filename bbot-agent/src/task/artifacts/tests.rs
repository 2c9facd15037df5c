//! Archives of guests, good and hostile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use bbot_manifest::{Manifest, ResultManifest};
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::archive::MEMBERS_MAX;
use super::*;
use crate::fs::digest::sha256_hex;

/// One member as it is, whatever its name is.
fn member(kind: EntryType, name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o640);
    header.set_mtime(1_700_000_000);
    header.set_uid(1000);
    header.set_gid(1000);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, content: &str) -> Vec<u8> {
    member(EntryType::Regular, name.as_bytes(), content.as_bytes())
}

fn folder(name: &str) -> Vec<u8> {
    member(EntryType::Directory, name.as_bytes(), b"")
}

fn pax(records: &[u8]) -> Vec<u8> {
    member(EntryType::XHeader, b"pax", records)
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// What came of packing an archive, its artifacts below the folder.
struct Packed {
    folder: TempDir,
    outcome: Result<Vec<Artifact>, ArtifactError>,
}

const URL: &str = "https://ci.example.org/?upload=bindist";

fn packed(bytes: &[u8]) -> Packed {
    let folder = tempfile::tempdir().unwrap();
    let upload = folder.path().join(UPLOAD);
    fs::write(&upload, bytes).unwrap();
    let archive = File::open(&upload).unwrap();
    let urls = BTreeMap::from([("bindist".to_owned(), URL.to_owned())]);
    let path = |number| folder.path().join(format!("{number}.tar"));
    let outcome = pack(&archive, &upload, &urls, path);
    Packed { folder, outcome }
}

/// The members of an archive of ours, as an independent reader sees them.
fn listed(folder: &TempDir, number: usize) -> Vec<(String, u32, Vec<u8>)> {
    let file = File::open(folder.path().join(format!("{number}.tar"))).unwrap();
    let mut reader = tar::Archive::new(file);
    let entry = |entry: io::Result<tar::Entry<'_, File>>| {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert!(header.as_ustar().is_some());
        assert_eq!(
            (header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()),
            (0, 0, 0)
        );
        let (name, mode) = (header.path().unwrap().display().to_string(), header.mode().unwrap());
        let mut content = Vec::new();
        io::Read::read_to_end(&mut entry, &mut content).unwrap();
        (name, mode, content)
    };
    reader.entries().unwrap().map(entry).collect()
}

#[track_caller]
fn refused(bytes: &[u8]) -> Problem {
    match packed(bytes).outcome {
        Err(ArtifactError::Archive { problem, .. }) => problem,
        outcome => panic!("{outcome:?}"),
    }
}

/// W33: one archive for each instance of a wanted type, its members below `<instance>/`.
#[test]
fn each_instance_becomes_an_artifact() {
    let packed = packed(&archive(&[
        folder("upload/"),
        folder("upload/bindist/"),
        folder("upload/bindist/debian/"),
        file("upload/bindist/debian/b.deb", "deb"),
        file("upload/bindist/debian/a/x", ""),
        folder("upload/bindist/archive/"),
        file("upload/bindist/README", "a file is no instance"),
        folder("upload/other/archive/"),
        file("elsewhere", "x"),
        file("elsewhere/bindist/archive/x", "x"),
    ]));
    let artifacts = packed.outcome.unwrap();
    let names: Vec<_> = artifacts.iter().map(|a| (a.instance.as_str(), a.url.as_str())).collect();
    assert_eq!(names, [("archive", URL), ("debian", URL)]);
    assert_eq!(listed(&packed.folder, 0), [("archive/".to_owned(), 0o755, Vec::new())]);
    let expected = [
        ("debian/", 0o755, ""),
        ("debian/a/", 0o755, ""),
        ("debian/a/x", 0o644, ""),
        ("debian/b.deb", 0o644, "deb"),
    ];
    let expected = expected.map(|(name, mode, text)| (name.to_owned(), mode, text.into()));
    assert_eq!(listed(&packed.folder, 1), expected);
    for (number, artifact) in artifacts.iter().enumerate() {
        let path = packed.folder.path().join(format!("{number}.tar"));
        assert_eq!(artifact.sha256, sha256_hex(&fs::read(&path).unwrap()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// W33: the same content gives the same bytes, in whatever order and by whomever it was packed.
#[test]
fn an_artifact_depends_on_its_content_alone() {
    let members = ["a", "b/c", "b.d"].map(|name| file(&format!("upload/bindist/i/{name}"), name));
    let plain = archive(&members);
    let reordered = archive(&[
        folder("./upload/bindist/i/b"),
        members[2].clone(),
        folder("upload/bindist/i/b/"),
        members[1].clone(),
        members[0].clone(),
    ]);
    let digest = |bytes: &[u8]| packed(bytes).outcome.unwrap()[0].sha256.clone();
    assert_eq!(digest(&plain), digest(&reordered));
    let mut builder = Builder::new(Vec::new());
    for name in ["b/c", "a", "b.d"] {
        let mut header = Header::new_gnu();
        header.set_size(name.len() as u64);
        header.set_mode(0o600);
        let path = format!("upload/bindist/i/{name}");
        builder.append_data(&mut header, path, name.as_bytes()).unwrap();
    }
    assert_eq!(digest(&plain), digest(&builder.into_inner().unwrap()));
}

/// What tar programs write is read, and what is written can be read by them: names, modes, bytes,
/// in each of their formats.
#[test]
fn programs_agree_with_us() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("upload/bindist/archive");
    let long = "l".repeat(90);
    fs::create_dir_all(root.join(&long)).unwrap();
    let big = vec![7; 700_001];
    fs::write(root.join(&long).join("x".repeat(80)), &big).unwrap();
    fs::write(root.join("run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join("\u{fc}"), "").unwrap();
    for format in ["v7", "ustar", "gnu", "pax"] {
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(folder.path()).args(["-cf", "-", "--format", format]);
        // The oldest format cannot hold long names.
        tar.args((format == "v7").then_some("--exclude=l*"));
        let output = tar.arg("upload").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let packed = packed(&output.stdout);
        assert_eq!(packed.outcome.unwrap().len(), 1, "{format}");
        let mut list = Command::new("tar");
        list.args(["-tvf"]).arg(packed.folder.path().join("0.tar"));
        let output = list.args(["--numeric-owner", "--quoting-style=literal"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.stderr.is_empty() && text.contains("-rwxr-xr-x 0/0"), "{text}");
        assert!(text.contains("archive/\u{fc}\n"), "{text}");
        let content = listed(&packed.folder, 0).pop().unwrap();
        assert_eq!(text.contains("700001"), format != "v7", "{text}");
        assert_eq!(content.0, "archive/\u{fc}");
    }
}

/// W33, I6: regular files and folders only.
#[test]
fn links_and_devices_are_refused() {
    let kinds = [
        (EntryType::Link, b'1'),
        (EntryType::Symlink, b'2'),
        (EntryType::Char, b'3'),
        (EntryType::Block, b'4'),
        (EntryType::Fifo, b'6'),
        (EntryType::GNULongLink, b'K'),
        (EntryType::GNUSparse, b'S'),
        (EntryType::new(b'M'), b'M'),
    ];
    for (kind, byte) in kinds {
        let bytes = archive(&[member(kind, b"upload/bindist/archive/x", b"")]);
        assert_eq!(refused(&bytes), Problem::Kind(byte));
        // Wherever it is.
        let bytes = archive(&[file("upload/bindist/a/x", "x"), member(kind, b"x", b"")]);
        assert_eq!(refused(&bytes), Problem::Kind(byte));
    }
}

/// W33, I6: no name leads out of the archive.
#[test]
fn names_that_lead_out_are_refused() {
    for name in ["/etc/passwd", "..", "upload/../../x", "upload/bindist/a/../b", "a\nb", "a\x7f"] {
        let bytes = archive(&[file(name, "x")]);
        assert_eq!(refused(&bytes), Problem::Path(name.as_bytes().to_vec()), "{name:?}");
        let record = format!(" path={name}\n");
        let bytes =
            archive(&[pax(format!("{}{record}", record.len() + 2).as_bytes()), file("a", "")]);
        assert!(matches!(refused(&bytes), Problem::Path(_) | Problem::Extension(_)), "{name:?}");
        let long = member(EntryType::GNULongName, b"././@LongLink", name.as_bytes());
        let bytes = archive(&[long, file("upload/bindist/a/x", "")]);
        assert_eq!(refused(&bytes), Problem::Path(name.as_bytes().to_vec()), "{name:?}");
    }
    assert_eq!(refused(&archive(&[file("", "")])), Problem::Path(Vec::new()));
}

/// W33: the name of an instance is a file's name on the controller.
#[test]
fn odd_instances_are_refused() {
    for name in [" ", "a b", "a\"b", "a;b", "\u{fc}", ".hidden", "a:b", &"x".repeat(65)] {
        let bytes = archive(&[folder(&format!("upload/bindist/{name}/"))]);
        assert_eq!(refused(&bytes), Problem::Instance(name.as_bytes().to_vec()), "{name:?}");
        // An instance name does not matter if the type is not requested.
        let bytes = archive(&[folder(&format!("upload/other/{name}/"))]);
        assert_eq!(packed(&bytes).outcome.unwrap(), []);
    }
}

/// W33: limits on the count of members, and on what is read into memory for one.
#[test]
fn bombs_are_refused() {
    let one = file("x", "");
    let bytes = archive(&vec![one.clone(); MEMBERS_MAX]);
    assert_eq!(packed(&bytes).outcome.unwrap(), []);
    assert_eq!(refused(&archive(&vec![one; MEMBERS_MAX + 1])), Problem::TooMany);
    let headers = vec![pax(b"9 a=aaaa\n"); MEMBERS_MAX + 1];
    assert_eq!(refused(&archive(&headers)), Problem::TooMany);
    for kind in [EntryType::XHeader, EntryType::XGlobalHeader, EntryType::GNULongName] {
        let bytes = archive(&[member(kind, b"x", &vec![b'x'; 20_000])]);
        let too_long = Problem::Extension("an extended header is too long");
        assert_eq!(refused(&bytes), too_long);
    }
    let long = "x".repeat(600);
    let bytes = archive(&[member(EntryType::GNULongName, b"x", long.as_bytes()), file("x", "")]);
    assert_eq!(refused(&bytes), Problem::Path(long.into_bytes()));
}

/// What would make another reader see another archive is refused: sizes elsewhere than in the
/// member's own header, sparse files, folders with bytes.
#[test]
fn ambiguous_members_are_refused() {
    let changes = Problem::Extension("a pax header changes names or sizes");
    for record in ["10 size=9\n", "22 GNU.sparse.major=1\n", "25 GNU.sparse.realsize=9\n"] {
        assert_eq!(refused(&archive(&[pax(record.as_bytes()), file("x", "")])), changes);
    }
    let global = member(EntryType::XGlobalHeader, b"x", b"10 path=x\n");
    assert_eq!(refused(&archive(&[global, file("x", "")])), changes);
    let malformed = Problem::Extension("a pax header is malformed");
    assert_eq!(refused(&archive(&[pax(b"99 path=x\n"), file("x", "")])), malformed);
    let bytes = archive(&[member(EntryType::Directory, b"x", b"content")]);
    assert_eq!(refused(&bytes), Problem::Extension("a folder has bytes"));
}

/// W33: a file is there once, and has no members.
#[test]
fn members_that_collide_are_refused() {
    let twice = |members: &[Vec<u8>]| match refused(&archive(members)) {
        Problem::Twice(name) => String::from_utf8(name).unwrap(),
        problem => panic!("{problem:?}"),
    };
    let x = || file("upload/bindist/a/x", "1");
    assert_eq!(twice(&[x(), x()]), "upload/bindist/a/x");
    assert_eq!(twice(&[x(), file("upload/bindist/a/x/y", "2")]), "upload/bindist/a/x/y");
    assert_eq!(twice(&[file("upload/bindist/a/x/y", "2"), x()]), "upload/bindist/a/x");
    assert_eq!(twice(&[folder("upload/bindist/a/x"), x()]), "upload/bindist/a/x");
}

/// W28, W33: an archive that is cut off is none, wherever it is cut off.
#[test]
fn truncated_archives_are_refused() {
    let whole =
        archive(&[folder("upload/bindist/a"), file("upload/bindist/a/x", &"x".repeat(600))]);
    assert_eq!(packed(&whole[..whole.len() - 512]).outcome.unwrap().len(), 1, "one mark is enough");
    for cut in (0..whole.len() - 1023).step_by(7).chain([512, 1024, 2048]) {
        assert_eq!(refused(&whole[..cut]), Problem::Truncated, "cut at {cut}");
    }
}

#[test]
fn what_is_no_archive_is_refused() {
    assert_eq!(refused(b""), Problem::Truncated);
    assert_eq!(refused(&[b'x'; 10_240]), Problem::Header);
    let mut flipped = archive(&[file("x", "")]);
    flipped[0] ^= 1;
    assert_eq!(refused(&flipped), Problem::Header);
    let mut header = Header::new_ustar();
    header.set_path("x").unwrap();
    header.as_old_mut().size = *b"0000000zz\0\0\0";
    header.set_cksum();
    assert_eq!(refused(&archive(&[header.as_bytes().to_vec()])), Problem::Number);
    header.set_size(u64::MAX);
    header.set_cksum();
    assert_eq!(refused(&archive(&[header.as_bytes().to_vec()])), Problem::Truncated);
}

#[test]
fn a_name_that_ustar_cannot_hold_is_refused() {
    let name = format!("upload/bindist/a/{}", "x".repeat(101));
    let long = member(EntryType::GNULongName, b"x", name.as_bytes());
    let outcome = packed(&archive(&[long, file("x", "")])).outcome;
    assert!(matches!(outcome, Err(ArtifactError::LongName { .. })), "{outcome:?}");
}

/// An operator reads what was wrong, where; a guest's name cannot play with the terminal.
#[test]
fn problems_are_told() {
    let error = |bytes: &[u8]| packed(bytes).outcome.unwrap_err().to_string();
    let link = archive(&[file("a", "x"), member(EntryType::Symlink, b"b", b"")]);
    assert_eq!(error(&link), "upload.tar, byte 1024: type '2' is neither file nor folder");
    let escape = archive(&[file("\x1b[2J", "")]);
    let expected = "upload.tar, byte 0: \"\\u{1b}[2J\" is not a name inside the archive";
    assert_eq!(error(&escape), expected);
}

proptest! {
    /// Whatever a guest sends: an archive, or an error that is the guest's; never a panic.
    #[test]
    fn damage_is_survived(at in 0usize..2560, byte: u8, length in 0usize..4096) {
        let mut bytes = archive(&[
            pax(b"26 path=upload/bindist/a/b\n"),
            file("x", "content"),
        ]);
        bytes[at] = byte;
        bytes.truncate(length);
        let outcome = packed(&bytes).outcome;
        prop_assert!(!matches!(outcome, Err(ArtifactError::File(_))), "{outcome:?}");
    }
}

const RESULT: &str = ": 1\nname: foo\nversion: 1.2.3\nstatus: ";

fn entry(status: &str) -> Entry {
    let result = format!("{RESULT}{status}\n");
    Entry {
        session: "s".to_owned(),
        result_url: "https://ci.example.org/?build-result".to_owned(),
        challenge: None,
        fingerprint: None,
        artifacts: Vec::new(),
        result: ResultManifest::parse(result.as_bytes(), "result").unwrap(),
    }
}

/// Stores an entry whose guest has sent `upload`; returns how many artifacts it has, and what the
/// outbox holds.
fn stored(upload: Option<&[u8]>, status: &str, types: &[&str]) -> (usize, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path()).unwrap();
    let path = folder.path().join(UPLOAD);
    if let Some(bytes) = upload {
        fs::write(&path, bytes).unwrap();
    }
    let urls = types.iter().map(|kind| ((*kind).to_owned(), URL.to_owned())).collect();
    let id = store(&outbox, entry(status), Some(&path), &urls).unwrap();
    let names = fs::read_dir(folder.path().join("outbox")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut kinds: Vec<_> = names.map(|name| name.rsplit('.').next().unwrap().to_owned()).collect();
    kinds.sort();
    (outbox.load(&id).unwrap().artifacts.len(), kinds)
}

/// W33: with a good result, for types that the controller takes; the result is stored whatever
/// the guest has sent.
#[test]
fn a_result_is_stored_with_what_is_wanted() {
    let good = archive(&[file("upload/bindist/a/x", "x")]);
    let both = ["artifacts", "manifest"].map(str::to_owned).to_vec();
    let alone = vec!["manifest".to_owned()];
    assert_eq!(stored(Some(&good), "success", &["bindist"]), (1, both.clone()));
    assert_eq!(stored(Some(&good), "warning", &["bindist"]), (1, both));
    assert_eq!(stored(Some(&good), "error", &["bindist"]), (0, alone.clone()));
    assert_eq!(stored(Some(&good), "success", &["other"]), (0, alone.clone()));
    assert_eq!(stored(Some(&good), "success", &[]), (0, alone.clone()));
    assert_eq!(stored(Some(b"no archive"), "success", &["bindist"]), (0, alone.clone()));
    assert_eq!(stored(None, "success", &["bindist"]), (0, alone));
}
