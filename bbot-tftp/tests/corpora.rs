//! The fuzz targets with their corpora and with random bytes, without a fuzzer.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod virtual_server;

#[path = "../fuzz/bodies/packet.rs"]
mod packet;
#[path = "../fuzz/bodies/server.rs"]
mod server;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        run(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "the corpus is missing");
    let mut state = 88_172_645_463_325_252_u64;
    for length in (0..3000).map(|n| n % 300) {
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        let bytes: Vec<u8> = (0..length).map(|_| next()).collect();
        run(&bytes);
    }
}

/// T4, T7, T9, T10: packets that are decoded are encoded and decoded again as the same.
#[test]
fn packets() {
    replay("packet", packet::run);
}

/// T2, T5, T6, T22, T24: no sequence of datagrams breaks an invariant of the server.
#[test]
fn servers() {
    replay("server", server::run);
}
