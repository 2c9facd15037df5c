//! The crate on a real, loop-mounted btrfs volume.
#![allow(clippy::unwrap_used, reason = "all of this is test code, also outside of #[test]")]

mod owned;
#[path = "../volume/mod.rs"]
mod volume;

use std::env;
use std::error::Error as _;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bbot_btrfs::{
    As, Cause, Error, Operation, Snapshot, create, delete, identity, is_read_only, is_subvolume,
    publish, set_read_only, snapshot,
};
use nix::errno::Errno;

use volume::run;

/// A snapshot can be sent to, and shared with, other threads; so can errors.
const _: () = {
    const fn check<T: Send + Sync>() {}
    check::<Snapshot>();
    check::<Error>();
};

/// Creates a subvolume with a file `manifest` of that content.
fn create_with(path: &Path, content: &str) {
    create(path).unwrap();
    fs::write(path.join("manifest"), content).unwrap();
}

fn content(path: &Path) -> String {
    fs::read_to_string(path.join("manifest")).unwrap()
}

/// The error's own text, and that of its source.
fn texts(error: &Error) -> (String, String) {
    (error.to_string(), error.source().unwrap().to_string())
}

/// `W26`: a snapshot has the content of its source; a change of the snapshot does not change the
/// source.
#[test]
fn a_snapshot_is_independent() {
    volume::with(|volume| {
        let (source, target) = (volume.root().join("source"), volume.root().join("target"));
        create_with(&source, "old");
        snapshot(&source, As(&target)).unwrap();
        assert_eq!(content(&target), "old");
        fs::write(target.join("manifest"), "new").unwrap();
        assert_eq!(content(&source), "old");
        assert!(is_subvolume(&target).unwrap());
    });
}

/// A machine that was transferred with `btrfs send` is read-only; its snapshot must not be.
#[test]
fn a_snapshot_of_a_read_only_subvolume_is_writable() {
    volume::with(|volume| {
        let (source, target) = (volume.root().join("source"), volume.root().join("target"));
        create_with(&source, "old");
        set_read_only(&source, true).unwrap();
        snapshot(&source, As(&target)).unwrap();
        assert!(!is_read_only(&target).unwrap());
        fs::write(target.join("manifest"), "new").unwrap();
    });
}

/// `W9`: the caller can tell that the source does not exist, and reads the link again.
#[test]
fn a_snapshot_of_a_missing_source_is_not_found() {
    volume::with(|volume| {
        let (source, target) = (volume.root().join("source"), volume.root().join("target"));
        let error = snapshot(&source, As(&target)).unwrap_err();
        assert!(error.is_not_found());
        assert_eq!(error.raw_os_error(), Some(Errno::ENOENT as i32));
        assert_eq!(error.operation, Operation::Snapshot { source, target: target.clone() });
        assert!(!target.try_exists().unwrap());
    });
}

/// If the target is an existing folder, the snapshot is not created in it, as the program `btrfs`
/// would.
#[test]
fn a_snapshot_does_not_go_into_a_folder() {
    volume::with(|volume| {
        let (source, target) = (volume.root().join("source"), volume.root().join("target"));
        create(&source).unwrap();
        fs::create_dir(&target).unwrap();
        let error = snapshot(&source, As(&target)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EEXIST as i32));
        assert!(!error.is_not_found());
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    });
}

#[test]
fn only_subvolumes_have_snapshots() {
    volume::with(|volume| {
        let (source, target) = (volume.root().join("source"), volume.root().join("target"));
        fs::create_dir(&source).unwrap();
        let error = snapshot(&source, As(&target)).unwrap_err();
        assert!(matches!(error.cause, Cause::NotSubvolume), "{error:?}");
        let error = snapshot(Path::new("/proc"), As(&target)).unwrap_err();
        assert!(matches!(error.cause, Cause::NotSubvolume), "{error:?}");
        let error = create(&volume.image().with_extension("elsewhere")).unwrap_err();
        assert!(matches!(error.cause, Cause::NotBtrfs), "{error:?}");
    });
}

#[test]
fn delete_deletes() {
    volume::with(|volume| {
        let path = volume.root().join("machine");
        create_with(&path, "any");
        delete(&path).unwrap();
        assert_eq!(fs::read_dir(volume.root()).unwrap().count(), 0);
        assert!(delete(&path).unwrap_err().is_not_found());
    });
}

#[test]
fn delete_deletes_a_read_only_subvolume() {
    volume::with(|volume| {
        let path = volume.root().join("machine");
        create_with(&path, "any");
        set_read_only(&path, true).unwrap();
        delete(&path).unwrap();
        assert!(!path.try_exists().unwrap());
    });
}

