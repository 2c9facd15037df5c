//! The toolchain that a bootstrap installs: tcc, musl and make.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::image::{guest, hash, tree};

/// Makes the archive and its checksum list.
pub(super) fn make(packages: &Path, work: &Path, out: &Path) -> Result<()> {
    let stage = work.join("toolchain");
    let usr = packages.join("usr");
    tree::copy(&guest().join("toolchain"), &stage.join("bin"))?;
    for program in ["tcc", "make"] {
        tree::copy_file(&usr.join("bin").join(program), &stage.join("bin").join(program))?;
    }
    let tcc = usr.join("lib/x86_64-linux-gnu/tcc");
    tree::copy_file(&tcc.join("libtcc1.a"), &stage.join("lib/tcc/libtcc1.a"))?;
    tree::copy(&tcc.join("include"), &stage.join("lib/tcc/include"))?;
    tree::copy(&usr.join("lib/x86_64-linux-musl"), &stage.join("lib/musl"))?;
    tree::copy(&usr.join("include/x86_64-linux-musl"), &stage.join("include"))?;

    tree::make(out)?;
    let archive = out.join("toolchain.tar.xz");
    tree::pack(&stage, ".", &archive, "xz")?;
    let list = format!("{}  toolchain.tar.xz\n", hash::file(&archive)?);
    fs::write(out.join("toolchain.sha256"), list).context("cannot write the checksum list")
}
