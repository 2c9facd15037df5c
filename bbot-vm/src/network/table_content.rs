//! What the kernel has of an instance's nft tables.

use std::io;

use nix::libc;
use nix::sys::socket::SockProtocol;

use super::netlink::{Message, NetlinkSocket, attribute};

/// The subsystem of `nf_tables`, the high byte of a message's type (`linux/netfilter/nfnetlink.h`).
const SUBSYSTEM: u16 = 10 << 8;
/// From `linux/netfilter/nf_tables.h`: `NFT_MSG_GETTABLE`, `NFT_MSG_GETCHAIN`, `NFT_MSG_GETRULE`.
const GET: [u16; 3] = [SUBSYSTEM | 1, SUBSYSTEM | 4, SUBSYSTEM | 7];
/// The attribute with the name of the table, in messages about tables, chains and rules alike:
/// `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE`, `NFTA_RULE_TABLE`.
const TABLE: u16 = 1;
/// The length of `struct nfgenmsg`. Its last two bytes are the number of the last change of the
/// whole rule set.
const HEADER: usize = 4;
/// `NFPROTO_BRIDGE` and `NFPROTO_IPV4`.
const FAMILIES: [i32; 2] = [libc::NFPROTO_BRIDGE, libc::NFPROTO_IPV4];

/// The tables, chains and rules of the two tables of an instance, as the kernel describes them with
/// their handles. A table that was flushed, deleted, made anew, changed or set dormant differs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TableContent {
    /// Of each family: tables, chains, rules.
    pub(super) objects: Vec<Vec<Vec<u8>>>,
}

impl TableContent {
    /// Reads what the kernel has of the tables `name`.
    pub(super) fn read(name: &str) -> io::Result<TableContent> {
        let socket = NetlinkSocket::open(SockProtocol::NetlinkNetFilter)?;
        let name = [name.as_bytes(), &[0]].concat();
        let mut objects = Vec::new();
        for family in FAMILIES {
            let family = u8::try_from(family).expect("the families of netfilter are bytes");
            for kind in GET {
                // The kernel may return the objects of all tables.
                let request = [&[family, 0, 0, 0][..], &attribute(TABLE, &name)].concat();
                let found = socket.dump(kind, &request)?;
                let of_table = found.iter().filter(|message| is_about(message, &name));
                objects.push(of_table.map(|object| object.payload[HEADER..].to_vec()).collect());
            }
        }
        Ok(TableContent { objects })
    }

    /// Returns how many tables, chains and rules there are, in each family.
    pub(super) fn counts(&self) -> Vec<usize> {
        self.objects.iter().map(Vec::len).collect()
    }
}

/// Returns whether a notification or an answer is about an object of the tables `name`, which ends
/// with NUL.
pub(super) fn is_about(message: &Message, name: &[u8]) -> bool {
    message.kind & 0xff00 == SUBSYSTEM && message.attributes(HEADER).get(TABLE) == Some(name)
}
