//! The descriptors that transfers need.

use std::os::fd::AsFd;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};

use crate::config::ServerConfig;

/// Descriptors that are left to the rest of the process.
const SPARE: usize = 64;

/// How many descriptors a session needs: one for the file, one for the port, one for the strangers
/// at this port, and one for the folder of an upload.
fn of_session(config: &ServerConfig) -> usize {
    if config.single_port { 2 } else { 4 }
}

/// How many the process may have.
fn limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// How many sessions there are descriptors for.
pub(crate) fn slots(config: &ServerConfig) -> usize {
    (limit().saturating_sub(SPARE) / of_session(config)).max(1)
}

/// Lets the kernel's table of this process's descriptors grow now to what all transfers may need,
/// and all half-open requests.
///
/// When it grows, the kernel waits until no thread can be looking at the old one: some
/// milliseconds, each time that a crowd of transfers begins, in which all others would wait.
pub(crate) fn make_room(open: impl AsFd, config: &ServerConfig) {
    let bound = config.limits.transfers.saturating_add(config.limits.half_open);
    let sessions = bound.min(slots(config));
    let needed = sessions.saturating_mul(of_session(config)).saturating_add(SPARE);
    let last = needed.min(limit()).saturating_sub(1);
    if let Ok(last) = i32::try_from(last) {
        // Where there is no such descriptor, the table grows when it has to.
        drop(fcntl_dupfd_cloexec(open, last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    #[test]
    fn the_table_has_room_for_all_transfers() {
        let limits = Limits { transfers: 100, half_open: 100, ..Limits::default() };
        make_room(std::io::stdin(), &ServerConfig { limits, ..ServerConfig::default() });
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        assert!(size.trim().parse::<usize>().unwrap() >= 800.min(limit()), "{size}");
    }
}
