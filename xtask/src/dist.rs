//! `dist`: what an operator installs, in a folder and packed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::image::hash;
use crate::{command, message, workspace};

/// The files that are packed: the path in the workspace and the path in the archive.
const FILES: [(&str, &str); 12] = [
    ("bbot-agent/systemd/bbot-agent@.service", "lib/systemd/system/bbot-agent@.service"),
    ("LICENSE", "LICENSE"),
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("bbot-agent/README.md", "share/doc/bbot-agent/README.md"),
    ("ARCHITECTURE.md", "share/doc/bbot-agent/ARCHITECTURE.md"),
    ("bbot-agent/docs/command-line.md", "share/doc/bbot-agent/docs/command-line.md"),
    ("bbot-agent/docs/controller-protocol.md", "share/doc/bbot-agent/docs/controller-protocol.md"),
    ("bbot-agent/docs/decisions.md", "share/doc/bbot-agent/docs/decisions.md"),
    ("bbot-agent/docs/machine-storage.md", "share/doc/bbot-agent/docs/machine-storage.md"),
    ("bbot-agent/docs/rules.md", "share/doc/bbot-agent/docs/rules.md"),
    ("bbot-agent/docs/tftp-contract.md", "share/doc/bbot-agent/docs/tftp-contract.md"),
];

/// The manual page and the completions that the agent's example `packaging` generates: the name
/// and the path in the archive.
const GENERATED: [(&str, &str); 4] = [
    ("bbot-agent.1", "share/man/man1/bbot-agent.1"),
    ("bbot-agent.bash", "share/bash-completion/completions/bbot-agent"),
    ("_bbot-agent", "share/zsh/site-functions/_bbot-agent"),
    ("bbot-agent.fish", "share/fish/vendor_completions.d/bbot-agent.fish"),
];

/// Builds and packs everything below the target folder.
pub(crate) fn run() -> Result<ExitCode> {
    let target = workspace::target()?;
    let dist = target.join("dist");
    let name = format!("bbot-agent-{}-{}-linux", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let folder = dist.join(&name);
    if folder.is_dir() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let agent = ["build", "--release", "--locked", "-p", "bbot-agent"];
    command::succeed(&mut workspace::cargo(&agent))?;
    let generated = target.join("dist/generated");
    let mut example = workspace::cargo(&[
        "run",
        "--release",
        "--locked",
        "-p",
        "bbot-agent",
        "--example",
        "packaging",
    ]);
    command::succeed(example.arg("--").arg(&generated))?;

    let program = place(&folder, "bin/bbot-agent")?;
    let mut strip = command::tool("strip");
    strip.arg("-o").arg(program).arg(target.join("release/bbot-agent"));
    command::succeed(&mut strip)?;
    for (from, to) in FILES {
        copy(&workspace::root().join(from), &folder, to)?;
    }
    for (from, to) in GENERATED {
        copy(&generated.join(from), &folder, to)?;
    }
    let archive = pack(&dist, &name)?;
    message::print(format_args!("{}\n{}", folder.display(), archive.display()));
    Ok(ExitCode::SUCCESS)
}

/// Creates the folders of a path below `folder`, and returns the whole path.
fn place(folder: &Path, to: &str) -> Result<PathBuf> {
    let path = folder.join(to);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    Ok(path)
}

fn copy(from: &Path, folder: &Path, to: &str) -> Result<()> {
    fs::copy(from, place(folder, to)?).map(drop).with_context(|| from.display().to_string())
}

/// Packs the folder `name`: the same files give the same archive. Its checksum is beside it.
fn pack(dist: &Path, name: &str) -> Result<PathBuf> {
    let archive = dist.join(format!("{name}.tar.xz"));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.args(["--mode=u=rwX,go=rX", "-cJf"]).arg(&archive).arg("-C").arg(dist).arg(name);
    command::succeed(&mut tar)?;
    let line = format!("{}  {name}.tar.xz\n", hash::file(&archive)?);
    let sums = dist.join(format!("{name}.tar.xz.sha256"));
    fs::write(&sums, line).with_context(|| sums.display().to_string())?;
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file that is packed exists in the workspace.
    #[test]
    fn what_is_packed_is_there() {
        for (from, _) in FILES {
            assert!(workspace::root().join(from).is_file(), "{from}");
        }
    }

    /// The same files give the same archive, and the checksum file holds its checksum.
    #[test]
    fn an_archive_is_reproducible() {
        let dist = workspace::target().unwrap().join(format!("test-dist-{}", std::process::id()));
        let packed = |text: &str| {
            copy(&workspace::root().join("LICENSE"), &dist.join("x"), "share/doc/LICENSE").unwrap();
            fs::write(place(&dist.join("x"), "bin/a").unwrap(), text).unwrap();
            let archive = fs::read(pack(&dist, "x").unwrap()).unwrap();
            let sums = fs::read_to_string(dist.join("x.tar.xz.sha256")).unwrap();
            assert_eq!(sums, format!("{}  x.tar.xz\n", hash::of(&archive)));
            fs::remove_dir_all(&dist).unwrap();
            archive
        };
        assert_eq!(packed("a"), packed("a"));
        assert_ne!(packed("a"), packed("b"));
    }
}
