//! The guest's TFTP client (RFC 1350): octet mode, option blksize (RFC 2348), lock-step.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::network::NetworkInterface;

/// The address at which workers find the agent, in every network.
const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(196, 254, 111, 222), 69);
const BLOCK_SIZE: usize = 1428;
const TIMEOUT: Duration = Duration::from_secs(1);
const TRIES: usize = 10;

const READ_REQUEST: u16 = 1;
const WRITE_REQUEST: u16 = 2;
const DATA: u16 = 3;
const ACKNOWLEDGEMENT: u16 = 4;
const ERROR: u16 = 5;
const OPTIONS_ACKNOWLEDGEMENT: u16 = 6;

/// Downloads a file.
pub(super) fn get(network: &mut NetworkInterface, file: &str) -> Result<Vec<u8>> {
    let mut transfer = Transfer::new(network);
    let mut content = Vec::new();
    let answer = transfer.exchange(&request(READ_REQUEST, file), |kind, number| {
        kind == OPTIONS_ACKNOWLEDGEMENT || (kind == DATA && number == 1)
    })?;
    let is_plain = kind_of(&answer) == DATA;
    let block_size = if is_plain { 512 } else { BLOCK_SIZE };
    let mut block = answer;
    let mut number = u16::from(is_plain);
    if !is_plain {
        block = transfer.next_block(&mut number)?;
    }
    loop {
        content.extend_from_slice(&block[4..]);
        if block.len() < block_size + 4 {
            transfer.send(&packet(ACKNOWLEDGEMENT, number, b""))?;
            return Ok(content);
        }
        block = transfer.next_block(&mut number)?;
    }
}

/// Uploads a file.
pub(super) fn put(network: &mut NetworkInterface, file: &str, content: &[u8]) -> Result<()> {
    upload(network, file, content, usize::MAX)
}

/// Uploads the first half of a file, and sends nothing more.
pub(super) fn put_half(network: &mut NetworkInterface, file: &str, content: &[u8]) -> Result<()> {
    upload(network, file, content, content.len() / BLOCK_SIZE / 2)
}

/// Sends `count` datagrams and ignores the answers: requests without a further packet, requests
/// for files that do not exist, and datagrams that are not TFTP.
pub(super) fn flood(network: &mut NetworkInterface, count: usize) -> Result<()> {
    let (read, write) = (READ_REQUEST, WRITE_REQUEST);
    for index in 0..count {
        let datagram = match index % 6 {
            0 => request(read, "task.manifest"),
            1 => request(read, &format!("none-{index}")),
            2 => request(write, &format!("junk-{index}")),
            3 => request(write, "../../escaped"),
            4 => packet(DATA, 7, b"never asked for"),
            _ => vec![0xff; 1 + index % 900],
        };
        network.change_port();
        network.send(SERVER, &datagram)?;
    }
    Ok(())
}

/// Uploads at most `limit` blocks of a file.
fn upload(network: &mut NetworkInterface, file: &str, content: &[u8], limit: usize) -> Result<()> {
    let mut transfer = Transfer::new(network);
    let answer = transfer.exchange(&request(WRITE_REQUEST, file), |kind, number| {
        kind == OPTIONS_ACKNOWLEDGEMENT || (kind == ACKNOWLEDGEMENT && number == 0)
    })?;
    let plain = kind_of(&answer) == ACKNOWLEDGEMENT;
    let block_size = if plain { 512 } else { BLOCK_SIZE };
    let mut number = 0_u16;
    // The last block is shorter than the others, possibly empty.
    let blocks = content.len() / block_size + 1;
    for block in (0..blocks).take(limit).map(|index| index * block_size) {
        let data = &content[block..content.len().min(block + block_size)];
        number = number.wrapping_add(1);
        let expected = number;
        transfer.exchange(&packet(DATA, number, data), |kind, number| {
            kind == ACKNOWLEDGEMENT && number == expected
        })?;
    }
    Ok(())
}

struct Transfer<'a> {
    network: &'a mut NetworkInterface,
    /// The server's address and port in this transfer, after its first answer.
    peer: Option<SocketAddrV4>,
}

impl<'a> Transfer<'a> {
    fn new(network: &'a mut NetworkInterface) -> Transfer<'a> {
        network.change_port();
        Transfer { network, peer: None }
    }

    fn send(&mut self, packet: &[u8]) -> Result<()> {
        self.network.send(self.peer.unwrap_or(SERVER), packet)
    }

    /// Acknowledges block `number` and waits for the next one.
    fn next_block(&mut self, number: &mut u16) -> Result<Vec<u8>> {
        let acknowledgement = packet(ACKNOWLEDGEMENT, *number, b"");
        *number = number.wrapping_add(1);
        let expected = *number;
        self.exchange(&acknowledgement, |kind, number| kind == DATA && number == expected)
    }

    /// Sends `packet`, repeatedly if necessary, until an answer comes whose kind and number fit.
    fn exchange(&mut self, packet: &[u8], fits: impl Fn(u16, u16) -> bool) -> Result<Vec<u8>> {
        for _ in 0..TRIES {
            self.send(packet)?;
            let deadline = Instant::now() + TIMEOUT;
            while let Some((source, answer)) = self.network.receive(deadline)? {
                if self.peer.is_some_and(|peer| peer != source) || answer.len() < 4 {
                    continue;
                }
                let kind = kind_of(&answer);
                if kind == ERROR {
                    bail!("TFTP error: {}", String::from_utf8_lossy(&answer[4..]));
                }
                if fits(kind, u16::from_be_bytes([answer[2], answer[3]])) {
                    self.peer = Some(source);
                    return Ok(answer);
                }
            }
        }
        bail!("no answer from the TFTP server");
    }
}

fn kind_of(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[0], packet[1]])
}

fn packet(kind: u16, number: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &number.to_be_bytes()[..], data].concat()
}

fn request(kind: u16, file: &str) -> Vec<u8> {
    let text = format!("{file}\0octet\0blksize\0{BLOCK_SIZE}\0");
    [&kind.to_be_bytes()[..], text.as_bytes()].concat()
}
