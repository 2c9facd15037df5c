//! The serde data format.
#![allow(clippy::unwrap_used, reason = "all of this is test code, also outside of #[test]")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::BufReader;

use bbot_manifest::de::{from_parser, from_stream_parser};
use bbot_manifest::flatten::{Suffix, Suffixed};
use bbot_manifest::ser::to_string_with;
use bbot_manifest::{
    Limits, Lines, PackageName, PackageVersion, Parser, ResultStatus, StandardVersion,
    StreamParser, from_reader, from_str, to_string,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Package {
    name: PackageName,
    version: PackageVersion,
    build_count: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    depends: Vec<String>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    HeaderOnly,
    Compiled,
}

const PACKAGE: &str = "name: libhello\nversion: 1.2.3\nbuild-count: 3\ndepends: a\ndepends: b\n\
    kind: header-only\n";

#[track_caller]
fn round_trip<T>(text: &str) -> T
where
    T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug,
{
    let value: T = from_str(text).unwrap();
    assert_eq!(to_string(&value).unwrap(), text);
    let read: T = from_reader(BufReader::with_capacity(3, text.as_bytes())).unwrap();
    assert_eq!(read, value);
    value
}

#[track_caller]
fn check_error<'de, T: Deserialize<'de>>(text: &'de str, expected: &str) {
    assert_eq!(from_str::<T>(text).err().expect("an error").to_string(), expected);
}

#[test]
fn a_struct_is_a_manifest() {
    let package: Package = round_trip(&format!(": 1\n{PACKAGE}"));
    assert_eq!(package.depends, ["a", "b"]);
    assert_eq!(package.kind, Kind::HeaderOnly);
    let short: Package = from_str(": 1\nname: libhello\nversion: 1\nkind: compiled\n").unwrap();
    assert_eq!((short.build_count, short.depends.len()), (None, 0));
}

#[test]
fn a_vec_is_a_list_of_manifests() {
    let list: Vec<Package> = round_trip(&format!(": 1\n{PACKAGE}:\n{PACKAGE}"));
    assert_eq!(list.len(), 2);
    assert_eq!(round_trip::<Vec<Package>>(""), []);
}

#[test]
fn a_tuple_is_a_list_of_different_manifests() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Head {
        agent: String,
    }
    type List = (Head, Option<Head>, Vec<Package>);
    let text = format!(": 1\nagent: a\n:\nagent: b\n:\n{PACKAGE}:\n{PACKAGE}");
    let (first, second, packages): List = round_trip(&text);
    assert_eq!((first.agent.as_str(), packages.len()), ("a", 2));
    assert_eq!(second.unwrap().agent, "b");
    let (_, second, packages): List = round_trip(": 1\nagent: a\n");
    assert_eq!((second, packages.len()), (None, 0));
}

#[test]
fn an_untagged_enum_is_a_list_of_different_manifests() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Any {
        Package(Box<Package>),
        Other(BTreeMap<String, String>),
    }
    let list: Vec<Any> =
        from_str(&format!(": 1\na: 1\n:\n{}", PACKAGE.replace("build-count: 3\n", ""))).unwrap();
    assert!(matches!(list[..], [Any::Other(_), Any::Package(_)]), "{list:?}");
}

struct Status;

impl Suffix for Status {
    const SUFFIX: &'static str = "-status";
}

struct Version;

impl Suffix for Version {
    const SUFFIX: &'static str = "-version";
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    status: ResultStatus,
    #[serde(flatten)]
    statuses: Suffixed<Status, ResultStatus>,
    #[serde(flatten)]
    versions: Suffixed<Version, StandardVersion>,
}

