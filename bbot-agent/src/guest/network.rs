//! The network of a guest, which is watched while the guest runs (W70).

use std::sync::mpsc::Sender;

use anyhow::bail;
use bbot_vm::{Network, NetworkAttachment, NetworkConfig};

use crate::diag;
use crate::event_loop::Event;
use crate::host::watch::HostWatch;

/// How often the network of one guest is restored. A program that changes it again and again has
/// to be stopped by the operator.
const RESTORES_MAX: u32 = 100;

/// The network of a guest, and the watch on it.
#[derive(Debug)]
pub(super) struct GuestNetwork {
    network: Network,
    watch: Option<HostWatch>,
    restores: u32,
}

impl GuestNetwork {
    /// Makes the network. Changes are announced to `events` from before it is made: none is missed.
    pub(super) fn set_up(
        config: &NetworkConfig,
        events: Sender<Event>,
    ) -> Result<Self, bbot_vm::Error> {
        let watch = Some(HostWatch::start(config, events)?);
        Ok(Self { network: Network::set_up(config)?, watch, restores: 0 })
    }

    pub(super) fn attachment(&self) -> NetworkAttachment<'_> {
        NetworkAttachment::from(&self.network)
    }

    /// Puts right what another program has changed, for the guest of `machine`.
    ///
    /// # Errors
    ///
    /// If the guest cannot reach its TFTP server any more.
    pub(super) fn restore(&mut self, machine: &str) -> anyhow::Result<()> {
        if let Some(watch) = &self.watch {
            watch.acknowledge();
        }
        let restored = self.network.restore()?;
        if restored.is_empty() {
            return Ok(());
        }
        self.restores += 1;
        if self.restores > RESTORES_MAX {
            bail!("another program has changed it {RESTORES_MAX} times");
        }
        let what: Vec<_> = restored.iter().map(ToString::to_string).collect();
        let what = what.join(" and ");
        diag::warn(format_args!("another program has changed {what} of {machine}: restored"));
        Ok(())
    }

    /// Announces no more changes.
    pub(super) fn stop_watching(&mut self) {
        self.watch = None;
    }

    /// Removes the network. The guest must have ended.
    pub(super) fn tear_down(self) -> Result<(), bbot_vm::Error> {
        drop(self.watch);
        self.network.tear_down()
    }
}
