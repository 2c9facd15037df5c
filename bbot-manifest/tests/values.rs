//! Value types: what each parses, how it is displayed, and the errors of other texts.
#![allow(clippy::unwrap_used, reason = "all of this is test code, also outside of #[test]")]

use std::error::Error;
use std::fmt::{Debug, Display};
use std::str::FromStr;

use bbot_manifest::location::RepositoryType;
use bbot_manifest::protocol::{
    InteractiveMode, MacAddress, MachineRole, MachineType, Sha256Fingerprint, TargetTriplet,
    TaskRequirement, TestDependency,
};
use bbot_manifest::ser::to_string_with;
use bbot_manifest::version::{PackageConstraint, SemanticVersion, StandardConstraint};
use bbot_manifest::{
    Lines, MachineName, PackageName, PackageVersion, RepositoryLocation, ResultStatus,
    StandardVersion, from_str,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A manifest with one value.
#[derive(Serialize, Deserialize)]
struct One<T> {
    v: T,
}

/// Returns the message of an error and of its sources.
fn chain(error: &dyn Error) -> String {
    let source = error.source().map_or(String::new(), |source| format!(": {}", chain(source)));
    error.to_string() + &source
}

/// Each first text of `good` is parsed and displayed as the second one, also by serde; each first
/// text of `bad` is refused with the second one as the message.
#[track_caller]
fn check<T>(good: &[(&str, &str)], bad: &[(&str, &str)])
where
    T: FromStr<Err: Error> + Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    for (text, shown) in good {
        let value: T = text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(value.to_string(), *shown);
        assert_eq!(from_str::<One<T>>(&format!(": 1\nv: {text}\n")).unwrap().v, value);
        let text = to_string_with(&One { v: &value }, Lines::Long).unwrap();
        assert_eq!(text, format!(": 1\nv: {shown}\n"));
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(json, serde_json::to_string(shown).unwrap());
        assert_eq!(serde_json::from_str::<T>(&json).unwrap(), value);
    }
    for (text, message) in bad {
        assert_eq!(chain(&text.parse::<T>().unwrap_err()), *message, "{text:?}");
        let error = from_str::<One<T>>(&format!(": 1\nv: {text}\n")).err().unwrap();
        assert_eq!(error.to_string(), format!("2:4: error: invalid v: {message}"));
    }
}

/// Texts that are displayed as they are.
fn same<const N: usize>(texts: [&str; N]) -> [(&str, &str); N] {
    texts.map(|text| (text, text))
}

/// D9: the names of machines.
#[test]
fn names() {
    check::<PackageName>(
        &same(["libhello", "CON", "a+", "lib.x"]),
        &[("a", "length is less than two characters"), ("nul", "illegal name")],
    );
    check::<MachineName>(
        &same(["linux_debian-12+gcc.13", "a", "..a"]),
        &[
            ("", "machine name is empty"),
            ("..", "machine name consists of dots"),
            ("a/b", "'/' in machine name"),
            ("a\u{e9}", "'\u{e9}' in machine name"),
        ],
    );
    check::<TargetTriplet>(
        &same(["x86_64-linux-gnu", "x86_64-microsoft-win32-msvc14.3", "wasm32-emscripten"]),
        &[
            ("linux", "CPU and system expected in target triplet"),
            ("x86_64--gnu", "empty component in target triplet"),
            ("x86_64-linux gnu", "' ' in target triplet"),
        ],
    );
}

#[test]
fn versions() {
    check::<PackageVersion>(
        &[("1.02-rc.1+3", "1.02-rc.1+3"), ("+1-1+0", "1"), ("+2-1", "+2-1")],
        &[("1..2", "unexpected '.' character position"), ("", "unexpected end")],
    );
    check::<StandardVersion>(
        &[("01.2.3", "1.2.3"), ("+2-1.2.3-b.1.z+4", "+2-1.2.3-b.1.z+4")],
        &[("1.2", "'.' expected after minor version"), ("0", "'.' expected after major version")],
    );
    check::<SemanticVersion>(
        &same(["1.2.3", "1.2.3-rc.1", "1.2.3+build"]),
        &[("1.2", "'.' expected after minor version"), ("1.2.3 x", "junk after version")],
    );
}

#[test]
fn constraints() {
    check::<PackageConstraint>(
        &[("== $", "== $"), ("[1.2  2)", "[1.2 2)"), ("~1.2.3", "~1.2.3"), (">1", "> 1")],
        &[("1", "invalid version comparison"), (">=", "no version specified")],
    );
    check::<StandardConstraint>(
        &[("[1.2.3 2.0.0-)", "^1.2.3"), ("<= 1.2.3", "<= 1.2.3")],
        &[("1.2.3", "invalid constraint"), ("(1.2.3 1.2.3)", "equal version endpoints not closed")],
    );
}

