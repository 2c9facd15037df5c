//! Toolchain and machine locks by which build agents share a host
