//! The outbox on volumes that are filled to the last byte and inode (W48).

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::thread;

use bbot_manifest::{Manifest, ResultManifest, ResultStatus};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::syncfs;

use super::*;

fn entry(status: ResultStatus, log: usize) -> Entry {
    let log = "x".repeat(log);
    let text = format!(
        ": 1\nname: foo\nversion: 1.2.3\nstatus: {status}\nupdate-status: {status}\n\
         update-log: {log}\n"
    );
    Entry {
        session: "s".to_owned(),
        result_url: "https://ci.example.org/?build-result".to_owned(),
        challenge: None,
        fingerprint: None,
        artifacts: Vec::new(),
        result: ResultManifest::parse(text.as_bytes(), "result").unwrap(),
    }
}

/// Runs `work` with a volume of its own, on a thread with a mount namespace of its own.
fn on_volume(format: &[&str], options: &str, work: impl FnOnce(&Path) + Send) {
    let scratch = tempfile::tempdir().unwrap();
    let volume = scratch.path().join("volume");
    fs::create_dir(&volume).unwrap();
    let image = scratch.path().join("image");
    File::create(&image).unwrap().set_len(128 << 20).unwrap();
    let source = if let Some((program, arguments)) = format.split_first() {
        run(Command::new(program).args(arguments).arg(&image));
        image.to_str().unwrap()
    } else {
        "tmpfs"
    };
    let work = || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let kind = if source == "tmpfs" { "tmpfs" } else { "auto" };
        run(Command::new("mount").args(["-t", kind, "-o", options, source]).arg(&volume));
        work(&volume);
        run(Command::new("umount").arg(&volume));
    };
    thread::scope(|scope| scope.spawn(work).join()).unwrap();
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// Takes all room that is left, and returns the files that take it.
fn fill(volume: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    // The smallest are kept among the metadata of btrfs.
    for size in [1 << 20, 4 << 10, 1 << 10] {
        let content = vec![1; size];
        loop {
            let path = volume.join(format!("filler-{size}-{}", files.len()));
            let Ok(mut file) = File::create(&path) else { break };
            files.push(path);
            if file.write_all(&content).is_err() {
                break;
            }
        }
        syncfs(File::open(volume).unwrap()).unwrap();
    }
    files
}

/// With room made, a task is recorded and answered whatever else takes the volume, and no room is
/// made for another one until there is some.
fn check(volume: &Path) {
    let outbox = Outbox::open(volume).unwrap();
    outbox.make_room().unwrap();
    let files = fill(volume);
    outbox.make_room().unwrap();
    let interrupt = entry(ResultStatus::Interrupt, 0);
    let success = entry(ResultStatus::Success, 9 << 20);
    outbox.record(&interrupt).unwrap();
    let id = outbox.store(&success).unwrap();
    outbox.forget_record().unwrap();
    fill(volume);
    let error = outbox.make_room().unwrap_err();
    assert!(matches!(&error, OutboxError::File(error) if error.is_shortage()), "{error}");
    drop(outbox);
    // The next process.
    let outbox = Outbox::open(volume).unwrap();
    assert_eq!(outbox.load(&id).unwrap(), success);
    outbox.make_room().unwrap_err();
    for file in files {
        fs::remove_file(file).unwrap();
    }
    outbox.make_room().unwrap();
}

/// W48
#[test]
fn a_task_is_answered_though_tmpfs_is_full() {
    on_volume(&[], "size=40m", check);
}

/// W48
#[test]
fn a_task_is_answered_though_there_are_no_inodes() {
    on_volume(&[], "size=100m,nr_inodes=20", check);
}

/// W48
#[test]
fn a_task_is_answered_though_ext4_is_full() {
    on_volume(&["mkfs.ext4", "-q", "-F"], "loop", check);
}

/// W48
#[test]
fn a_task_is_answered_though_btrfs_is_full() {
    on_volume(&["mkfs.btrfs", "-q"], "loop", check);
}

/// W48: a volume that has become read-only is noticed though the room was made before.
#[test]
fn no_room_is_made_on_a_read_only_volume() {
    on_volume(&[], "size=100m", |volume| {
        let outbox = Outbox::open(volume).unwrap();
        outbox.make_room().unwrap();
        let remount = |option| {
            run(Command::new("mount").args(["-o", option]).arg(volume));
        };
        remount("remount,ro");
        let error = format!("{:#}", anyhow::Error::new(outbox.make_room().unwrap_err()));
        assert!(error.contains("Read-only file system"), "{error}");
        assert!(Outbox::new(&volume.join("other")).make_ready().is_err());
        remount("remount,rw");
        outbox.make_room().unwrap();
    });
}
