//! The state folder of an instance, read without the agent's code while it does not run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bbot_manifest::{Manifest, ResultManifest};

use super::history::{ArtifactId, EndState, SessionResult};
use crate::harness::controller::hex_sha256;

/// The extension of the folder of an entry's artifacts.
const ARTIFACTS: &str = "artifacts";

/// Reads the state folder `folder`, which need not exist.
///
/// # Errors
/// If it cannot be read.
pub(super) fn read(folder: &Path) -> Result<EndState> {
    let mut end = EndState::default();
    for path in files(&folder.join("outbox"))? {
        // A file with a temporary name is not durable, whatever it contains.
        if is_unfinished(&path) {
            continue;
        }
        if path.extension().is_some_and(|extension| extension == ARTIFACTS) {
            if !path.with_extension("manifest").is_file() {
                end.orphans.push(path.display().to_string());
            }
            continue;
        }
        match result(&path) {
            Ok((result, artifacts)) => {
                end.damage.extend(damaged(&path.with_extension(ARTIFACTS), &artifacts)?);
                end.outbox.push(result);
                end.artifacts.extend(artifacts);
            }
            Err(error) => end.damage.push(format!("{}: {error:#}", path.display())),
        }
    }
    let record = folder.join("task-at-hand.manifest");
    if record.symlink_metadata().is_ok() {
        match result(&record) {
            Ok((result, _)) => end.task_record = Some(result),
            Err(error) => end.damage.push(format!("{}: {error:#}", record.display())),
        }
    }
    for path in files(&folder.join("dead-letters"))? {
        if !is_unfinished(&path) {
            end.damage.push(format!("a dead letter {}", path.display()));
        }
    }
    Ok(end)
}

/// The results and the task record in the state folder.
pub(super) fn pending(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut pending = files(&folder.join("outbox"))?;
    let record = folder.join("task-at-hand.manifest");
    pending.extend(record.symlink_metadata().is_ok().then_some(record));
    Ok(pending)
}

fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "new")
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}

/// The files of artifacts whose content does not match their entry; a file that does not exist
/// has been uploaded.
fn damaged(folder: &Path, artifacts: &[ArtifactId]) -> Result<Vec<String>> {
    let mut damaged = Vec::new();
    for (number, artifact) in artifacts.iter().enumerate() {
        let path = folder.join(format!("{number}.tar"));
        let content = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            content => content?,
        };
        if hex_sha256(&content) != artifact.sha256 {
            damaged.push(format!("{}: it is not {artifact:?}", path.display()));
        }
    }
    Ok(damaged)
}

/// Reads an entry of the outbox, or the task record.
fn result(path: &Path) -> Result<(SessionResult, Vec<ArtifactId>)> {
    let text = std::fs::read_to_string(path)?;
    let (digest, body) = text.split_once('\n').context("no digest")?;
    if digest.strip_prefix("# sha256 ") != Some(&hex_sha256(body.as_bytes())) {
        bail!("the digest is not that of the content");
    }
    let result = body.rfind("\n: 1\n").context("no second manifest")?;
    let (head, result) = body.split_at(result + 1);
    let session = head.lines().find_map(|line| line.strip_prefix("session: "));
    let session = session.context("no session")?;
    let artifact = |value: &str| {
        let mut words = value.splitn(3, ' ').map(str::to_owned);
        let (sha256, instance) = (words.next()?, words.next()?);
        Some(ArtifactId { session: session.to_owned(), instance, sha256 })
    };
    let values = head.lines().filter_map(|line| line.strip_prefix("artifact: "));
    let artifacts = values.map(artifact).collect::<Option<_>>().context("no artifact")?;
    let result = ResultManifest::parse(result.as_bytes(), "result")?;
    Ok((SessionResult { session: session.to_owned(), result }, artifacts))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = ": 1\nentry-version: 1\nsession: s\nresult-url: u\n\
                        : 1\nname: foo\nversion: 1.0.0\nstatus: interrupt\n";

    /// Files with temporary names are ignored; all others must be complete.
    #[test]
    fn the_disk_is_read_as_a_next_start_would() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("outbox")).unwrap();
        assert_eq!(pending(folder.path()).unwrap(), [""; 0].map(PathBuf::from));
        let entry = format!("# sha256 {}\n{BODY}", hex_sha256(BODY.as_bytes()));
        std::fs::write(path("outbox/2.manifest.new"), &entry).unwrap();
        let end = read(folder.path()).unwrap();
        assert!(end.outbox.is_empty() && end.damage.is_empty(), "{end:?}");
        std::fs::write(path("outbox/1.manifest"), &entry).unwrap();
        std::fs::write(path("task-at-hand.manifest"), &entry).unwrap();
        let end = read(folder.path()).unwrap();
        assert_eq!(end.outbox.len(), 1);
        assert_eq!(end.task_record.unwrap().session, "s");
        std::fs::write(path("outbox/1.manifest"), &entry[..entry.len() - 1]).unwrap();
        assert_eq!(read(folder.path()).unwrap().damage.len(), 1);
        let expected = ["outbox/1.manifest", "outbox/2.manifest.new", "task-at-hand.manifest"];
        let mut found = pending(folder.path()).unwrap();
        found.sort();
        assert_eq!(found, expected.map(path));
    }

    /// The entry lists the artifacts; their files match it, or do not exist.
    #[test]
    fn artifacts_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join("outbox").join(name);
        let artifact = |instance: &str| ArtifactId {
            session: "s".to_owned(),
            instance: instance.to_owned(),
            sha256: hex_sha256(instance.as_bytes()),
        };
        let value = |instance| format!("artifact: {} {instance} u\n", artifact(instance).sha256);
        let values = value("a") + &value("b") + ": 1\nname";
        let body = BODY.replace(": 1\nname", &values);
        std::fs::create_dir_all(path("1.artifacts")).unwrap();
        std::fs::write(path("1.artifacts/1.tar"), "b").unwrap();
        let end = read(folder.path()).unwrap();
        assert_eq!(end.orphans, [path("1.artifacts").display().to_string()]);
        let entry = format!("# sha256 {}\n{body}", hex_sha256(body.as_bytes()));
        std::fs::write(path("1.manifest"), entry).unwrap();
        let end = read(folder.path()).unwrap();
        assert_eq!(end.artifacts, ["a", "b"].map(artifact));
        assert!(end.damage.is_empty() && end.orphans.is_empty(), "{end:?}");
        std::fs::write(path("1.artifacts/0.tar"), "b").unwrap();
        assert_eq!(read(folder.path()).unwrap().damage.len(), 1);
    }
}
