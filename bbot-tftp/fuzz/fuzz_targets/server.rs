//! Any sequence of datagrams that a server receives.

#![no_main]

#[path = "../bodies/server.rs"]
mod body;
#[path = "../../tests/virtual_server/mod.rs"]
mod virtual_server;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
