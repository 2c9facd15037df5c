//! A guest whose network stack is the kernel's: a network namespace whose only interface is
//! connected to a simulated guest's tap. Real programs run in it, behind a real firewall.

mod relay;
mod sys;

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

pub(crate) use relay::{relay_from_tap, relay_to_tap};

use crate::harness::farm::layout::{BRIDGE_ADDRESS, BRIDGE_PREFIX};

const INTERFACE: &str = "eth0";
/// Accepts answers to the guest's own packets only.
const FIREWALL: &str = "table inet guest {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
    }
}
";

/// The default gateway of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    /// The host's own address on the bridge.
    Bridge,
    /// Another host on the bridge.
    Other,
}

/// The socket to which a simulated guest forwards its frames.
#[derive(Debug)]
pub struct GuestListener(UnixListener);

impl GuestListener {
    /// Listens at `path`, accessible for every user.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub fn new(path: &Path) -> Result<GuestListener> {
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o777))?;
        Ok(GuestListener(listener))
    }

    /// Waits for a simulated guest, and makes the network namespace for it.
    ///
    /// # Errors
    /// If none connects within `limit`, or its network cannot be made.
    pub fn wait(&self, limit: Duration, gateway: Gateway) -> Result<NamespaceGuest> {
        let mut ready = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        ensure!(poll(&mut ready, timeout)? == 1, "no guest has connected");
        NamespaceGuest::new(self.0.accept()?.0, gateway)
    }
}

/// The guest. Dropping it ends the forwarding.
#[derive(Debug)]
pub struct NamespaceGuest {
    connection: UnixStream,
    address: Ipv4Addr,
    work: Sender<Box<dyn FnOnce() + Send>>,
}

impl Drop for NamespaceGuest {
    fn drop(&mut self) {
        // It fails if the hypervisor has closed the connection.
        drop(self.connection.shutdown(Shutdown::Both));
    }
}

impl NamespaceGuest {
    fn new(mut connection: UnixStream, gateway: Gateway) -> Result<NamespaceGuest> {
        let mut mac = [0; 6];
        connection.read_exact(&mut mac)?;
        let [.., high, low] = mac;
        let address = Ipv4Addr::new(10, 99, high, low % 253 + 2);
        let (work, todo) = channel::<Box<dyn FnOnce() + Send>>();
        // This thread is in the guest's network namespace, and runs all work of the guest.
        std::thread::Builder::new().name("namespace-guest".to_owned()).spawn(move || {
            for work in todo {
                work();
            }
        })?;
        let guest = NamespaceGuest { connection, address, work };
        let tap = guest.run(move || make_network(mac, address, gateway))??;
        let (out, inward) = (tap.try_clone()?, guest.connection.try_clone()?);
        let outward = guest.connection.try_clone()?;
        // Both threads end when either end closes the connection.
        std::thread::spawn(move || relay_to_tap(inward, tap));
        std::thread::spawn(move || relay_from_tap(&out, outward));
        Ok(guest)
    }

    /// The guest's address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Runs `work` in the guest's network namespace and returns its result.
    ///
    /// # Errors
    /// If the work panics.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (done, result) = channel();
        // It fails if the caller has panicked.
        let work = Box::new(move || drop(done.send(work())));
        self.work.send(work).ok().context("the guest has ended")?;
        result.recv().context("the guest's thread has panicked")
    }

    /// Runs a program in the guest, in `folder`.
    ///
    /// # Errors
    /// If it cannot be started, or fails: with its output.
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

    /// Drops all packets that are not answers to the guest's own.
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
            let gateway = Ipv4Addr::new(10, 99, 255, 254);
            let known = format!("{gateway} lladdr 02:00:00:00:00:fe");
            ip(format!("neighbor add {known} dev {INTERFACE}"))?;
            gateway
        }
    };
    ip(format!("route add default via {gateway}"))?;
    Ok(tap)
}
