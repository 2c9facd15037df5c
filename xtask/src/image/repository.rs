//! The package repository: a real package, and a broken variant of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::image::{hash, tree};

const VERSION: &str = "1.2.13";
const WHOLE: &str = "zlib";
const BROKEN: &str = "zlib-broken";

/// The declaration that the broken variant lacks: the compiler must say so.
const LACKS: &str = "    unsigned n;\n";

/// Repacks the sources and lists the packages as a pkg repository does.
pub(super) fn make(source: &Path, work: &Path, out: &Path) -> Result<()> {
    tree::make(out)?;
    let stage = work.join("sources");
    for name in [WHOLE, BROKEN] {
        let top = stage.join(format!("{name}-{VERSION}"));
        tree::make(&top)?;
        let mut tar = Command::new("tar");
        tar.arg("-xjf").arg(source).args(["--strip-components=1", "-C"]).arg(&top);
        command::output(&mut tar)?;
    }
    damage(&stage.join(format!("{BROKEN}-{VERSION}/adler32.c")))?;

    let mut list = Vec::new();
    for name in [WHOLE, BROKEN] {
        let package = format!("{name}-{VERSION}");
        let file = format!("{package}.tar.gz");
        tree::pack(&stage, &package, &out.join(&file), "gzip -n")?;
        let sha256 = hash::file(&out.join(&file))?;
        list.push(format!(
            "name: {name}\nversion: {VERSION}\nlocation: {file}\nsha256sum: {sha256}\n"
        ));
    }
    let list = format!(": 1\n{}", list.join(":\n"));
    fs::write(out.join("packages.manifest"), list).context("cannot write the package list")
}

/// Takes a declaration out of a source.
fn damage(path: &Path) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    if text.matches(LACKS).count() != 1 {
        bail!("{}: not the source that we know", path.display());
    }
    fs::write(path, text.replace(LACKS, "")).with_context(|| path.display().to_string())
}
