//! `cargo fuzz run serialize fuzz/corpus/serialize tests/corpus/serialize`, in the folder of the crate.
#![no_main]

// The other targets have the other checks.
#[allow(dead_code)]
#[path = "../../tests/corpus/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::serialize(data));