#[test]
fn suffixed_names_are_flattened_maps() {
    let report: Report = round_trip(
        ": 1\nstatus: error\nupdate-status: success\na-status: error\nbbot-version: 0.16.0\n",
    );
    assert_eq!(report.statuses.as_slice()[0], ("update".to_owned(), ResultStatus::Success));
    assert_eq!(report.versions.as_slice().len(), 1);
    check_error::<Report>(
        ": 1\nstatus: error\nupdate-status: fine\n",
        "3:16: error: invalid update-status: result status expected",
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Details<'a> {
    count: u64,
    done: bool,
    ratio: Option<f64>,
    #[serde(borrow)]
    note: Cow<'a, str>,
    sizes: Vec<u8>,
    status: ResultStatus,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Detailed<'a> {
    name: String,
    #[serde(borrow, flatten, with = "bbot_manifest::flatten::buffered")]
    details: Details<'a>,
    #[serde(flatten, with = "bbot_manifest::flatten::buffered")]
    versions: Suffixed<Version, u64>,
    #[serde(flatten)]
    others: BTreeMap<String, String>,
}

const DETAILS: &str = "count: 18446744073709551615\ndone: true\nratio: 0.5\nnote: 007\n\
    sizes: 1\nstatus: error\n";

#[test]
fn flattened_values_have_their_types() {
    let text = format!(": 1\nname: a\n{DETAILS}bbot-version: 3\n");
    let Detailed { details, versions, others, .. } = from_str(&text).unwrap();
    assert_eq!((details.count, details.done, details.ratio), (u64::MAX, true, Some(0.5)));
    assert_eq!((&details.sizes[..], details.status), (&[1][..], ResultStatus::Error));
    assert!(matches!(details.note, Cow::Borrowed("007")));
    assert_eq!(versions.as_slice()[0], ("bbot".to_owned(), 3));
    // The fields of a struct are not left for the next flattened field; those of a map are.
    assert_eq!(others, BTreeMap::from([("bbot-version".to_owned(), "3".to_owned())]));

    let text = ": 1\ncount: 1\ndone: false\nnote: a\\\nb\nsizes: 1\nsizes: 2\nstatus: error\n";
    let text = text.replace("count", "name: x\ncount");
    let detailed: Detailed<'_> = from_str(&text).unwrap();
    assert_eq!((detailed.details.ratio, &*detailed.details.note), (None, "ab"));
    assert_eq!(detailed.details.sizes, [1, 2]);
    assert_eq!(to_string(&detailed).unwrap(), text.replace("\\\n", ""));
}

#[test]
fn errors_in_flattened_values_have_their_place() {
    let check = |from: &str, to: &str, expected: &str| {
        let text = format!(": 1\nname: a\n{}", DETAILS.replace(from, to));
        let error = from_str::<Detailed<'_>>(&text).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check("true", "yes", "4:7: error: invalid done: true or false expected");
    check("sizes: 1", "sizes: 1\nsizes: 256", "7:8: error: invalid sizes: number expected");
    check("count", "size", "9:1: error: no count specified");
    check("note", "count", "3:8: error: invalid count: count redefinition");
}

#[test]
fn values_of_variants_have_their_types() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Any {
        #[serde(with = "bbot_manifest::flatten::buffered")]
        Package(Box<Package>),
        #[serde(with = "bbot_manifest::flatten::buffered")]
        Numbers(BTreeMap<String, Vec<u8>>),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "form")]
    enum Tagged {
        #[serde(with = "bbot_manifest::flatten::buffered")]
        Counted(Count),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Count {
        count: u8,
    }
    let list: Vec<Any> = round_trip(&format!(": 1\na: 1\na: 2\n:\n{PACKAGE}"));
    assert!(matches!(&list[1], Any::Package(package) if package.build_count == Some(3)));
    assert_eq!(list[0], Any::Numbers(BTreeMap::from([("a".to_owned(), vec![1, 2])])));
    let tagged: Vec<Tagged> = round_trip(": 1\nform: Counted\ncount: 3\n");
    assert_eq!(tagged, [Tagged::Counted(Count { count: 3 })]);
}

#[test]
fn errors_name_the_value_and_its_place() {
    let with = |line: &str| format!(": 1\n{PACKAGE}{line}");
    let text = PACKAGE.replace("1.2.3", "1..2");
    check_error::<Package>(
        &format!(": 1\n{text}"),
        "3:10: error: invalid version: unexpected '.' character position",
    );
    check_error::<Package>(&with("odd: 1\n"), "8:1: error: unknown name 'odd' in manifest");
    check_error::<Package>(&with("name: x\n"), "8:1: error: name redefinition");
    check_error::<Package>(": 1\nname: libhello\n", "3:1: error: no version specified");
    let text = PACKAGE.replace("count: 3", "count: x");
    check_error::<Package>(
        &format!(": 1\n{text}"),
        "4:14: error: invalid build-count: number expected",
    );
    check_error::<Package>("", "1:1: error: start of manifest expected");
    check_error::<Package>(&with(":\n"), "8:1: error: single manifest expected");
    check_error::<Package>(": 1\nname\n", "2:5: error: ':' expected after name");
}

#[test]
fn errors_in_lists_have_the_place_of_the_element() {
    #[derive(Deserialize)]
    struct Numbers {
        #[serde(rename = "number")]
        _numbers: Vec<u8>,
    }
    let text = ": 1\nnumber: 1\n:\nnumber: 2\nnumber: 256\n";
    let expected = "5:9: error: invalid number: number expected";
    check_error::<Vec<Numbers>>(text, expected);
    let streamed = from_reader::<Vec<Numbers>>(text.as_bytes()).err().unwrap();
    assert_eq!(streamed.to_string(), expected);
    check_error::<(Numbers, Option<Numbers>)>(
        &format!("{}:\n", text.replace("256", "3")),
        "6:1: error: single manifest expected",
    );
}

#[test]
fn texts_are_borrowed_where_they_stand_unbroken() {
    #[derive(Deserialize)]
    struct Texts<'a> {
        one: &'a str,
        #[serde(borrow)]
        two: Cow<'a, str>,
    }
    let text = ": 1\none: a\ntwo: b\\\nc\n".to_owned();
    let texts: Texts<'_> = from_str(&text).unwrap();
    assert!(text.as_bytes().as_ptr_range().contains(&texts.one.as_ptr()));
    assert_eq!(texts.two, "bc");
}

