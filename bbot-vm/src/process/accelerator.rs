//! Whether a guest can be executed by the processor itself.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use super::sys;
use super::user::VmUser;

/// What executes a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Accelerator {
    /// The processor, through `/dev/kvm`.
    Kvm,
    /// QEMU's translator: works on every host, many times slower.
    Tcg,
}

impl Accelerator {
    /// Returns what a guest that runs as `user` is executed by: KVM if that user may open
    /// `/dev/kvm`, and if the kernel creates virtual machines.
    pub fn detect(user: &VmUser) -> Accelerator {
        let usable = std::fs::metadata("/dev/kvm").is_ok_and(|device| may_open(&device, user));
        if usable && sys::kvm_creates_machines() { Accelerator::Kvm } else { Accelerator::Tcg }
    }
}

/// Whether the file's mode lets `user` read and write it. Access control lists are not evaluated:
/// QEMU itself tries KVM first and falls back, so a wrong answer costs a CPU model, not the guest.
fn may_open(file: &Metadata, user: &VmUser) -> bool {
    let in_group = || user.groups().iter().any(|group| group.as_raw() == file.gid());
    let shift = if user.uid() == file.uid() {
        6
    } else if user.gid() == file.gid() || in_group() {
        3
    } else {
        0
    };
    (file.mode() >> shift) & 0o6 == 0o6
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    #[test]
    fn mode_decides_for_owner_group_and_others() {
        let user = VmUser::resolve(Some("nobody")).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        for (uid, gid, mode, expected) in [
            (0, 0, 0o600, false),
            (0, 0, 0o660, false),
            (0, 0, 0o666, true),
            (0, 65534, 0o660, true),
            (0, 65534, 0o640, false),
            (0, 65534, 0o606, false),
            (65534, 0, 0o600, true),
            (65534, 0, 0o066, false),
        ] {
            chown(file.path(), Some(uid), Some(gid)).unwrap();
            std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            let metadata = file.path().metadata().unwrap();
            assert_eq!(may_open(&metadata, &user), expected, "{uid}:{gid} {mode:o}");
        }
    }
}