/// As above, by a user that may delete only writable subvolumes: this program runs again as user
/// `nobody`.
#[test]
fn an_owner_deletes_a_read_only_subvolume() {
    const PATH: &str = "BBOT_BTRFS_TEST_PATH";
    const NOBODY: u32 = 65534;
    if let Some(path) = env::var_os(PATH) {
        return delete(Path::new(&path)).unwrap();
    }
    volume::with(|volume| {
        let path = volume.root().join("machine");
        create_with(&path, "any");
        for path in [volume.root(), &path] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        set_read_only(&path, true).unwrap();
        // The link: user `nobody` may have no access to the folder of the test program.
        let mut nobody = Command::new("/proc/self/exe");
        nobody.args(["--exact", "an_owner_deletes_a_read_only_subvolume", "--nocapture"]);
        run("this test", nobody.env(PATH, &path).current_dir("/").uid(NOBODY).gid(NOBODY));
        assert!(!path.try_exists().unwrap());
    });
}

/// A path that is not a subvolume is refused with that cause, and left as it is.
#[test]
fn delete_leaves_folders_alone() {
    volume::with(|volume| {
        let folder = volume.root().join("folder");
        fs::create_dir(&folder).unwrap();
        let expected = |cause: &str| {
            (format!("cannot delete subvolume {}", folder.display()), cause.to_owned())
        };
        assert_eq!(texts(&delete(&folder).unwrap_err()), expected("not a btrfs subvolume"));
        assert!(folder.is_dir());

        let elsewhere = tempfile::tempdir().unwrap();
        let error = delete(elsewhere.path()).unwrap_err();
        assert!(matches!(error.cause, Cause::NotBtrfs | Cause::NotSubvolume), "{error:?}");
        assert!(elsewhere.path().is_dir());
    });
}

/// A symbolic link to a machine is not the machine.
#[test]
fn delete_does_not_follow_links() {
    volume::with(|volume| {
        let (machine, link) = (volume.root().join("machine"), volume.root().join("link"));
        create(&machine).unwrap();
        symlink("machine", &link).unwrap();
        delete(&link).unwrap_err();
        assert!(is_subvolume(&machine).unwrap());
        assert!(link.is_symlink());
    });
}

#[test]
fn only_subvolumes_are_subvolumes() {
    volume::with(|volume| {
        let root = volume.root();
        create(&root.join("machine")).unwrap();
        fs::create_dir(root.join("folder")).unwrap();
        File::create(root.join("file")).unwrap();
        for (name, answer) in [("machine", true), ("folder", false), ("file", false)] {
            assert_eq!(is_subvolume(&root.join(name)).unwrap(), answer, "{name}");
        }
        assert!(!is_subvolume(Path::new("/proc")).unwrap());
        assert!(is_subvolume(&root.join("nothing")).unwrap_err().is_not_found());
    });
}

#[test]
fn the_read_only_flag_is_set_and_read() {
    volume::with(|volume| {
        let path = volume.root().join("machine");
        create_with(&path, "old");
        assert!(!is_read_only(&path).unwrap());
        set_read_only(&path, true).unwrap();
        assert!(is_read_only(&path).unwrap());
        let error = fs::write(path.join("manifest"), "new").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EROFS as i32));
        set_read_only(&path, false).unwrap();
        fs::write(path.join("manifest"), "new").unwrap();

        let folder = path.join("folder");
        fs::create_dir(&folder).unwrap();
        for error in [is_read_only(&folder).unwrap_err(), set_read_only(&folder, true).unwrap_err()]
        {
            assert!(matches!(error.cause, Cause::NotSubvolume), "{error:?}");
        }
        assert!(matches!(is_read_only(Path::new("/proc")).unwrap_err().cause, Cause::NotBtrfs));
    });
}

/// `W14`: a name that no file has is taken.
#[test]
fn publish_takes_a_free_name() {
    volume::with(|volume| {
        let (new, name) = (volume.root().join("new"), volume.root().join("name"));
        create_with(&new, "new");
        assert!(!publish(&new, As(&name)).unwrap().displaced);
        assert_eq!(content(&name), "new");
        assert!(!new.try_exists().unwrap());
    });
}

/// `W14`: the obsolete subvolume continues to exist, under the name that the new one had.
#[test]
fn publish_displaces() {
    volume::with(|volume| {
        let (new, name) = (volume.root().join("new"), volume.root().join("name"));
        create_with(&new, "new");
        create_with(&name, "old");
        assert!(publish(&new, As(&name)).unwrap().displaced);
        assert_eq!(content(&name), "new");
        assert_eq!(content(&new), "old");
        delete(&new).unwrap();
        assert_eq!(content(&name), "new");
    });
}

/// `W14`: a reader finds the old one or the new one while the name passes from one to the other.
#[test]
fn publish_never_leaves_the_name_free() {
    volume::with(|volume| {
        let (new, name) = (volume.root().join("new"), volume.root().join("name"));
        create_with(&new, "b");
        create_with(&name, "a");
        let (published, looked) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = [0, 0];
                while !published.load(Ordering::SeqCst) {
                    seen[usize::from(content(&name) == "b")] += 1;
                    looked.store(true, Ordering::SeqCst);
                }
                seen
            });
            for _ in 0..50 {
                // At least one read for each change, unless the reader has failed.
                while !looked.swap(false, Ordering::SeqCst) && !reader.is_finished() {
                    thread::yield_now();
                }
                assert!(publish(&new, As(&name)).unwrap().displaced);
            }
            published.store(true, Ordering::SeqCst);
            let seen = reader.join().unwrap();
            assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
        });
    });
}

