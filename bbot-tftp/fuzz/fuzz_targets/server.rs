//! Any sequence of datagrams, as a server sees it.

#![no_main]

#[path = "../bodies/server.rs"]
mod body;
#[path = "../../tests/world/mod.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
