// A btrfs volume that exists while a closure runs. The tests, the doc tests and the benchmark
// include this file, hence no inner documentation.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use tempfile::TempDir;

/// The image's size in bytes. It is sparse.
const SIZE: u64 = 512 << 20;

/// A fresh volume in an image file, mounted in a mount namespace of this thread and of the
/// processes that it starts.
pub(crate) struct Volume {
    folder: TempDir,
    root: PathBuf,
}

/// Runs the body with a volume, and returns what it returns.
///
/// The body runs in a thread with a mount namespace of its own. The namespace ends with the thread,
/// so that nothing stays mounted and no loop device stays bound, however the body or the process
/// ends.
pub(crate) fn with<T: Send>(body: impl FnOnce(&Volume) -> T + Send) -> T {
    assert!(geteuid().is_root(), "only root may mount a btrfs volume: run this as root");
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("bbot-volume".to_owned());
        let thread = thread.spawn_scoped(scope, || {
            unshare(CloneFlags::CLONE_NEWNS).expect("root may make a mount namespace");
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
                .expect("root may make mounts private");
            body(&Volume::new())
        });
        thread.expect("a thread can be started").join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

impl Volume {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("bbot-btrfs-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .expect("a folder for temporary files");
        let root = folder.path().join("volume");
        fs::create_dir(&root).expect("a new folder in the temporary one");
        let volume = Self { folder, root };
        let image = File::create(volume.image()).expect("a new file in the temporary folder");
        image.set_len(SIZE).expect("a sparse file");
        run("btrfs-progs", Command::new("mkfs.btrfs").arg("--quiet").arg(volume.image()));
        volume.mount(&volume.image());
        volume
    }

    /// Returns the folder where the volume is mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the image file that contains the volume.
    pub(crate) fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Mounts an image.
    pub(crate) fn mount(&self, image: &Path) {
        let mut command = Command::new("mount");
        command.args(["-t", "btrfs", "-o", "loop,user_subvol_rm_allowed"]).arg(image);
        run("mount", command.arg(&self.root));
    }

    /// Unmounts it, even if files on it are still open.
    pub(crate) fn unmount(&self) -> nix::Result<()> {
        umount2(&self.root, MntFlags::MNT_DETACH)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // If this fails, the end of the namespace unmounts it.
        let _ = self.unmount();
    }
}

/// Runs a program, which must succeed; `package` is the Debian package that contains it.
pub(crate) fn run(package: &str, command: &mut Command) {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) => {
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program}: {}: {complaint}", output.status);
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => panic!(
            "the program {program} is missing: install the package {package}, or run `cargo xtask \
             setup`"
        ),
        Err(e) => panic!("{program}: {e}"),
    }
}
