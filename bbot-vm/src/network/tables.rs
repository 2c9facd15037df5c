//! The nft tables of one instance.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags};

use crate::{Error, mac, process};

/// Where a guest finds its TFTP server, whatever the host's own addresses are.
const GUEST_SERVER: Ipv4Addr = Ipv4Addr::new(196, 254, 111, 222);
/// `nft` takes some 10 ms. It waits for another `nft` of the host at most.
const NFT_LIMIT: Duration = Duration::from_secs(30);
/// How much of what `nft` says is read.
const OUTPUT_MAX: u64 = 1 << 20;
/// The program is looked for where distributions have it, whatever our own `PATH` says.
const PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";
/// The families of an instance's two tables.
const FAMILIES: [&str; 2] = ["bridge", "ip"];

/// The two tables that bear an instance's name.
#[derive(Debug)]
pub(crate) struct Tables {
    name: String,
    /// Whether they are there, as far as we know, and must go when this is dropped.
    made: bool,
}

/// What an instance's tables do.
pub(crate) struct Route<'a> {
    /// The interface that the guest is behind.
    pub(crate) interface: &'a str,
    /// The mark of packets from there.
    pub(crate) mark: u32,
    /// Where the instance's server listens.
    pub(crate) server: (Ipv4Addr, u16),
    /// The MAC address of the bridge.
    pub(crate) bridge_mac: [u8; 6],
}

/// A table that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) family: String,
    pub(crate) name: String,
}

impl Tables {
    /// Returns the tables of `instance`, which need not be there.
    pub(crate) fn of_instance(instance: &str) -> Result<Tables, Error> {
        Ok(Tables { name: table_name(instance)?, made: false })
    }

    /// Makes both tables, in place of older ones, or neither.
    pub(crate) fn make(&mut self, route: &Route<'_>) -> Result<(), Error> {
        let script = format!("{}{}", self.deletion(), definition(&self.name, route));
        self.run(&script)?;
        self.made = true;
        Ok(())
    }

    /// Deletes both tables, as far as they are there.
    pub(crate) fn delete(&mut self) -> Result<(), Error> {
        self.run(&self.deletion())?;
        self.made = false;
        Ok(())
    }

    /// Returns those of the tables that are there.
    pub(crate) fn existing(&self) -> Result<Vec<Table>, Error> {
        let listed = self.nft(&["list", "tables"], "")?;
        let ours = |line: &str| {
            let (family, name) = line.strip_prefix("table ")?.split_once(' ')?;
            let found = name == self.name && FAMILIES.contains(&family);
            found.then(|| Table { family: family.to_owned(), name: name.to_owned() })
        };
        Ok(listed.lines().filter_map(ours).collect())
    }

    /// Adding first makes the deletion of an absent table succeed.
    fn deletion(&self) -> String {
        let name = &self.name;
        FAMILIES
            .map(|family| format!("add table {family} {name}\ndelete table {family} {name}\n"))
            .concat()
    }

    fn run(&self, script: &str) -> Result<(), Error> {
        self.nft(&["-f", "-"], script).map(drop)
    }

    /// Runs `nft`, and returns what it wrote.
    fn nft(&self, arguments: &[&str], script: &str) -> Result<String, Error> {
        let failed = |source| Error::NftRun { table: self.name.clone(), source };
        let mut command = Command::new("nft");
        command.args(arguments).env_clear().env("PATH", PATH);
        let Output { status, stdout, stderr } = output(command, script).map_err(failed)?;
        if status.success() {
            return Ok(stdout);
        }
        Err(Error::Nft { table: self.name.clone(), status, stderr })
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        if self.made
            && let Err(error) = self.delete()
        {
            log::debug!("{error}");
        }
    }
}

/// Returns the name of an instance's tables.
///
/// `nft` takes no `+` in a name, and a name of ours has no `/`, so one stands for the other.
fn table_name(instance: &str) -> Result<String, Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    if instance.is_empty() || instance.len() > 128 || !instance.chars().all(good) {
        let reason =
            "is empty, too long or has a character beside letters, digits, `.`, `_`, `+`, `-`";
        return Err(Error::Config { what: "instance name", value: instance.to_owned(), reason });
    }
    Ok(format!("bbot-{}", instance.replace('+', "/")))
}

/// The bridge's table turns the guest's TFTP packets to the host, even if the guest has sent them
/// to another gateway, and marks them. The other one leads what is marked to the server, and keeps
/// from it what is not.
///
/// Later fragments of a packet have no port; without the second rule they would go on to that other
/// gateway, and the packet would never be whole.
///
/// The kernel remembers for minutes where a guest's port was led, also without the tables. Each
/// instance has a zone of its own for that memory: else a guest that comes back under another
/// instance, with the same address and port, would be led to the server that it had before.
fn definition(name: &str, route: &Route<'_>) -> String {
    let Route { interface, mark, server: (address, port), bridge_mac } = route;
    let turn = format!(
        "meta mark set {mark:#x} ether daddr set {} meta pkttype set host",
        mac::to_text(*bridge_mac)
    );
    let zone = mark & 0xffff;
    let from_guest = format!("iifname \"{interface}\" ip daddr {GUEST_SERVER}");
    format!(
        "table bridge {name} {{
    chain prerouting {{
        type filter hook prerouting priority -300; policy accept;
        {from_guest} udp dport 69 {turn}
        {from_guest} ip protocol udp ip frag-off & 0x1fff != 0 {turn}
    }}
}}
table ip {name} {{
    chain asked {{
        type filter hook prerouting priority -300; policy accept;
        meta mark {mark:#x} ct zone set {zone}
    }}
    chain answered {{
        type filter hook output priority -300; policy accept;
        ip saddr {address} udp sport {port} ct zone set {zone}
    }}
    chain prerouting {{
        type nat hook prerouting priority -100; policy accept;
        meta mark {mark:#x} udp dport 69 dnat to {address}:{port}
    }}
    chain input {{
        type filter hook input priority 0; policy accept;
        udp dport {port} meta mark != {mark:#x} drop
    }}
}}
"
    )
}

/// What a program wrote, and how it ended.
struct Output {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// Runs `command` with `input`.
///
/// It reads from and writes to memory, not pipes: so it never waits for us, nor we for it but for
/// its end.
fn output(mut command: Command, input: &str) -> io::Result<Output> {
    let memory = || memfd_create("bbot-nft", MemfdFlags::CLOEXEC).map(File::from);
    let (mut stdin, mut stdout, mut stderr) = (memory()?, memory()?, memory()?);
    stdin.write_all(input.as_bytes())?;
    stdin.rewind()?;
    command.stdin(stdin).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let status = wait(command.spawn()?)?;
    Ok(Output { status, stdout: text(&mut stdout)?, stderr: text(&mut stderr)? })
}

fn wait(mut child: Child) -> io::Result<ExitStatus> {
    let pidfd = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
    let ended = pidfd.map(|pidfd| process::wait_readable(pidfd.as_fd(), NFT_LIMIT));
    if let Ok(true) = ended {
        return child.wait();
    }
    child.kill()?;
    child.wait()?;
    Err(ended.err().map_or_else(|| io::ErrorKind::TimedOut.into(), io::Error::from))
}

fn text(memory: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    memory.rewind()?;
    memory.take(OUTPUT_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
