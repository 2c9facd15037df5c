//! The nft tables of one instance.

use std::net::Ipv4Addr;

use super::nft::{self, Output};
use super::table_content::TableContent;
use crate::error::Error;
use crate::mac_address::MacAddress;

/// The address at which every guest finds its TFTP server, whatever the host's own addresses are.
const GUEST_SERVER: Ipv4Addr = Ipv4Addr::new(196, 254, 111, 222);
/// The families of an instance's two tables.
const FAMILIES: [&str; 2] = ["bridge", "ip"];
/// How many tables, chains and rules [`definition`] makes in each family.
const OBJECTS: [usize; 6] = [1, 1, 2, 1, 4, 4];

/// The two tables of an instance.
#[derive(Debug)]
pub(crate) struct Tables {
    name: String,
    /// What the kernel had of them when they were made. They are deleted when this is dropped.
    made: Option<TableContent>,
}

/// What an instance's tables do.
pub(crate) struct Route<'a> {
    /// The host's interface that the guest's packets come from.
    pub(crate) interface: &'a str,
    /// The mark of the guest's TFTP packets.
    pub(crate) mark: u32,
    /// Where the instance's server listens.
    pub(crate) server: (Ipv4Addr, u16),
    /// The MAC address of the bridge.
    pub(crate) bridge_mac: MacAddress,
}

/// A table that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) family: String,
    pub(crate) name: String,
}

impl Tables {
    /// Returns the tables of `instance`, which need not exist.
    pub(crate) fn of_instance(instance: &str) -> Result<Tables, Error> {
        Ok(Tables { name: table_name(instance)?, made: None })
    }

    /// Makes both tables, in place of older ones, or neither, and reads them back.
    pub(crate) fn make(&mut self, route: &Route<'_>) -> Result<(), Error> {
        let script = format!("{}{}", self.deletion(), definition(&self.name, route));
        self.run(&script)?;
        let content = self.made.insert(TableContent::default());
        *content = read(&self.name)?;
        if content.counts() == OBJECTS {
            return Ok(());
        }
        Err(Error::TablesMissing { table: self.name.clone() })
    }

    /// Returns whether the kernel has both tables as they were made.
    pub(crate) fn are_intact(&self) -> Result<bool, Error> {
        Ok(self.made.as_ref() == Some(&read(&self.name)?))
    }

    /// Returns their name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Deletes those of the tables that exist.
    pub(crate) fn delete(&mut self) -> Result<(), Error> {
        self.run(&self.deletion())?;
        self.made = None;
        Ok(())
    }

    /// Returns those of the tables that exist.
    pub(crate) fn existing(&self) -> Result<Vec<Table>, Error> {
        let listed = self.nft(&["list", "tables"], "")?;
        let ours = |line: &str| {
            let (family, name) = line.strip_prefix("table ")?.split_once(' ')?;
            let found = name == self.name && FAMILIES.contains(&family);
            found.then(|| Table { family: family.to_owned(), name: name.to_owned() })
        };
        Ok(listed.lines().filter_map(ours).collect())
    }

    /// `nft` fails to delete a table that does not exist, so each is added first.
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
        let Output { status, stdout, stderr } = nft::run(arguments, script).map_err(failed)?;
        if status.success() {
            return Ok(stdout);
        }
        Err(Error::Nft { table: self.name.clone(), status, stderr })
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        if self.made.is_some()
            && let Err(error) = self.delete()
        {
            log::debug!("{error}");
        }
    }
}

fn read(table: &str) -> Result<TableContent, Error> {
    TableContent::read(table)
        .map_err(|source| Error::TablesRead { table: table.to_owned(), source })
}

/// Returns the name of an instance's tables.
///
/// `nft` takes no `+` in a name but takes `/`, and an instance's name has no `/`: so `/` stands for
/// `+`.
fn table_name(instance: &str) -> Result<String, Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    if instance.is_empty() || instance.len() > 128 || !instance.chars().all(good) {
        let reason =
            "is empty, too long or has a character beside letters, digits, `.`, `_`, `+`, `-`";
        return Err(Error::Config { what: "instance name", value: instance.to_owned(), reason });
    }
    Ok(format!("bbot-{}", instance.replace('+', "/")))
}

/// Returns the script that makes the tables of `docs/network.md`.
///
/// The table in the family `bridge` marks the guest's TFTP packets and delivers them to the host,
/// even if the guest has sent them to another gateway. The table in the family `ip` redirects what
/// is marked to the server, and drops what is for the server and not marked.
///
/// Later fragments of a packet have no port. Without the second rule they would go on to that other
/// gateway, and the packet would never be complete.
///
/// The kernel remembers for minutes where it redirected a connection, also without the tables. Each
/// instance has a conntrack zone of its own: otherwise a guest that comes back under another
/// instance, with the same address and port, would reach the server that it had before.
fn definition(name: &str, route: &Route<'_>) -> String {
    let Route { interface, mark, server: (address, port), bridge_mac } = route;
    let turn =
        format!("meta mark set {mark:#x} ether daddr set {bridge_mac} meta pkttype set host");
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

#[cfg(test)]
mod tests;
