//! Boots a guest, again in a fresh snapshot if it mis-boots (W13, W26).

use super::run::End;
use super::session::{Disk, GuestSession, Setup};
use super::tftp_folder;
use crate::config::Config;
use crate::diag;
use crate::event_loop::EventLoop;

/// The last of the guests that were booted.
#[derive(Debug)]
pub(crate) struct Booted {
    /// The guest, which has not been forced down yet.
    pub(crate) session: GuestSession,
    pub(crate) disk: Disk,
    pub(crate) end: End,
}

/// Boots a guest of `setup`, each time with a disk of its own from `fresh_disk`, until one does not
/// mis-boot or `retries` further boots did not help; `None` if the agent is being stopped, and no
/// guest runs.
///
/// # Errors
///
/// A failure of the host, or of `fresh_disk`.
pub(crate) fn boot(
    config: &Config,
    events: &mut EventLoop,
    setup: &Setup,
    retries: u32,
    mut fresh_disk: impl FnMut() -> anyhow::Result<Disk>,
) -> anyhow::Result<Option<Booted>> {
    let mut boots = 0;
    loop {
        if events.signals().terminated() {
            return Ok(None);
        }
        let disk = fresh_disk()?;
        boots += 1;
        let mut session = GuestSession::start(config, events.sender(), setup, &disk)?;
        let end = session.run(events);
        if !end.is_worth_another_boot(boots, retries) {
            return Ok(Some(Booted { session, disk, end }));
        }
        session.report_failure(&end.failure(setup.job).unwrap_or_default());
        session.end(|| {});
        let machine = disk.machine.header.name.clone();
        disk.discard(&[("machine", machine.as_str())]);
        diag::warn(format_args!("machine {machine} mis-booted, retrying"));
        // What a late request of this guest has left is not the next one's.
        tftp_folder::clear(&setup.write)?;
    }
}
