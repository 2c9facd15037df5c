//! Real QEMU processes. Their guest is the firmware with an empty disk, or a boot sector.

#![allow(clippy::unwrap_used, reason = "a test ends with the first surprise")]

mod confinement;
mod console;
mod host;
mod life;
mod start;
mod sweep;
