//! What the host must have.

/// What the host must have for a task to be requested (W67).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Requirements {
    /// `--min-free`: the part of space and inodes of each volume that must be free, in percent.
    pub(crate) free_percent: u8,
    /// `--ram`: the memory that must be available, in KiB.
    pub(crate) ram_kib: u64,
    /// `--memory-pressure-max`, in percent; 0: no limit.
    pub(crate) memory_pressure: u8,
    /// `--io-pressure-max`, in percent; 0: no limit.
    pub(crate) io_pressure: u8,
}
