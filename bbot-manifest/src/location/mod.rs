//! Where packages come from.

mod canonical;
mod path;
mod reference;
mod url;

use std::fmt;
use std::str::FromStr;

use crate::text_value::serde_as_text;
use crate::value_error::ValueError;

pub use self::reference::GitReferenceError;
pub use self::url::{Authority, Host, Protocol, RepositoryUrl, UrlError};

/// The location of a repository of packages.
///
/// ```
/// use bbot_manifest::{RepositoryLocation, RepositoryType};
///
/// let location: RepositoryLocation = "https://git.example.org/hello.git#master".parse()?;
/// assert_eq!(location.kind(), RepositoryType::Git);
/// assert_eq!(location.canonical_name(), "git:example.org/hello#master");
/// assert!(location.is_remote());
/// # Ok::<(), bbot_manifest::RepositoryLocationError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepositoryLocation {
    kind: RepositoryType,
    url: RepositoryUrl,
    canonical_name: String,
}

/// What a repository is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RepositoryType {
    /// An archive of packages.
    Pkg,
    /// A directory of package sources.
    Dir,
    /// A version control repository of package sources.
    Git,
}

/// Why a text is not the location of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepositoryLocationError {
    /// There is no text.
    Empty,
    /// It is not a URL, nor a path.
    Url(UrlError),
    /// It is a relative path, and there is nothing that it could be relative to.
    Relative,
    /// It is relative, and so is the base.
    RelativeBase,
    /// The path goes above the root.
    Path,
    /// There is no path.
    EmptyPath,
    /// The host has nothing but a prefix that does not count.
    Host,
    /// Two types are given.
    TypeMismatch {
        /// The one given apart.
        specified: RepositoryType,
        /// The one given in the text.
        written: RepositoryType,
    },
    /// Repositories of this type cannot be reached by the protocol.
    Protocol(RepositoryType),
    /// Repositories of this type have no fragment.
    Fragment(RepositoryType),
    /// There is no format version in the path.
    NoVersion,
    /// The format version in the path is not 1.
    Version,
    /// The fragment is not a list of git references.
    Reference(GitReferenceError),
}

type E = RepositoryLocationError;

impl fmt::Display for RepositoryLocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty URL"),
            Self::Url(source) => source.fmt(f),
            Self::Relative => f.write_str("relative filesystem path"),
            Self::RelativeBase => f.write_str("base is relative filesystem path"),
            Self::Path => f.write_str("invalid path"),
            Self::EmptyPath => f.write_str("empty path"),
            Self::Host => f.write_str("invalid host"),
            Self::TypeMismatch { specified, written } => write!(
                f,
                "mismatching repository types: {specified} specified, {written} in URL scheme"
            ),
            Self::Protocol(kind) => write!(f, "unsupported scheme for {kind} repository"),
            Self::Fragment(kind) => write!(f, "unexpected fragment for {kind} repository"),
            Self::NoVersion => f.write_str("missing repository version"),
            Self::Version => f.write_str("invalid repository version"),
            Self::Reference(source) => source.fmt(f),
        }
    }
}

impl std::error::Error for RepositoryLocationError {}

impl RepositoryLocation {
    /// Parses a URL or a path.
    ///
    /// The type is `kind`, or the one that the text starts with (`git+https://...`), or it is
    /// guessed from the URL. A relative path is completed by `base`. The disk is not looked at.
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

    /// Returns the URL, or the path of a local repository if that can stand for itself: a fragment,
    /// or a `#` or line break in the path, takes a `file:` URL.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// Returns the name by which two locations of one repository are known to be that.
    pub fn canonical_name(&self) -> &str {
        &self.canonical_name
    }

    /// Whether the repository is on this host.
    pub fn is_local(&self) -> bool {
        self.url.protocol == Protocol::File
    }

    /// Whether the repository is on another host.
    pub fn is_remote(&self) -> bool {
        !self.is_local()
    }
}

/// Parses a URL or a path, with the type that it may start with.
fn typed_url(
    text: &str,
) -> Result<(Option<RepositoryType>, RepositoryUrl), RepositoryLocationError> {
    if let Some((kind, rest)) = text.split_once('+')
        && let Ok(kind) = kind.parse()
        && let Ok(url) = RepositoryUrl::parse(rest)
    {
        return Ok((Some(kind), url));
    }
    // Whatever is not a URL is a path, if it can be one.
    let url = RepositoryUrl::parse(text);
    let url = url.or_else(|error| RepositoryUrl::from_path(text).ok_or(E::Url(error)))?;
    Ok((None, url))
}

/// Returns the type that a URL has if nothing is said.
fn guess(url: &RepositoryUrl) -> RepositoryType {
    let extension = path::leaf(&url.path).rsplit_once('.');
    let is_git = extension.is_some_and(|(stem, extension)| !stem.is_empty() && extension == "git");
    if url.protocol == Protocol::Git || is_git { RepositoryType::Git } else { RepositoryType::Pkg }
}

/// Checks what can be known before a relative path is completed.
fn check(kind: RepositoryType, url: &RepositoryUrl) -> Result<(), RepositoryLocationError> {
    let protocol_fits = match kind {
        RepositoryType::Pkg => !matches!(url.protocol, Protocol::Git | Protocol::Ssh),
        RepositoryType::Dir => url.protocol == Protocol::File,
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

serde_as_text!(RepositoryLocation, RepositoryType);

impl FromStr for RepositoryType {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "pkg" => Ok(Self::Pkg),
            "dir" => Ok(Self::Dir),
            "git" => Ok(Self::Git),
            _ => Err(ValueError::Word("pkg, dir or git")),
        }
    }
}

impl fmt::Display for RepositoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pkg => "pkg",
            Self::Dir => "dir",
            Self::Git => "git",
        })
    }
}
