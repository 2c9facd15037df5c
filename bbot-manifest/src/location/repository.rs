//! The location of a repository.

use std::fmt;
use std::str::FromStr;

use crate::location::error::RepositoryLocationError;
use crate::location::kind::RepositoryType;
use crate::location::url::{RepositoryProtocol, RepositoryUrl};
use crate::location::{canonical, path, reference};
use crate::serde_text::serde_as_text;

/// The location of a repository of packages.
///
/// ```
/// use bbot_manifest::location::{RepositoryLocation, RepositoryType};
///
/// let location: RepositoryLocation = "https://git.example.org/hello.git#master".parse()?;
/// assert_eq!(location.kind(), RepositoryType::Git);
/// assert_eq!(location.canonical_name(), "git:example.org/hello#master");
/// assert!(location.is_remote());
/// # Ok::<(), bbot_manifest::location::RepositoryLocationError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepositoryLocation {
    kind: RepositoryType,
    url: RepositoryUrl,
    canonical_name: String,
}

type E = RepositoryLocationError;

impl RepositoryLocation {
    /// Parses a URL or a path.
    ///
    /// The type is `kind`, or the one that the text starts with (`git+https://...`), or it is
    /// guessed from the URL. A relative path is completed by `base`. No file is accessed.
    ///
    /// # Errors
    ///
    /// The text is not the location of such a repository.
    pub fn parse(
        text: &str,
        kind: Option<RepositoryType>,
        base: Option<&Self>,
    ) -> Result<Self, RepositoryLocationError> {
        if text.is_empty() {
            return Err(E::Empty);
        }
        let (written, url) = typed_url(text)?;
        if let (Some(specified), Some(written), None) = (kind, written, base)
            && specified != written
        {
            return Err(E::TypeMismatch { specified, written });
        }
        let kind = written.or(kind).unwrap_or_else(|| guess(&url));
        check(kind, &url)?;
        if !url.is_relative() {
            let canonical_name = canonical::name(kind, &url, None)?;
            return Ok(Self { kind, url, canonical_name });
        }
        let base = base.ok_or(E::Relative)?;
        let path = path::join(&base.url.path, &url.path).ok_or(E::Path)?;
        let url = RepositoryUrl { path, fragment: url.fragment, ..base.url.clone() };
        let canonical_name = canonical::name(kind, &url, Some(&base.canonical_name))?;
        Ok(Self { kind, url, canonical_name })
    }

    /// Returns the type.
    pub fn kind(&self) -> RepositoryType {
        self.kind
    }

    /// Returns the parts of the URL.
    pub fn parts(&self) -> &RepositoryUrl {
        &self.url
    }

    /// Returns the URL. That of a local repository is its path, unless a fragment, or a `#` or
    /// newline in the path, requires a `file:` URL.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// Returns the name that all locations of one repository have in common.
    pub fn canonical_name(&self) -> &str {
        &self.canonical_name
    }

    /// Whether the repository is on this host.
    pub fn is_local(&self) -> bool {
        self.url.protocol == RepositoryProtocol::File
    }

    /// Whether the repository is on another host.
    pub fn is_remote(&self) -> bool {
        !self.is_local()
    }
}

/// Parses a URL or a path, with the type that may precede a URL.
fn typed_url(
    text: &str,
) -> Result<(Option<RepositoryType>, RepositoryUrl), RepositoryLocationError> {
    if let Some((kind, rest)) = text.split_once('+')
        && let Ok(kind) = kind.parse()
        && let Ok(url) = RepositoryUrl::parse(rest)
    {
        return Ok((Some(kind), url));
    }
    // A text that is not a URL is a path, if it can be one.
    let url = RepositoryUrl::parse(text);
    let url = url.or_else(|error| RepositoryUrl::from_path(text).ok_or(E::Url(error)))?;
    Ok((None, url))
}

/// Returns the type of a repository for which no type is given.
fn guess(url: &RepositoryUrl) -> RepositoryType {
    let extension = path::leaf(&url.path).rsplit_once('.');
    let is_git = extension.is_some_and(|(stem, extension)| !stem.is_empty() && extension == "git");
    if url.protocol == RepositoryProtocol::Git || is_git {
        RepositoryType::Git
    } else {
        RepositoryType::Pkg
    }
}

/// Checks what does not depend on the completion of a relative path.
fn check(kind: RepositoryType, url: &RepositoryUrl) -> Result<(), RepositoryLocationError> {
    let protocol_fits = match kind {
        RepositoryType::Pkg => {
            !matches!(url.protocol, RepositoryProtocol::Git | RepositoryProtocol::Ssh)
        }
        RepositoryType::Dir => url.protocol == RepositoryProtocol::File,
        RepositoryType::Git => true,
    };
    if !protocol_fits {
        return Err(E::Protocol(kind));
    }
    match (kind, &url.fragment) {
        (_, None) => Ok(()),
        (RepositoryType::Git, Some(fragment)) => reference::check(fragment).map_err(E::Reference),
        (_, Some(_)) => Err(E::Fragment(kind)),
    }
}

impl FromStr for RepositoryLocation {
    type Err = RepositoryLocationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, None, None)
    }
}

impl fmt::Display for RepositoryLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if guess(&self.url) == self.kind {
            return self.url.fmt(f);
        }
        write!(f, "{}+", self.kind)?;
        if self.is_local() && self.url.fragment.is_none() {
            return write!(f, "file://{}", path::encode(&self.url.path));
        }
        self.url.fmt(f)
    }
}

serde_as_text!(RepositoryLocation);
