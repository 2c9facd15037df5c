//! The limits of UDP on this machine.

use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg, setsockopt, sockopt};

use crate::report::Figure;

const BYTES: usize = 64 << 20;
const PACKET: usize = 1432;
/// The number of packets of one send.
const SEGMENTS: usize = 45;

/// Sends packets of the size of a block, and an answer of the size of an ACK to each, by blocking
/// system calls.
pub(crate) fn ping_pong() -> Figure {
    let (near, far) = pair();
    let count = BYTES / PACKET;
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut packet = [0; PACKET];
            for _ in 0..count {
                far.recv(&mut packet).unwrap();
                far.send(&packet[..4]).unwrap();
            }
        });
        let mut packet = [0; PACKET];
        for _ in 0..count {
            near.send(&packet).unwrap();
            near.recv(&mut packet).unwrap();
        }
    });
    rate(start)
}

/// Sends several packets by one system call, and a small answer to each call.
pub(crate) fn one_way() -> Figure {
    let (near, far) = pair();
    setsockopt(&far, sockopt::UdpGroSegment, &true).unwrap();
    let count = BYTES / (PACKET * SEGMENTS);
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = vec![0; 1 << 16];
            for _ in 0..count {
                let mut received = 0;
                while received < PACKET * SEGMENTS {
                    received += far.recv(&mut buffer).unwrap();
                }
                far.send(&buffer[..4]).unwrap();
            }
        });
        let packets = vec![0; PACKET * SEGMENTS];
        let size = u16::try_from(PACKET).unwrap();
        let mut answer = [0; 4];
        for _ in 0..count {
            let control = [ControlMessage::UdpGsoSegments(&size)];
            let slices = [IoSlice::new(&packets)];
            let to: Option<&SockaddrStorage> = None;
            sendmsg(near.as_raw_fd(), &slices, &control, MsgFlags::empty(), to).unwrap();
            near.recv(&mut answer).unwrap();
        }
    });
    rate(start)
}

fn pair() -> (UdpSocket, UdpSocket) {
    let near = UdpSocket::bind("127.0.0.1:0").unwrap();
    let far = UdpSocket::bind("127.0.0.1:0").unwrap();
    near.connect(far.local_addr().unwrap()).unwrap();
    far.connect(near.local_addr().unwrap()).unwrap();
    (near, far)
}

fn rate(start: Instant) -> Figure {
    let rate = BYTES as f64 / start.elapsed().as_secs_f64() / 1e6;
    Figure { megabytes_per_second: Some(rate), ..Figure::default() }
}
