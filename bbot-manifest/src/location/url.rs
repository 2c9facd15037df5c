//! URLs of repositories.

use std::fmt;
use std::net::Ipv6Addr;

use crate::location::path;

/// The parts of a repository's URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RepositoryUrl {
    /// The protocol.
    pub protocol: RepositoryProtocol,
    /// The host of a remote repository.
    pub authority: Option<Authority>,
    /// The path, decoded: absolute if the repository is local, without a slash before it if not.
    pub path: String,
    /// The text after a `?`.
    pub query: Option<String>,
    /// The text after a `#`.
    pub fragment: Option<String>,
}

/// The protocol by which a repository is accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RepositoryProtocol {
    /// Local files.
    File,
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// The git protocol.
    Git,
    /// SSH.
    Ssh,
}

/// The host of a URL, with user and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Authority {
    /// The user, as it is written; may be empty.
    pub user: String,
    /// The host.
    pub host: Host,
    /// The port.
    pub port: Option<u16>,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, decoded, in lower case.
    Name(String),
    /// An address of four numbers.
    Ipv4(String),
    /// An address in its shortest form, without brackets.
    Ipv6(String),
}

/// Why a text is not a repository's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// There is no scheme, or it is not that of a protocol.
    #[error("invalid scheme")]
    Scheme,
    /// The host is missing or invalid, or there must be none.
    #[error("invalid host")]
    Host,
    /// The port is invalid.
    #[error("invalid port")]
    Port,
    /// The path is missing or invalid.
    #[error("invalid path")]
    Path,
    /// There must be no query.
    #[error("unexpected query")]
    Query,
}

impl RepositoryProtocol {
    fn from_scheme(scheme: &str) -> Option<Self> {
        let all = [Self::File, Self::Http, Self::Https, Self::Git, Self::Ssh];
        all.into_iter().find(|protocol| protocol.as_str().eq_ignore_ascii_case(scheme))
    }

    /// Returns the scheme of URLs of this protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Http => "http",
            Self::Https => "https",
            Self::Git => "git",
            Self::Ssh => "ssh",
        }
    }

    /// Returns the default port.
    pub fn default_port(self) -> Option<u16> {
        match self {
            Self::File => None,
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Git => Some(9418),
            Self::Ssh => Some(22),
        }
    }
}

impl Host {
    /// Returns the name or address.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Ipv4(name) | Self::Ipv6(name) => name,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(text) = text.strip_prefix('[') {
            return text.strip_suffix(']').and_then(ipv6).map(Self::Ipv6);
        }
        if text.is_empty() || !text.chars().all(|c| is_host_character(c) || c == '%') {
            return None;
        }
        let name = path::percent_decode(text)?;
        Some(match ipv4(&name) {
            Some(address) => Self::Ipv4(address),
            None => Self::Name(name.to_ascii_lowercase()),
        })
    }
}

/// Whether `c` is not percent-encoded in the name of a host.
///
/// RFC 3986 requires that of a space. The C++ implementation writes one as it is, and so does this
/// one, which reads what it writes.
fn is_host_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!$&'()*+,;= ".contains(c)
}

/// Returns an address of hexadecimal groups in its shortest form.
fn ipv6(text: &str) -> Option<String> {
    let address: Ipv6Addr = text.parse().ok().filter(|_| !text.contains('.'))?;
    Some(match (address.to_ipv4_mapped(), address.segments()) {
        // An IPv4-mapped address, which the standard library formats with a dotted part.
        (Some(_), [.., high, low]) => format!("::ffff:{high:x}:{low:x}"),
        (None, _) => address.to_string(),
    })
}

/// Returns an address of four numbers without their leading zeros.
fn ipv4(text: &str) -> Option<String> {
    let octet = |part: &str| {
        let digits = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<u8>().ok()).flatten()
    };
    let octets: Vec<u8> = text.split('.').map(octet).collect::<Option<_>>()?;
    let [a, b, c, d] = octets[..] else { return None };
    Some(format!("{a}.{b}.{c}.{d}"))
}

