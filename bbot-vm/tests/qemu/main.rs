//! Real QEMU processes. Their guest is the firmware with an empty disk, or a boot sector.

#![allow(clippy::unwrap_used, reason = "an unexpected error fails the test")]

mod confinement;
mod console;
mod host;
mod life;
mod network;
mod probe;
mod start;
mod sweep;
mod sys;
