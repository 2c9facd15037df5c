//! `cargo fuzz run manifests fuzz/corpus/manifests tests/corpus/manifests`, in the folder of the crate.
#![no_main]

// The other targets have the other checks.
#[allow(dead_code)]
#[path = "../../tests/corpus/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::manifests(data));
