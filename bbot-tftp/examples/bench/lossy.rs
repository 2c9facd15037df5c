//! A network that loses packets.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bbot_tftp::{BlockSize, Client};
use nix::poll::{PollFd, PollFlags, poll};

use crate::IDLE_LIMIT;
use crate::load::content;
use crate::report::Figure;
use crate::servers::MeasuredServer;

const LOSS_PERCENT: u64 = 5;

/// Runs several transfers at once, each over a network of its own: they wait nearly all the time.
pub(crate) fn runs(server: &MeasuredServer, times: u64) -> Result<Figure, String> {
    let sent = content(256 << 10, 6);
    std::fs::write(server.root.path().join("file"), &sent).unwrap();
    let results: Vec<Option<f64>> = std::thread::scope(|scope| {
        let run = |seed| {
            let sent = &sent;
            scope.spawn(move || one(server.process.address, sent, seed))
        };
        let running: Vec<_> = (1..=times).map(run).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut taken: Vec<f64> = results.iter().flatten().copied().collect();
    taken.sort_by(f64::total_cmp);
    let middle = taken.get(taken.len() / 2).ok_or("all runs failed")?;
    Ok(Figure {
        middle_us: Some(*middle * 1e6),
        worst_us: taken.last().map(|worst| worst * 1e6),
        wrong: Some(times - taken.len() as u64),
        ..Figure::default()
    })
}

/// Returns the duration of a transfer in seconds, if it has succeeded.
fn one(server: SocketAddr, sent: &[u8], seed: u64) -> Option<f64> {
    let front = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = front.local_addr().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let done = &done;
        scope.spawn(move || relay(&front, server, seed, done));
        let mut got = Vec::new();
        let block_size = BlockSize::new(1428).expect("valid");
        let start = Instant::now();
        let client = Client::new(address).block_size(block_size).idle_limit(IDLE_LIMIT);
        let result = client.get("file", &mut got);
        let seconds = start.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        (result.is_ok() && got == sent).then_some(seconds)
    })
}

/// Forwards packets between a client and a server, and drops some.
fn relay(front: &UdpSocket, server: SocketAddr, seed: u64, done: &AtomicBool) {
    let back = UdpSocket::bind("127.0.0.1:0").unwrap();
    for socket in [front, &back] {
        socket.set_nonblocking(true).unwrap();
    }
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut is_lost = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) % 100 < LOSS_PERCENT
    };
    let (mut client, mut answering) = (None, None);
    let mut packet = [0; 2048];
    while !done.load(Ordering::Relaxed) {
        wait(front, &back);
        while let Ok((length, from)) = front.recv_from(&mut packet) {
            client = Some(from);
            if !is_lost() {
                // A packet that is not accepted is lost.
                drop(back.send_to(&packet[..length], answering.unwrap_or(server)));
            }
        }
        while let Ok((length, from)) = back.recv_from(&mut packet) {
            answering = Some(from);
            if let Some(client) = client
                && !is_lost()
            {
                // As above.
                drop(front.send_to(&packet[..length], client));
            }
        }
    }
}

fn wait(front: &UdpSocket, back: &UdpSocket) {
    let mut fds = [front, back].map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
    // After a timeout or an error, the relay only checks whether it is done.
    let _ = poll(&mut fds, 20_u8);
}
