//! Properties that hold for all inputs, tested with random ones.
#![allow(clippy::unwrap_used, reason = "all of this is test code, also outside of #[test]")]

use std::cmp::Ordering;

use bbot_manifest::text::Commented;
use bbot_manifest::version::{
    PackageConstraint, PackageVersionForms, StandardConstraint, StandardVersionForms,
};
use bbot_manifest::{PackageVersion, StandardVersion};
use proptest::prelude::*;

use crate::generators::{long_manifest_like, manifest_like, value};

#[path = "corpus/checks.rs"]
mod checks;
#[path = "corpus/generators.rs"]
mod generators;

fn standard_version() -> impl Strategy<Value = StandardVersion> {
    let part = prop_oneof![0..3_u32, 99_998..100_000_u32];
    let pre =
        prop_oneof!["", "-", "-[ab]\\.[1-3]", "-[ab]\\.[0-2]\\.([1-3]|z)", "-a\\.1\\.2\\.[a-c]"];
    let revision = prop_oneof!["", "\\+[1-3]"];
    ("", part.clone(), part.clone(), part, pre, revision).prop_filter_map(
        "not a version",
        |(epoch, a, b, c, pre, revision)| {
            let text = format!("{epoch}{a}.{b}.{c}{pre}{revision}");
            StandardVersion::parse(&text, StandardVersionForms::ALL).ok()
        },
    )
}

fn final_version() -> impl Strategy<Value = StandardVersion> {
    standard_version().prop_filter("a snapshot", |version| !version.is_snapshot())
}

fn all_forms() -> PackageVersionForms {
    let mut forms = PackageVersionForms::default();
    (forms.fold_zero_revision, forms.iteration) = (false, true);
    forms
}

fn package_version() -> impl Strategy<Value = PackageVersion> {
    "(\\+[0-2]-)?[0-2a-bA]{1,2}(\\.[0-2a]{1,2}){0,2}(-([0-1a]{1,2}(\\.[0-1])?)?)?\
     (\\+[0-2])?(#[0-2])?"
        .prop_filter_map("not a version", |text| PackageVersion::parse(&text, all_forms()).ok())
}

/// Texts of which most are locations, many of them with encoded characters.
fn location() -> impl Strategy<Value = String> {
    let encoded = |c: char| {
        let text = String::new();
        c.to_string().bytes().fold(text, |text, byte| text + &format!("%{byte:02X}"))
    };
    let piece = prop_oneof![
        4 => "[a-z0-9A-Z.+_~$-]{1,3}",
        3 => prop::char::range(' ', '~').prop_map(encoded),
        1 => any::<char>().prop_map(encoded),
        1 => "[ @:]",
    ];
    let pieces = prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat());
    let start = prop_oneof![3 => "((git|pkg)\\+)?https://", 1 => "(dir|git)\\+file://", 1 => "/?"];
    let host = prop_oneof![4 => pieces.clone(), 2 => "", 1 => "\\[::(ffff:)?[0-9a.]{1,7}\\]"];
    let end = "(/1|/x)(/x\\.git)?(\\?q)?(##?[a-z]{1,2}(,[+-]a)?)?";
    (start, host, pieces, end)
        .prop_map(|(start, host, path, end)| format!("{start}{host}/{path}{end}"))
}

fn check_order<T: Ord + std::hash::Hash>(a: &T, b: &T, c: &T) {
    assert_eq!(a.cmp(a), Ordering::Equal);
    assert_eq!(a.cmp(b), b.cmp(a).reverse());
    assert_eq!(a == b, a.cmp(b).is_eq());
    if a <= b && b <= c {
        assert!(a <= c);
    }
    if a == b {
        assert_eq!(a.cmp(c), b.cmp(c));
        let hash = |value: &T| {
            use std::hash::BuildHasher;
            std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(value)
        };
        assert_eq!(hash(a), hash(b));
    }
}