impl Authority {
    fn parse(text: &str) -> Result<Self, UrlError> {
        let (user, rest) = text.split_once('@').unwrap_or(("", text));
        let bracket = rest.find(']').unwrap_or(0);
        let (host, port) = match rest[bracket..].find(':') {
            Some(colon) => (&rest[..bracket + colon], &rest[bracket + colon + 1..]),
            None => (rest, ""),
        };
        let host = Host::parse(host).ok_or(UrlError::Host)?;
        let port = match port {
            "" => None,
            _ if !port.bytes().all(|b| b.is_ascii_digit()) => return Err(UrlError::Port),
            _ => Some(port.parse().ok().filter(|&p| p != 0).ok_or(UrlError::Port)?),
        };
        Ok(Self { user: user.to_owned(), host, port })
    }
}

impl RepositoryUrl {
    /// Parses a URL.
    pub(super) fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once(':').ok_or(UrlError::Scheme)?;
        let protocol = RepositoryProtocol::from_scheme(scheme).ok_or(UrlError::Scheme)?;
        let (rest, fragment) = split_off(rest, '#');
        let (rest, query) = split_off(rest, '?');
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority), path)
            }
            None => (None, rest),
        };
        let url = Self { protocol, authority: None, path: String::new(), query, fragment };
        match protocol {
            RepositoryProtocol::File => url.with_local(authority, path),
            _ => url.with_remote(authority.ok_or(UrlError::Host)?, path),
        }
    }

    fn with_local(self, authority: Option<&str>, path: &str) -> Result<Self, UrlError> {
        let authority = authority.unwrap_or_default();
        if !authority.is_empty() && !authority.eq_ignore_ascii_case("localhost") {
            return Err(UrlError::Host);
        }
        if self.query.is_some() {
            return Err(UrlError::Query);
        }
        let path = decode_below_root(path)?.ok_or(UrlError::Path)?;
        let path = path::normalize(&format!("/{path}")).ok_or(UrlError::Path)?;
        Ok(Self { path, ..self })
    }

    fn with_remote(self, authority: &str, path: &str) -> Result<Self, UrlError> {
        let authority = Some(Authority::parse(authority)?);
        let path = decode_below_root(path)?.unwrap_or_default();
        // Normalized as an absolute path, so that it cannot lead above the root.
        let path = path::normalize(&format!("/{path}")).ok_or(UrlError::Path)?;
        Ok(Self { authority, path: path[1..].to_owned(), ..self })
    }

    /// Parses a path; `None` if it is not one.
    pub(super) fn from_path(text: &str) -> Option<Self> {
        let (path, fragment) = split_off(text, '#');
        let path = path::normalize(path)?;
        Some(Self {
            protocol: RepositoryProtocol::File,
            authority: None,
            path,
            query: None,
            fragment,
        })
    }

    /// Whether this is a relative path, which a base has to complete.
    pub(super) fn is_relative(&self) -> bool {
        self.protocol == RepositoryProtocol::File && !self.path.starts_with('/')
    }
}

/// Splits off the text after a character.
fn split_off(text: &str, mark: char) -> (&str, Option<String>) {
    match text.split_once(mark) {
        Some((text, rest)) => (text, Some(rest.to_owned())),
        None => (text, None),
    }
}

/// Decodes a path and removes the slash before it; a second slash there is an error.
fn decode_below_root(path: &str) -> Result<Option<String>, UrlError> {
    if path.is_empty() {
        return Ok(None);
    }
    let path = path.strip_prefix('/').and_then(path::decode).ok_or(UrlError::Path)?;
    if path.starts_with('/') { Err(UrlError::Path) } else { Ok(Some(path)) }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.user.is_empty() {
            write!(f, "{}@", self.user)?;
        }
        match &self.host {
            Host::Name(name) => f.write_str(&path::percent_encode(name, is_host_character))?,
            Host::Ipv4(address) => f.write_str(address)?,
            Host::Ipv6(address) => write!(f, "[{address}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_local = self.protocol == RepositoryProtocol::File;
        if is_local && self.fragment.is_none() && path::is_plain_text(&self.path) {
            return f.write_str(&self.path);
        }
        write!(f, "{}:", self.protocol.as_str())?;
        if let Some(authority) = &self.authority {
            write!(f, "//{authority}/")?;
        }
        f.write_str(&path::encode(&self.path))?;
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        self.fragment.as_ref().map_or(Ok(()), |fragment| write!(f, "#{fragment}"))
    }
}
