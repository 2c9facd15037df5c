//! Canonical names, which are the same for all locations of a repository.

use crate::location::error::RepositoryLocationError;
use crate::location::kind::RepositoryType;
use crate::location::path;
use crate::location::url::{RepositoryProtocol, RepositoryUrl};

type E = RepositoryLocationError;

/// Returns the canonical name of an absolute location.
///
/// A remote location that has been completed by a base has the type and host of the base's name.
pub(super) fn name(
    kind: RepositoryType,
    url: &RepositoryUrl,
    base: Option<&str>,
) -> Result<String, RepositoryLocationError> {
    let path = match kind {
        RepositoryType::Pkg => package_path(url)?,
        RepositoryType::Dir => url.path.clone(),
        RepositoryType::Git => git_path(&url.path).to_owned(),
    };
    let mut name = match base {
        Some(base) if url.protocol != RepositoryProtocol::File => {
            base[..base.find(['/', '#']).unwrap_or(base.len())].to_owned()
        }
        _ => format!("{kind}:{}", host(kind, url)?),
    };
    if url.protocol != RepositoryProtocol::File && !path.is_empty() {
        name.push('/');
    }
    name.push_str(&path);
    if let Some(fragment) = &url.fragment {
        name.push('#');
        name.push_str(fragment);
    }
    Ok(name)
}

/// Returns host and port, without a prefix of the type's and without the default port.
fn host(kind: RepositoryType, url: &RepositoryUrl) -> Result<String, RepositoryLocationError> {
    let Some(authority) = &url.authority else { return Ok(String::new()) };
    let host = authority.host.name();
    let prefixes: &[&str] = match kind {
        RepositoryType::Pkg => &["www.", "pkg.", "bpkg."],
        RepositoryType::Dir => &[],
        RepositoryType::Git => &["www.", "git.", "scm."],
    };
    let stripped = prefixes.iter().find_map(|prefix| host.strip_prefix(prefix)).unwrap_or(host);
    if stripped.is_empty() {
        return Err(E::Host);
    }
    Ok(match authority.port {
        Some(port) if Some(port) != url.protocol.default_port() => format!("{stripped}:{port}"),
        _ => stripped.to_owned(),
    })
}

/// Returns the path without the format version, and without `pkg` or `bpkg` before that.
fn package_path(url: &RepositoryUrl) -> Result<String, RepositoryLocationError> {
    let local = url.protocol == RepositoryProtocol::File;
    if url.path.is_empty() {
        return Err(E::EmptyPath);
    }
    let root = if local { "/" } else { "" };
    let components: Vec<&str> = url.path.split('/').filter(|c| !c.is_empty()).collect();
    let is_number = |component: &&str| component.bytes().all(|b| b.is_ascii_digit());
    let version = components.iter().rposition(is_number).ok_or(E::NoVersion)?;
    if components[version].trim_start_matches('0') != "1" {
        return Err(E::Version);
    }
    let (before, after) = (&components[..version], &components[version + 1..]);
    let join = |before: &[&str]| [before, after].concat().join("/");
    match before {
        [rest @ .., "pkg" | "bpkg"] if !local => Ok(join(rest)),
        [.., "pkg" | "bpkg"] if !after.is_empty() => Ok(after.join("/")),
        _ => Ok(format!("{root}{}", join(before))),
    }
}

/// Returns the path without the extension `.git`.
fn git_path(path: &str) -> &str {
    match path.strip_suffix(".git") {
        Some(stem) if !path::leaf(stem).is_empty() => stem,
        _ => path,
    }
}
