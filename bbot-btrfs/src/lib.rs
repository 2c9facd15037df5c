//! Btrfs subvolumes as a build agent needs them: snapshot, delete, atomic replace