/// `W14`: a publication is on disk when it returns: the content of the disk at that moment is
/// mounted, as after a power failure.
#[test]
fn publish_is_durable() {
    for displaced in [false, true] {
        volume::with(|volume| {
            let (new, name) = (volume.root().join("new"), volume.root().join("name"));
            if displaced {
                create_with(&name, "old");
            }
            create_with(&new, "new");
            File::open(new.join("manifest")).unwrap().sync_all().unwrap();
            assert_eq!(publish(&new, As(&name)).unwrap().displaced, displaced);

            let copy = volume.image().with_extension("copy");
            run(
                "coreutils",
                Command::new("cp").arg("--sparse=always").arg(volume.image()).arg(&copy),
            );
            volume.unmount().unwrap();
            volume.mount(&copy);
            assert_eq!(content(&name), "new");
            assert_eq!(new.try_exists().unwrap(), displaced);
        });
    }
}

#[test]
fn publish_of_a_missing_subvolume_changes_nothing() {
    volume::with(|volume| {
        let (new, name) = (volume.root().join("new"), volume.root().join("name"));
        create_with(&name, "old");
        let error = publish(&new, As(&name)).unwrap_err();
        assert!(error.is_not_found());
        assert_eq!(error.operation, Operation::Publish { new, name: name.clone() });
        assert_eq!(content(&name), "old");
    });
}

/// `W44`: what is displaced would be deleted as a subvolume: nothing else is displaced, and nothing
/// else gets the name.
#[test]
fn publish_displaces_only_subvolumes() {
    volume::with(|volume| {
        let path = |name: &str| volume.root().join(name);
        create_with(&path("new"), "new");
        create_with(&path("machine"), "machine");
        fs::create_dir(path("folder")).unwrap();
        fs::write(path("folder/manifest"), "folder").unwrap();
        File::create(path("file")).unwrap();
        symlink("machine", path("link")).unwrap();
        symlink("missing", path("dangling")).unwrap();
        for name in ["folder", "file", "link", "dangling"] {
            for (new, name) in [("new", name), (name, "new"), (name, "free")] {
                let error = publish(&path(new), As(&path(name))).unwrap_err();
                assert!(matches!(error.cause, Cause::NotSubvolume), "{name}: {error:?}");
            }
        }
        assert_eq!(content(&path("new")), "new");
        assert_eq!(content(&path("folder")), "folder");
        assert_eq!(content(&path("machine")), "machine");
        assert!(path("link").is_symlink() && path("dangling").is_symlink());
        assert!(!path("free").try_exists().unwrap());
    });
}

/// `W44`: a snapshot names its parent, also when that has another name or is gone.
#[test]
fn a_snapshot_has_a_parent() {
    volume::with(|volume| {
        let (source, target) = (volume.root().join("source"), volume.root().join("target"));
        create(&source).unwrap();
        snapshot(&source, As(&target)).unwrap();
        let original = identity(&source).unwrap();
        assert_eq!(original.parent, None);
        let copy = identity(&target).unwrap();
        assert_eq!(copy.parent, Some(original.uuid));
        assert_ne!(copy.uuid, original.uuid);
        publish(&target, As(&source)).unwrap();
        assert_eq!((identity(&source).unwrap(), identity(&target).unwrap()), (copy, original));
        delete(&target).unwrap();
        assert_eq!(identity(&source).unwrap(), copy);
        assert!(identity(&target).unwrap_err().is_not_found());
        let error = identity(Path::new("/proc")).unwrap_err();
        assert!(matches!(error.cause, Cause::NotBtrfs | Cause::NotSubvolume), "{error:?}");
        fs::create_dir(source.join("folder")).unwrap();
        let error = identity(&source.join("folder")).unwrap_err();
        assert!(matches!(error.cause, Cause::NotSubvolume), "{error:?}");
    });
}

/// A subvolume can be published in another folder.
#[test]
fn publish_moves_between_folders() {
    volume::with(|volume| {
        let (a, b) = (volume.root().join("a"), volume.root().join("b"));
        for folder in [&a, &b] {
            fs::create_dir(folder).unwrap();
        }
        create_with(&a.join("new"), "new");
        assert!(!publish(&a.join("new"), As(&b.join("name"))).unwrap().displaced);
        assert_eq!(content(&b.join("name")), "new");
    });
}

/// libbtrfsutil would panic on such a path.
#[test]
fn a_path_with_a_nul_byte_is_refused() {
    let (bad, good) = (Path::new(OsStr::from_bytes(b"/a\0b")), Path::new("/a"));
    for error in [
        snapshot(bad, As(good)).unwrap_err(),
        snapshot(good, As(bad)).unwrap_err(),
        create(bad).unwrap_err(),
        delete(bad).unwrap_err(),
        is_subvolume(bad).unwrap_err(),
        is_read_only(bad).unwrap_err(),
        set_read_only(bad, true).unwrap_err(),
        publish(bad, As(good)).unwrap_err(),
        publish(good, As(bad)).unwrap_err(),
    ] {
        assert!(matches!(error.cause, Cause::InteriorNul), "{error:?}");
    }
}
