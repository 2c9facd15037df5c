//! The name in a request, as a path that stays in its folder.

use std::fmt;

/// Uploads are written under names that begin so; no request may name one.
pub(crate) const TEMPORARY_PREFIX: &str = ".bbot-tftp-";

/// The longest path, in bytes, and the longest of its components.
const MAX_PATH: usize = 1024;
const MAX_COMPONENT: usize = 255;

/// A relative path without `.`, `..`, empty components, control characters or backslashes.
///
/// ```
/// use bbot_tftp::RequestPath;
/// assert_eq!(RequestPath::parse(b"/pub//a.txt").unwrap().as_str(), "pub/a.txt");
/// assert!(RequestPath::parse(b"../a.txt").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestPath(String);

impl RequestPath {
    /// Reads the name of a request; leading slashes are stripped.
    ///
    /// Returns `None` for a name that a server must not even look for.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        if name.len() > MAX_PATH || name.contains(|c: char| c.is_control() || c == '\\') {
            return None;
        }
        let mut path = String::with_capacity(name.len());
        for component in name.split('/').filter(|c| !c.is_empty() && *c != ".") {
            let reserved = component.starts_with(TEMPORARY_PREFIX);
            if component == ".." || reserved || component.len() > MAX_COMPONENT {
                return None;
            }
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(component);
        }
        (!path.is_empty()).then_some(Self(path))
    }

    /// The path's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Folder (`.` for none) and last component.
    pub(crate) fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or((".", &self.0))
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, path) in
            [("a", "a"), ("/a", "a"), ("///a/./b", "a/b"), ("a/", "a"), ("a..b/...", "a..b/...")]
        {
            assert_eq!(RequestPath::parse(name.as_bytes()).unwrap().as_str(), path);
        }
        let long = "a".repeat(256);
        let deep = "a/".repeat(600);
        for name in [
            "",
            "/",
            ".",
            "..",
            "a/../b",
            "/..",
            "a\\b",
            "a\nb",
            "a\0b",
            "\x7f",
            &long,
            &deep,
            ".bbot-tftp-1-2",
            "x/.bbot-tftp-",
        ] {
            assert_eq!(RequestPath::parse(name.as_bytes()), None, "{name:?}");
        }
        assert_eq!(RequestPath::parse(b"\xff"), None);
    }
}
