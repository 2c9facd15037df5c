//! A guest with a kernel: a network namespace whose one interface is the other end of a pretend
//! guest's tap. Real programs run in it, behind a real firewall.

mod sys;
mod wire;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};

pub(crate) use wire::{carry_from_tap, carry_to_tap};

use crate::farm::layout::{BRIDGE_ADDRESS, BRIDGE_PREFIX};

const INTERFACE: &str = "eth0";
/// Lets in what answers the guest, and nothing else.
const FIREWALL: &str = "table inet guest {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
    }
}
";

/// Where the guest's way to the world begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    /// At the host's own address on the bridge.
    Bridge,
    /// At another box on the bridge.
    Other,
}

/// The socket that a pretend guest plugs itself into.
#[derive(Debug)]
pub struct Plug(UnixListener);

impl Plug {
    /// Makes it, for every user.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(path: &Path) -> Result<Plug> {
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o777))?;
        Ok(Plug(listener))
    }

    /// Waits for a pretend guest, and becomes its kernel.
    ///
    /// # Errors
    /// If none comes within `limit`, or its network cannot be made.
    pub fn wait(&self, limit: Duration, gateway: Gateway) -> Result<Station> {
        let mut ready = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        ensure!(poll(&mut ready, timeout)? == 1, "no guest has plugged itself in");
        Station::new(self.0.accept()?.0, gateway)
    }
}

/// The guest. Its end is the end of the wire.
#[derive(Debug)]
pub struct Station {
    wire: UnixStream,
    address: Ipv4Addr,
    work: Sender<Box<dyn FnOnce() + Send>>,
}

impl Drop for Station {
    fn drop(&mut self) {
        // The hypervisor may have hung up before.
        drop(self.wire.shutdown(Shutdown::Both));
    }
}

impl Station {
    fn new(mut wire: UnixStream, gateway: Gateway) -> Result<Station> {
        let mut mac = [0; 6];
        wire.read_exact(&mut mac)?;
        let [.., high, low] = mac;
        let address = Ipv4Addr::new(10, 99, high, low % 253 + 2);
        let (work, todo) = channel::<Box<dyn FnOnce() + Send>>();
        // What is done by this thread is done in the guest.
        std::thread::Builder::new().name("station".to_owned()).spawn(move || {
            for work in todo {
                work();
            }
        })?;
        let station = Station { wire, address, work };
        let tap = station.run(move || make_network(mac, address, gateway))??;
        let (out, inward) = (tap.try_clone()?, station.wire.try_clone()?);
        let outward = station.wire.try_clone()?;
        // Both end with the wire, whoever cuts it.
        std::thread::spawn(move || carry_to_tap(inward, tap));
        std::thread::spawn(move || carry_from_tap(&out, outward));
        Ok(station)
    }

    /// The guest's address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Does `work` in the guest.
    ///
    /// # Errors
    /// If the guest has broken down.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (done, result) = channel();
        // If nobody waits for the result any more, nobody wants it.
        let work = Box::new(move || drop(done.send(work())));
        self.work.send(work).ok().context("the guest has ended")?;
        result.recv().context("the guest has broken down")
    }

    /// Runs a program in the guest, in `folder`.
    ///
    /// # Errors
    /// If it cannot be started, or fails: with what it said.
    pub fn program(&self, folder: &Path, words: &str) -> Result<()> {
        let mut arguments = words.split_whitespace();
        let mut command = Command::new(arguments.next().context("no program")?);
        command.args(arguments).current_dir(folder).stdin(Stdio::null());
        let output = self.run(move || command.output())?;
        let output = output.with_context(|| format!("cannot start {words}"))?;
        ensure!(output.status.success(), "{words}: {output:?}");
        Ok(())
    }

    /// Opens a UDP socket in the guest.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn socket(&self) -> Result<UdpSocket> {
        Ok(self.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))??)
    }

    /// Puts up the firewall.
    ///
    /// # Errors
    /// If `nft` refuses.
    pub fn close_firewall(&self) -> Result<()> {
        self.run(|| -> Result<()> {
            let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
            nft.stdin.take().context("piped")?.write_all(FIREWALL.as_bytes())?;
            ensure!(nft.wait()?.success(), "nft refuses the firewall");
            Ok(())
        })?
    }
}

fn make_network(mac: [u8; 6], address: Ipv4Addr, gateway: Gateway) -> Result<File> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    let tap = sys::open_tap(INTERFACE).context("cannot make the guest's interface")?;
    let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
    let ip = |arguments: String| -> Result<()> {
        let status = Command::new("ip").args(arguments.split(' ')).status()?;
        ensure!(status.success(), "ip {arguments}: {status}");
        Ok(())
    };
    ip(format!("link set {INTERFACE} address {mac} up"))?;
    ip(format!("address add {address}/{BRIDGE_PREFIX} dev {INTERFACE}"))?;
    let gateway = match gateway {
        Gateway::Bridge => BRIDGE_ADDRESS,
        Gateway::Other => {
            let box_address = Ipv4Addr::new(10, 99, 255, 254);
            let known = format!("{box_address} lladdr 02:00:00:00:00:fe");
            ip(format!("neighbor add {known} dev {INTERFACE}"))?;
            box_address
        }
    };
    ip(format!("route add default via {gateway}"))?;
    Ok(tap)
}
