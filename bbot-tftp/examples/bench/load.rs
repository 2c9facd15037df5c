//! What the client does to a server. It is the same client for all servers.

use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bbot_tftp::Client;

use crate::PATIENCE;
use crate::crowd::Crowd;
use crate::report::Figure;
use crate::servers::Rival;

const CROWD: usize = 256;
const CROWD_FILE: usize = 256 << 10;

/// Block size and window that are asked for.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) block: Option<u16>,
    pub(crate) window: Option<u16>,
}

pub(crate) fn client(rival: &Rival, shape: Shape) -> Client {
    let mut client = Client::new(rival.peer.address).patience(PATIENCE);
    if let Some(bytes) = shape.block {
        client = client.block_size(bytes);
    }
    if let Some(blocks) = shape.window {
        client = client.window_size(blocks);
    }
    client
}

/// A client that has a CPU of its own: it does not sleep between two packets, so that its own
/// waking up does not hide what the server does.
fn alone(rival: &Rival, shape: Shape) -> Client {
    client(rival, shape).spin(Duration::from_micros(200))
}

/// Bytes that look alike nowhere.
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

pub(crate) fn get(rival: &Rival, length: usize, shape: Shape) -> Result<Figure, String> {
    let sent = content(length, 1);
    std::fs::write(rival.root.path().join("file"), &sent).unwrap();
    // Written once, so that no page is missing later.
    let mut got = vec![1; length];
    got.clear();
    let figure = measure(rival, length, || {
        alone(rival, shape).get("file", &mut got).map_err(|e| e.to_string())?;
        Ok(())
    })?;
    if got == sent { Ok(figure) } else { Err("wrong content".to_owned()) }
}

pub(crate) fn put(rival: &Rival, length: usize, shape: Shape) -> Result<Figure, String> {
    // dnsmasq takes no uploads.
    if rival.name() == "dnsmasq" {
        return Err("no uploads".to_owned());
    }
    let sent = content(length, 2);
    warm_memory(rival, &sent);
    let figure = measure(rival, length, || {
        alone(rival, shape).put("up", &sent).map_err(|e| e.to_string())?;
        Ok(())
    })?;
    let stored = std::fs::read(rival.root.path().join("up")).unwrap_or_default();
    if stored == sent { Ok(figure) } else { Err("wrong content".to_owned()) }
}

/// Leaves memory behind that the next file will lie in. A virtual machine gives memory that is
/// free for long back to its host, and pays when it is used again: by chance, and often more than
/// a server uses.
fn warm_memory(rival: &Rival, content: &[u8]) {
    let file = rival.root.path().join("warm");
    std::fs::write(&file, content).unwrap();
    std::fs::remove_file(file).unwrap();
}

fn measure(
    rival: &Rival,
    length: usize,
    work: impl FnOnce() -> Result<(), String>,
) -> Result<Figure, String> {
    let (_, before) = rival.usage();
    let start = Instant::now();
    work()?;
    let seconds = start.elapsed().as_secs_f64();
    let (resident, after) = rival.usage();
    Ok(Figure {
        megabytes_per_second: Some(length as f64 / seconds / 1e6),
        cpu_per_mib: Some((after - before) * 1e3 / (length as f64 / f64::from(1 << 20))),
        resident_mib: Some(resident as f64 / f64::from(1 << 20)),
        ..Figure::default()
    })
}

/// Many clients that begin at once.
fn at_once(work: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(CROWD);
    std::thread::scope(|scope| {
        for number in 0..CROWD {
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

pub(crate) fn crowd(rival: &Rival, shape: Shape) -> Result<Figure, String> {
    let sent = content(CROWD_FILE, 3);
    std::fs::write(rival.root.path().join("file"), &sent).unwrap();
    let mut wrong = 0;
    let mut crowd = Crowd::new(rival.peer.address, CROWD, shape);
    let figure = measure(rival, CROWD * CROWD_FILE, || {
        wrong = crowd.get(&sent);
        Ok(())
    })?;
    Ok(Figure { wrong: Some(wrong), ..figure })
}

pub(crate) fn uploads(rival: &Rival) -> Result<Figure, String> {
    if rival.name() == "dnsmasq" {
        return Err("no uploads".to_owned());
    }
    let files: Vec<_> = (0..CROWD as u64).map(|n| content(CROWD_FILE, n + 4)).collect();
    let shape = Shape { block: Some(1428), window: None };
    let done = AtomicBool::new(false);
    let succeeded: Vec<_> = (0..CROWD).map(|_| AtomicBool::new(false)).collect();
    let mut partial = 0;
    let figure = measure(rival, CROWD * CROWD_FILE, || {
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| watch(rival.root.path(), &done));
            at_once(|number| {
                let put = client(rival, shape).put(&format!("up-{number}"), &files[number]);
                succeeded[number].store(put.is_ok(), Ordering::Relaxed);
            });
            done.store(true, Ordering::Relaxed);
            partial = watcher.join().unwrap();
        });
        Ok(())
    })?;
    let wrong = (0..CROWD).filter(|number| {
        let claimed = succeeded[*number].load(Ordering::Relaxed);
        let stored = std::fs::read(rival.root.path().join(format!("up-{number}")));
        !claimed || stored.unwrap_or_default() != files[*number]
    });
    Ok(Figure { wrong: Some(wrong.count() as u64), seen_partial: Some(partial), ..figure })
}

/// Counts the uploads that were seen under their names before they were whole.
fn watch(folder: &Path, done: &AtomicBool) -> u64 {
    let mut seen = std::collections::HashSet::new();
    while !done.load(Ordering::Relaxed) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name();
            let ours = name.to_string_lossy().starts_with("up-");
            if ours && entry.metadata().is_ok_and(|meta| meta.len() != CROWD_FILE as u64) {
                seen.insert(name);
            }
        }
        std::thread::yield_now();
    }
    seen.len() as u64
}

pub(crate) fn latency(rival: &Rival, times: usize) -> Result<Figure, String> {
    std::fs::write(rival.root.path().join("small"), content(1024, 5)).unwrap();
    let client = alone(rival, Shape { block: Some(1428), window: None });
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
