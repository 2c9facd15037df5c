//! The file descriptors that transfers need.

use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::close;

use crate::config::ServerConfig;

/// The number of descriptors that are left to the rest of the process.
const RESERVE: usize = 64;

/// The number of descriptors that a session needs: for the file, the folder of an upload, the port,
/// and the second socket at its address.
fn per_session(config: &ServerConfig) -> usize {
    if config.single_port { 2 } else { 4 }
}

/// The number of descriptors that the process may have.
fn limit() -> usize {
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    usize::try_from(soft).unwrap_or(usize::MAX)
}

/// The number of sessions that the process may have descriptors for.
pub(crate) fn sessions_with_descriptors(config: &ServerConfig) -> usize {
    (limit().saturating_sub(RESERVE) / per_session(config)).max(1)
}

/// Makes the kernel enlarge this process's table of descriptors now, to the size that all transfers
/// may need, half-open ones included.
///
/// When the table grows, the kernel waits until no thread can be using the old one. That takes some
/// milliseconds, and would delay all transfers whenever many begin at once.
pub(crate) fn reserve_descriptors(open: impl AsFd, config: &ServerConfig) {
    let bound = config.limits.transfers.saturating_add(config.limits.half_open);
    let sessions = bound.min(sessions_with_descriptors(config));
    let needed = sessions.saturating_mul(per_session(config)).saturating_add(RESERVE);
    let last = needed.min(limit()).saturating_sub(1);
    // Where this fails, the table grows later.
    if let Ok(last) = i32::try_from(last)
        && let Ok(descriptor) = fcntl(open, FcntlArg::F_DUPFD_CLOEXEC(last))
        && let Err(errno) = close(descriptor)
    {
        log::debug!("cannot close descriptor {descriptor}: {errno}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    #[test]
    fn the_table_is_large_enough_for_all_transfers() {
        let limits = Limits::default().with_transfers(100).with_half_open(100);
        reserve_descriptors(std::io::stdin(), &ServerConfig::default().with_limits(limits));
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        assert!(size.trim().parse::<usize>().unwrap() >= 800.min(limit()), "{size}");
    }
}
