//! The names of toolchains.

use std::fmt;
use std::str::FromStr;

/// The name of a toolchain: letters, digits, `.`, `_`, `+`, `-` of ASCII (W44).
///
/// It is part of the names of files beside those of the operator and of other toolchains:
/// `<machine>-<toolchain>`, `<machine>-<toolchain>.lock` and others. A name with which one of them
/// could be taken for something else is refused. Upper and lower case differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ToolchainName(String);

/// The endings of files that belong to the toolchain whose name precedes them.
const RESERVED_ENDINGS: [(&str, &str); 2] = [
    (".lock", "must not end with '.lock', as the lock files of machines do"),
    (".warm", "must not end with '.warm', as the saved states of machines do"),
];

impl ToolchainName {
    /// Longer names would not leave room for the rest of a file's name.
    const LEN_MAX: usize = 100;

    /// Returns the name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ToolchainName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        if name.is_empty() || name.len() > Self::LEN_MAX {
            return Err("must have 1 to 100 characters");
        }
        if !name.bytes().all(is_fit) {
            return Err("may have letters, digits, '.', '_', '+' and '-' only");
        }
        match ambiguity(name) {
            Some(problem) => Err(problem),
            None => Ok(Self(name.to_owned())),
        }
    }
}

/// Returns what files with this name could be mistaken for.
fn ambiguity(name: &str) -> Option<&'static str> {
    if name.starts_with('.') {
        return Some("must not begin with a dot");
    }
    if is_number(name) {
        return Some("must not be a number");
    }
    if name.split_once('.').is_some_and(|(protocol, _)| is_number(protocol)) {
        return Some("must not begin with a number and a dot, as the revisions of machines do");
    }
    // From the right, because `<toolchain>-<instance>-<pid>-<count>` is parsed from there.
    if name.rsplitn(4, '-').take(3).filter(|part| is_number(part)).count() == 3 {
        return Some("must not end with three numbers, as the snapshots of machines do");
    }
    let lower = name.to_ascii_lowercase();
    let ending = RESERVED_ENDINGS.iter().find(|(ending, _)| lower.ends_with(ending));
    ending.map(|(_, problem)| *problem)
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for ToolchainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W44: a name that makes a path of one thing that of another is refused, and says why.
    #[test]
    fn ambiguous_names_are_refused() {
        let table = [
            ("1", "must not be a number"),
            ("2024", "must not be a number"),
            ("1.2", "a number and a dot"),
            ("1.", "a number and a dot"),
            ("1.2-beta", "a number and a dot"),
            ("0.17.0", "a number and a dot"),
            ("stage-2-2024-06", "three numbers"),
            ("stage-002-1-0", "three numbers"),
            ("a-1-2-3-4", "three numbers"),
            ("-1-2-3", "three numbers"),
            ("1-2-3", "three numbers"),
            ("t.lock", "'.lock'"),
            ("t.LOCK", "'.lock'"),
            ("t.warm", "'.warm'"),
            ("t.Warm", "'.warm'"),
            (".", "begin with a dot"),
            ("..", "begin with a dot"),
            (".t", "begin with a dot"),
            (".lock", "begin with a dot"),
        ];
        for (name, problem) in table {
            let refused = name.parse::<ToolchainName>().expect_err(name);
            assert!(refused.contains(problem), "{name}: {refused}");
        }
    }

    /// W44: names that only resemble these are accepted.
    #[test]
    fn unambiguous_names_are_accepted() {
        let names = [
            "default",
            "public-1",
            "stage",
            "Stage",
            "stage-2024-06",
            "a-1-2",
            "v1.2",
            "a1.2",
            "1a",
            "1-2",
            "2024-06",
            "t.locked",
            "lock",
            "warm",
            "t-lock",
            "a-1-x-3",
            "a-1--3",
            "c++17",
            "-",
            "a..b",
            "a.",
        ];
        for name in names {
            assert_eq!(name.parse::<ToolchainName>().expect(name).as_str(), name);
        }
    }
}
