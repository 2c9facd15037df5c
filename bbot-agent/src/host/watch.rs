//! Wakes the event loop when something changes that guests depend on (W70).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use bbot_vm::{NetworkConfig, NetworkWatch};

use crate::event_loop::Event;

/// Sends [`Event::HostChanged`] for changes of bridge, tap, addresses and nft tables; one for all
/// of those that come before it is acknowledged. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct HostWatch {
    is_announced: Arc<AtomicBool>,
    _network: NetworkWatch,
}

impl HostWatch {
    pub(crate) fn start(
        config: &NetworkConfig,
        events: Sender<Event>,
    ) -> Result<Self, bbot_vm::Error> {
        let is_announced = Arc::new(AtomicBool::new(false));
        let announced = Arc::clone(&is_announced);
        let network = NetworkWatch::start(config, move || {
            if !announced.swap(true, Ordering::AcqRel) {
                // The loop is gone when the process is about to end.
                drop(events.send(Event::HostChanged));
            }
        })?;
        Ok(Self { is_announced, _network: network })
    }

    /// Has later changes announced again: the caller is going to look at the host.
    pub(crate) fn acknowledge(&self) {
        self.is_announced.store(false, Ordering::Release);
    }
}