#[test]
fn maps_take_the_names_that_are_left() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Open {
        name: String,
        #[serde(flatten)]
        others: BTreeMap<String, String>,
    }
    let open: Open = round_trip(": 1\nname: a\nb: 1\nc: 2\n");
    assert_eq!(open.others["c"], "2");
    let maps: Vec<BTreeMap<String, Vec<u32>>> = round_trip(": 1\na: 1\na: 2\nb: 3\n:\n");
    assert_eq!((&maps[0]["a"][..], maps[1].len()), (&[1, 2][..], 0));
}

#[test]
fn what_is_not_a_manifest_cannot_be_written() {
    let error = |result: Result<String, bbot_manifest::Error>| result.unwrap_err().message();
    assert!(error(to_string("text")).contains("struct, map, or list"));
    let nested = BTreeMap::from([("a", BTreeMap::from([("b", 1)]))]);
    assert_eq!(
        error(to_string(&nested)),
        "invalid a: text, number, or list of them expected for a value"
    );
    assert!(error(to_string(&BTreeMap::from([("", "1")]))).contains("value without a name"));
    assert_eq!(error(to_string(&BTreeMap::from([("a b", 1)]))), "name contains whitespace");
    let long = "x ".repeat(60) + "x";
    let text = to_string_with(&BTreeMap::from([("a", &long)]), Lines::Long).unwrap();
    assert_eq!(text, format!(": 1\na: {long}\n"));
}

#[test]
fn values_of_all_simple_types_are_read_and_written() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct All {
        flag: bool,
        letter: char,
        small: i8,
        large: u128,
        real: f64,
        nothing: (),
        pair: (u8, u8),
        wrapped: Wrapped,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(String);
    round_trip::<All>(
        ": 1\nflag: true\nletter: x\nsmall: -3\nlarge: 340282366920938463463374607431768211455\n\
         real: 0.5\nnothing:\npair: 1\npair: 2\nwrapped: w\n",
    );
}

#[test]
fn serde_keeps_the_names_and_limits_of_parsers() {
    type Any = Vec<BTreeMap<String, String>>;
    let text = ": 1\na: b\nc: d\n";
    let mut limits = Limits::default();
    limits.pairs = 1;
    let expected = "file:3:1: error: pairs are more than 1";
    let parser = Parser::new(text).with_name("file").with_limits(limits);
    assert_eq!(from_parser::<Any>(parser).unwrap_err().to_string(), expected);
    let parser = StreamParser::new(text.as_bytes()).with_name("file").with_limits(limits);
    assert_eq!(from_stream_parser::<Any, _>(parser).unwrap_err().to_string(), expected);
}