#[test]
fn locations() {
    check::<RepositoryLocation>(
        &[
            ("HTTPS://Example.org:/a/../1/b", "https://example.org/1/b"),
            ("git+https://example.org/x", "git+https://example.org/x"),
            ("https://example.org/x.git#v1", "https://example.org/x.git#v1"),
            ("dir+file:///a%20b", "dir+file:///a%20b"),
            // A host is decoded, and displayed so that it is parsed as the same.
            ("https://A%20b%C3%A9%2F%25%40c/1/x", "https://a b%C3%A9%2F%25%40c/1/x"),
            ("https://%5B%3A%3a1%5D/1/x", "https://%5B%3A%3A1%5D/1/x"),
            ("https://%31%30.0.0.01/1/x", "https://10.0.0.1/1/x"),
            ("https://[0:0:0:0:0:FFFF:0102:3]/1/x", "https://[::ffff:102:3]/1/x"),
            // A path is displayed as it is where that is possible.
            ("file:///a%20b/1", "/a b/1"),
            ("file:///a%23b/1", "file:/a%23b/1"),
            ("file:///a%0Ab%7F/1", "file:/a%0Ab%7F/1"),
        ],
        &[
            ("", "empty URL"),
            ("x", "relative filesystem path"),
            ("https://example.org/x", "missing repository version"),
            ("https://a\"b/1/x", "relative filesystem path"),
            ("https://a%2/1/x", "relative filesystem path"),
            ("https://[::ffff:1.2.3.4]/1/x", "relative filesystem path"),
        ],
    );
    check::<RepositoryType>(
        &same(["pkg", "dir", "git"]),
        &[("svn", "pkg, dir or git expected"), ("", "pkg, dir or git expected")],
    );
}

#[test]
fn addresses_and_fingerprints() {
    let expected = "six hexadecimal octets with colons between them expected";
    check::<MacAddress>(
        &[("02:16:3E:00:0a:01", "02:16:3e:00:0a:01")],
        &[
            ("", expected),
            ("02:16:3e:00:0a", expected),
            ("02:16:3e:00:0a:01:02", expected),
            ("02-16-3e-00-0a-01", expected),
            ("2:16:3e:0:a:1", expected),
        ],
    );
    let (keys, certificates) = ("0a".repeat(32), ["0A"; 32].join(":"));
    let expected = "SHA256 fingerprint expected";
    check::<Sha256Fingerprint>(
        &[(&keys, &certificates), (&certificates, &certificates)],
        &[
            ("", expected),
            ("yes", expected),
            (&keys[2..], expected),
            (&certificates[3..], expected),
            (&format!("{certificates}:"), expected),
            (&format!("{keys}0a"), expected),
        ],
    );
    assert_eq!(certificates.parse::<Sha256Fingerprint>().unwrap().to_hex(), keys);
}

/// D10: the order of the result statuses.
#[test]
fn words() {
    let expected = "false, true or both expected";
    check::<InteractiveMode>(&same(["false", "true", "both"]), &[("", expected), ("1", expected)]);
    check::<MachineRole>(&same(["build", "auxiliary"]), &[("test", "build or auxiliary expected")]);
    check::<MachineType>(&same(["kvm", "nspawn"]), &[("qemu", "kvm or nspawn expected")]);
    let statuses = ["skip", "success", "warning", "error", "abort", "abnormal", "interrupt"];
    check::<ResultStatus>(&same(statuses), &[("Success", "result status expected")]);
    let statuses = statuses.map(|text| text.parse::<ResultStatus>().unwrap());
    assert!(statuses.is_sorted_by(|a, b| a < b));
    assert_eq!(
        statuses.map(ResultStatus::is_failure),
        [false, false, false, true, true, true, true]
    );
}

#[test]
fn requirements() {
    check::<TaskRequirement>(
        &same(["* linux | macos ; a comment", "c++20", r"a\;b"]),
        &[("", "empty requirement")],
    );
    let requirement: TaskRequirement = r"* a\;b | c ; why; so".parse().unwrap();
    assert!(requirement.is_build_time());
    assert!(requirement.alternatives().eq(["a;b", "c"]));
    assert_eq!(requirement.comment(), "why; so");
}

#[test]
fn test_dependencies() {
    check::<TestDependency>(
        &[
            ("*libhello-tests", "* libhello-tests"),
            ("hello>=1.2", "hello >= 1.2"),
            ("hello [1.2 2) ? ((a) && (b)) x=1", "hello [1.2 2) ? ((a) && (b)) x=1"),
            ("hello == $ config.hello=1", "hello == $ config.hello=1"),
        ],
        &[
            ("", "no package name specified"),
            ("*", "no package name specified"),
            ("x", "invalid package name: length is less than two characters"),
            ("hello ? x", "condition in parentheses expected after '?'"),
            ("hello ? (x", "condition in parentheses expected after '?'"),
            (
                "hello >= 1..2",
                "invalid version constraint: invalid version: \
                unexpected '.' character position",
            ),
        ],
    );
    let tests: TestDependency = "* hello ~1.2.3 ? ($x) y = z".parse().unwrap();
    assert!(tests.build_time);
    assert_eq!(tests.constraint, Some("~1.2.3".parse().unwrap()));
    assert_eq!((tests.enable.as_deref(), tests.reflect.as_deref()), (Some("$x"), Some("y = z")));
}
