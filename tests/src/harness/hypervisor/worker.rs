//! The manifests that the worker in the guest uploads.

use std::io::Write;

use anyhow::{Context, Result};

/// The bootstrap manifest of a worker of this version.
pub(super) fn bootstrap_manifest(version: &str) -> String {
    let package = |name| format!("{name}-version: {version}\n");
    ": 1\n".to_owned() + &["bbot", "libbbot", "libbpkg", "libbutl"].map(package).concat()
}

/// A tar archive of files of these sizes.
pub(super) fn archive(files: &[(String, usize)]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, size) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(*size as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &*vec![b'x'; *size])?;
    }
    Ok(builder.into_inner()?)
}

/// The result of `task`, with this status and log.
pub(super) fn result(task: &[u8], status: &str, log: &str) -> Result<String> {
    let task = std::str::from_utf8(task).context("the task is not UTF-8")?;
    let value = |name: &str| {
        let value = task.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.with_context(|| format!("the task has no {name}"))
    };
    Ok(result_of(value("name")?, value("version")?, status, log))
}

/// The result for a package.
pub(super) fn result_of(name: &str, version: &str, status: &str, log: &str) -> String {
    format!(
        ": 1\nname: {name}\nversion: {version}\nstatus: {status}\nupdate-status: {status}\n\
         update-log: {log}\n"
    )
}

/// An LZ4 frame with a checksum of the content, as workers compress their results.
///
/// # Errors
/// If there is not enough memory.
pub fn lz4_frame(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = lz4::EncoderBuilder::new()
        .checksum(lz4::ContentChecksum::ChecksumEnabled)
        .build(Vec::new())?;
    encoder.write_all(content)?;
    let (frame, finished) = encoder.finish();
    finished?;
    Ok(frame)
}
