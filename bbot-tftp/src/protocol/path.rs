//! The file name of a request, as a path that does not leave its folder.

use std::fmt;

/// The prefix of the temporary names of uploads; no request may use such a name.
pub(crate) const TEMPORARY_PREFIX: &str = ".bbot-tftp-";

/// The maximum length of a path and of each of its components, in bytes.
const MAX_PATH: usize = 1024;
const MAX_COMPONENT: usize = 255;

/// A relative path without `.`, `..`, empty components, control characters or backslashes.
///
/// ```
/// use bbot_tftp::RequestPath;
/// assert_eq!(RequestPath::parse(b"/pub//a.txt").unwrap().as_str(), "pub/a.txt");
/// assert!(RequestPath::parse(b"../a.txt").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestPath(String);

impl RequestPath {
    /// Parses the file name of a request; leading slashes are removed.
    ///
    /// Returns `None` for a name that a server must refuse without looking for the file.
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

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the folder (`.` if there is none) and the last component.
    pub(crate) fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or((".", &self.0))
    }
}

impl AsRef<str> for RequestPath {
    fn as_ref(&self) -> &str {
        &self.0
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
