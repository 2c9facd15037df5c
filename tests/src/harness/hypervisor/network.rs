//! The guest's network interface: UDP through the inherited tap.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::frame::{self, BROADCAST, Frame, Mac};
use super::machine::Processors;
use crate::harness::farm::layout::BRIDGE_ADDRESS;
use crate::harness::namespace_guest::{relay_from_tap, relay_to_tap};

/// Each frame on the tap has a `struct virtio_net_hdr` before it; all zero for plain frames.
const OFFLOAD_HEADER: usize = 10;
const FRAME_MAX: usize = 65_536;
/// How long the gateway may take to answer an ARP request.
const ARP_LIMIT: Duration = Duration::from_secs(1);

/// A network interface with one UDP socket.
#[derive(Debug)]
pub(super) struct NetworkInterface {
    tap: File,
    mac: Mac,
    own: SocketAddrV4,
    gateway: Option<Mac>,
    processors: Arc<Processors>,
}

impl NetworkInterface {
    /// The interface of a guest, which sends nothing while its `processors` are paused.
    pub(super) fn new(tap: File, mac: Mac, processors: Arc<Processors>) -> NetworkInterface {
        let [.., high, low] = mac;
        let own = SocketAddrV4::new(Ipv4Addr::new(10, 99, high, low % 253 + 2), 1024);
        NetworkInterface { tap, mac, own, gateway: None, processors }
    }

    /// Waits until the guest's processors run.
    pub(super) fn wait_until_running(&self) {
        self.processors.wait_until_running();
    }

    /// Uses another port from now on.
    pub(super) fn change_port(&mut self) {
        let port = self.own.port().checked_add(1).unwrap_or(1024);
        self.own.set_port(port);
    }

    /// Forwards all frames to and from the process that listens at `socket`, until it closes the
    /// connection. The guest's MAC address is sent first.
    pub(super) fn forward_to(&self, socket: &Path) -> Result<()> {
        let mut guest = UnixStream::connect(socket)
            .with_context(|| format!("no process listens at {}", socket.display()))?;
        guest.write_all(&self.mac)?;
        let (from, to) = (guest.try_clone()?, self.tap.try_clone()?);
        let outward = std::thread::spawn(move || relay_to_tap(from, to));
        relay_from_tap(&self.tap, guest).context("cannot forward frames")?;
        let ended = outward.join().map_err(|_| anyhow!("the forwarding thread panicked"))?;
        ended.context("cannot forward frames")
    }

    /// Sends a datagram through the gateway.
    pub(super) fn send(&mut self, to: SocketAddrV4, payload: &[u8]) -> Result<()> {
        let gateway = self.gateway()?;
        let frame = frame::udp((self.mac, gateway), self.own, to, payload);
        self.put(&frame.context("datagram too long")?)
    }

    /// The next datagram for this port; `None` when the deadline has passed.
    pub(super) fn receive(&mut self, deadline: Instant) -> Result<Option<(SocketAddrV4, Vec<u8>)>> {
        while let Some(frame) = self.next(deadline)? {
            if let Frame::Udp { source, destination, payload } = frame
                && destination == self.own
            {
                return Ok(Some((source, payload)));
            }
        }
        Ok(None)
    }

    fn gateway(&mut self) -> Result<Mac> {
        while self.gateway.is_none() {
            let mine = (self.mac, *self.own.ip());
            self.put(&frame::arp(true, mine, (BROADCAST, BRIDGE_ADDRESS)))?;
            let deadline = Instant::now() + ARP_LIMIT;
            while self.gateway.is_none() && self.next(deadline)?.is_some() {}
        }
        self.gateway.context("the loop ends when it is known")
    }

    /// The next frame; requests of ARP are answered, and answers of the gateway noted.
    fn next(&mut self, deadline: Instant) -> Result<Option<Frame>> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut ready = [PollFd::new(self.tap.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, timeout)? == 0 {
                return Ok(None);
            }
            let mut buffer = vec![0; FRAME_MAX];
            let count = match self.tap.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error).context("cannot read from the tap"),
            };
            let bytes = buffer.get(OFFLOAD_HEADER..count).unwrap_or_default();
            let Some(frame) = Frame::parse(bytes) else { continue };
            if let Frame::Arp { is_request, sender, target } = &frame {
                if sender.1 == BRIDGE_ADDRESS {
                    self.gateway = Some(sender.0);
                }
                if *is_request && target == self.own.ip() {
                    self.put(&frame::arp(false, (self.mac, *target), *sender))?;
                }
            }
            return Ok(Some(frame));
        }
    }

    fn put(&mut self, frame: &[u8]) -> Result<()> {
        self.wait_until_running();
        let bytes = [&[0; OFFLOAD_HEADER], frame].concat();
        match self.tap.write(&bytes) {
            // A full queue loses a frame, as a real network does.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                Err(error).context("cannot write to the tap")
            }
            _ => Ok(()),
        }
    }
}
