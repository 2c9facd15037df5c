//! The transfers that are measured, by the same client for all servers.

use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bbot_tftp::{BlockSize, Client};

use crate::concurrent::ConcurrentClients;
use crate::report::Figure;
use crate::servers::MeasuredServer;
use crate::{IDLE_LIMIT, LOCKSTEP};

/// The number of concurrent clients, and the size of their files.
const CLIENTS: usize = 256;
const CLIENT_FILE: usize = 256 << 10;

/// The block size and the window size that are requested.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) block_size: Option<BlockSize>,
    pub(crate) window_size: Option<NonZeroU16>,
}

pub(crate) fn client(server: &MeasuredServer, shape: Shape) -> Client {
    let mut client = Client::new(server.process.address).idle_limit(IDLE_LIMIT);
    if let Some(block_size) = shape.block_size {
        client = client.block_size(block_size);
    }
    if let Some(window_size) = shape.window_size {
        client = client.window_size(window_size);
    }
    client
}

/// A client that does not sleep between two packets, so that the time to wake it is not measured.
fn spinning_client(server: &MeasuredServer, shape: Shape) -> Client {
    client(server, shape).spin(Duration::from_micros(200))
}

/// Bytes without repetitions.
pub(crate) fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub(crate) fn get(server: &MeasuredServer, length: usize, shape: Shape) -> Result<Figure, String> {
    let sent = content(length, 1);
    std::fs::write(server.root.path().join("file"), &sent).unwrap();
    // All pages are allocated before the measurement.
    let mut got = vec![1; length];
    got.clear();
    let figure = measure(server, length, || {
        spinning_client(server, shape).get("file", &mut got).map_err(|e| e.to_string())?;
        Ok(())
    })?;
    if got == sent { Ok(figure) } else { Err("wrong content".to_owned()) }
}

pub(crate) fn put(server: &MeasuredServer, length: usize, shape: Shape) -> Result<Figure, String> {
    // dnsmasq does not accept uploads.
    if server.name() == "dnsmasq" {
        return Err("no uploads".to_owned());
    }
    let sent = content(length, 2);
    warm_memory(server, &sent);
    let figure = measure(server, length, || {
        spinning_client(server, shape).put("up", &sent).map_err(|e| e.to_string())?;
        Ok(())
    })?;
    let stored = std::fs::read(server.root.path().join("up")).unwrap_or_default();
    if stored == sent { Ok(figure) } else { Err("wrong content".to_owned()) }
}

/// Frees memory that the next file will use. A virtual machine returns memory to its host after
/// some time, and gets it back at a cost that is often higher than that of a server.
fn warm_memory(server: &MeasuredServer, content: &[u8]) {
    let file = server.root.path().join("warm");
    std::fs::write(&file, content).unwrap();
    std::fs::remove_file(file).unwrap();
}

fn measure(
    server: &MeasuredServer,
    length: usize,
    work: impl FnOnce() -> Result<(), String>,
) -> Result<Figure, String> {
    let (_, before) = server.usage();
    let start = Instant::now();
    work()?;
    let seconds = start.elapsed().as_secs_f64();
    let (resident, after) = server.usage();
    Ok(Figure {
        megabytes_per_second: Some(length as f64 / seconds / 1e6),
        cpu_per_mib: Some((after - before) * 1e3 / (length as f64 / f64::from(1 << 20))),
        resident_mib: Some(resident as f64 / f64::from(1 << 20)),
        ..Figure::default()
    })
}

/// Runs `work` on many threads, which begin at once.
fn at_once(work: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(CLIENTS);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (barrier, work) = (&barrier, &work);
            let builder = std::thread::Builder::new().stack_size(256 << 10);
            let client = move || {
                barrier.wait();
                work(number);
            };
            builder.spawn_scoped(scope, client).unwrap();
        }
    });
}

pub(crate) fn gets(server: &MeasuredServer, shape: Shape) -> Result<Figure, String> {
    let sent = content(CLIENT_FILE, 3);
    std::fs::write(server.root.path().join("file"), &sent).unwrap();
    let mut wrong = 0;
    let mut clients = ConcurrentClients::new(server.process.address, CLIENTS, shape);
    let figure = measure(server, CLIENTS * CLIENT_FILE, || {
        wrong = clients.get(&sent);
        Ok(())
    })?;
    Ok(Figure { wrong: Some(wrong), ..figure })
}

pub(crate) fn uploads(server: &MeasuredServer) -> Result<Figure, String> {
    if server.name() == "dnsmasq" {
        return Err("no uploads".to_owned());
    }
    let files: Vec<_> = (0..CLIENTS as u64).map(|n| content(CLIENT_FILE, n + 4)).collect();
    let shape = LOCKSTEP;
    let done = AtomicBool::new(false);
    let succeeded: Vec<_> = (0..CLIENTS).map(|_| AtomicBool::new(false)).collect();
    let mut partial = 0;
    let figure = measure(server, CLIENTS * CLIENT_FILE, || {
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| watch(server.root.path(), &done));
            at_once(|number| {
                let put = client(server, shape).put(&format!("up-{number}"), &files[number]);
                succeeded[number].store(put.is_ok(), Ordering::Relaxed);
            });
            done.store(true, Ordering::Relaxed);
            partial = watcher.join().unwrap();
        });
        Ok(())
    })?;
    let wrong = (0..CLIENTS).filter(|number| {
        let claimed = succeeded[*number].load(Ordering::Relaxed);
        let stored = std::fs::read(server.root.path().join(format!("up-{number}")));
        !claimed || stored.unwrap_or_default() != files[*number]
    });
    Ok(Figure { wrong: Some(wrong.count() as u64), seen_partial: Some(partial), ..figure })
}

/// Counts the uploads that were visible under their names before they were complete.
fn watch(folder: &Path, done: &AtomicBool) -> u64 {
    let mut seen = std::collections::HashSet::new();
    while !done.load(Ordering::Relaxed) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name();
            let ours = name.to_string_lossy().starts_with("up-");
            if ours && entry.metadata().is_ok_and(|meta| meta.len() != CLIENT_FILE as u64) {
                seen.insert(name);
            }
        }
        std::thread::yield_now();
    }
    seen.len() as u64
}

pub(crate) fn latency(server: &MeasuredServer, times: usize) -> Result<Figure, String> {
    std::fs::write(server.root.path().join("small"), content(1024, 5)).unwrap();
    let client = spinning_client(server, LOCKSTEP);
    let mut taken = Vec::with_capacity(times);
    let mut got = Vec::with_capacity(2048);
    for _ in 0..times {
        got.clear();
        let start = Instant::now();
        client.get("small", &mut got).map_err(|e| e.to_string())?;
        taken.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(Figure::of_times(taken))
}
