//! In the folder of the crate:
//! `cargo fuzz run serialize fuzz/corpus/serialize tests/corpus/serialize`.
#![no_main]

#[allow(dead_code, reason = "the other targets have the other checks")]
#[path = "../../tests/corpus/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::serialize(data));