/// The parser validates the input in steps, which end early if they have many lines.
#[test]
fn a_step_may_end_before_anything() {
    for starts in 400..600 {
        for next in ["\u{7}", "\u{200b}", "\\\n", "\r\n", "a: b\n"] {
            let text = format!(": 1\n{}{next}", ":\n".repeat(starts));
            checks::pieces(text.as_bytes(), [1, 1 << 16]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn both_parsers_see_the_same_and_it_can_be_written(text in manifest_like()) {
        checks::parse(&text);
    }

    #[test]
    fn the_input_may_come_in_pieces_of_any_size(text in manifest_like()) {
        checks::pieces(&text, 1..=text.len() + 1);
    }

    #[test]
    fn written_pairs_are_read_again(
        pairs in prop::collection::vec(("[a-z\u{e9}]{1,45}", value()), 0..4),
    ) {
        let fields: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}\0{value}")).collect();
        checks::serialize(fields.join("\0").as_bytes());
    }

    #[test]
    fn any_bytes_can_be_parsed_and_written(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        checks::parse(&bytes);
        checks::serialize(&bytes);
        checks::values(&bytes);
        checks::manifests(&bytes);
    }

    #[test]
    fn texts_like_values_can_be_parsed(
        text in "[(\\[~^<>=$ ]{0,3}[0-9a-z.+*?/:@#%-]{0,12}[ )\\]0-9.a-z\"']{0,8}",
    ) {
        checks::values(text.as_bytes());
    }

    #[test]
    fn locations_are_read_again(text in location()) {
        checks::values(text.as_bytes());
        let rest = "trust: 0\nmachine: m\ntarget: x86_64-linux-gnu\n";
        let mut task = format!(": 1\nname: foo\nversion: 1\nrepository-url: {text}\n{rest}");
        checks::manifests(task.as_bytes());
        task.push_str("repository-type: git\n");
        checks::manifests(task.as_bytes());
    }

    #[test]
    fn comments_are_split_again(value in value(), comment in value()) {
        let (value, comment) = (value.replace('\r', ""), comment.replace('\r', ""));
        let one_line = !value.contains('\n') && !comment.contains('\n');
        let spaces = [' ', '\t'];
        let expected = if one_line {
            (value.trim_end_matches(spaces), comment.trim_start_matches(spaces))
        } else {
            (value.as_str(), comment.as_str())
        };
        let expected = Commented { value: expected.0.to_owned(), comment: expected.1.to_owned() };
        let commented = Commented { value: value.clone(), comment: comment.clone() };
        prop_assert_eq!(Commented::split(&commented.merge()), expected);
    }

    #[test]
    fn standard_versions_are_ordered(
        a in standard_version(),
        b in standard_version(),
        c in standard_version(),
    ) {
        check_order(&a, &b, &c);
        let again = StandardVersion::parse(&a.to_string(), StandardVersionForms::ALL).unwrap();
        prop_assert_eq!(again, a);
    }

    #[test]
    fn package_versions_are_ordered(
        a in package_version(),
        b in package_version(),
        c in package_version(),
    ) {
        check_order(&a, &b, &c);
        prop_assert_eq!(PackageVersion::parse(&a.to_string(), all_forms()).unwrap(), a);
    }

    /// Versions have one order, whether they are read as standard or as package versions.
    #[test]
    fn both_kinds_of_version_agree(a in final_version(), b in final_version()) {
        let package = |v: &StandardVersion| v.to_string().parse::<PackageVersion>().unwrap();
        prop_assert_eq!(package(&a).cmp(&package(&b)), a.cmp(&b));
    }

    #[test]
    fn a_range_contains_what_is_between_its_ends(
        a in standard_version(),
        b in standard_version(),
        probe in standard_version(),
    ) {
        let text = format!("[{a} {b})");
        if let Ok(range) = text.parse::<StandardConstraint>() {
            prop_assert_eq!(range.is_satisfied_by(&probe), a <= probe && probe < b);
            let again: StandardConstraint = range.to_string().parse().unwrap();
            prop_assert_eq!(again, range);
        }
        if let Ok(range) = text.parse::<PackageConstraint>() {
            let again: PackageConstraint = range.to_string().parse().unwrap();
            prop_assert_eq!(again, range);
        }
    }
}

proptest! {
    // Long inputs: fewer of them.
    #![proptest_config(ProptestConfig {
        cases: 80,
        failure_persistence: None,
        ..Default::default()
    })]

    /// In pieces of one byte, the stream has no whole line for the fast path.
    #[test]
    fn long_inputs_may_come_in_pieces(text in long_manifest_like()) {
        checks::pieces(&text, [1, 4000, 1 << 16]);
    }
}
