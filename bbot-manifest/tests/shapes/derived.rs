//! Derived types of the shapes that serde does not tell a format about.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bbot_manifest::flatten::{Suffix, Suffixed, buffered};
use bbot_manifest::{from_str, to_string};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Whether the value is serialized; it is then deserialized as the same.
#[track_caller]
fn same_or_refused<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> bool {
    let Ok(text) = to_string(value) else { return false };
    let again = from_str::<T>(&text).unwrap_or_else(|error| panic!("{value:?}\n{text}\n{error}"));
    assert_eq!(again, *value, "{text}");
    true
}

#[track_caller]
fn check_error(value: &impl Serialize, expected: &str) {
    assert_eq!(to_string(value).unwrap_err().message(), expected);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Details {
    text: String,
    note: Option<String>,
    count: u64,
    flag: bool,
    #[serde(default)]
    sizes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Texts {
    text: String,
    note: Option<String>,
    #[serde(default)]
    lines: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form")]
enum Internal {
    Details(Details),
    Texts(Texts),
    Inline { count: u8 },
    Map(BTreeMap<String, String>),
    Unit,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form")]
enum InternalBuffered {
    #[serde(with = "buffered")]
    Details(Details),
    #[serde(with = "buffered")]
    Texts(Texts),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", content = "content")]
enum Adjacent {
    Number(u64),
    Optional(Option<String>),
    List(Vec<u8>),
    Pair(u8, bool),
    Unit,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum UntaggedBuffered {
    #[serde(with = "buffered")]
    Details(Details),
    #[serde(with = "buffered")]
    Texts(Texts),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flattened {
    name: Option<u32>,
    #[serde(flatten)]
    texts: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FlattenedNumbers {
    name: u32,
    #[serde(flatten)]
    numbers: BTreeMap<String, u32>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FlattenedLists {
    #[serde(flatten)]
    lists: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FlattenedKeys {
    #[serde(flatten)]
    texts: BTreeMap<u32, String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FlattenedOptions {
    #[serde(flatten)]
    texts: BTreeMap<String, Option<String>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FlattenedBuffered {
    name: u32,
    #[serde(flatten, with = "buffered")]
    details: Details,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct MapBuffered {
    #[serde(flatten, with = "buffered")]
    numbers: BTreeMap<String, Vec<u32>>,
}

#[derive(Debug)]
struct Status;

impl Suffix for Status {
    const SUFFIX: &'static str = "-status";
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Statuses {
    #[serde(flatten)]
    statuses: Suffixed<Status, String>,
}

fn text() -> impl Strategy<Value = String> {
    "[a-z0-9 \\\\\n\r]{0,4}"
}

/// Names, of which some are those of other fields.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,3}", Just("name".to_owned()), Just(String::new()), "[a :\n]{1,2}"]
}

fn details() -> impl Strategy<Value = Details> {
    (text(), of(text()), any::<u64>(), any::<bool>(), vec(any::<u8>(), 0..3))
        .prop_map(|(text, note, count, flag, sizes)| Details { text, note, count, flag, sizes })
}

fn texts() -> impl Strategy<Value = Texts> {
    (text(), of(text()), vec(text(), 0..3)).prop_map(|(text, note, lines)| Texts {
        text,
        note,
        lines,
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn tagged_enums_are_the_same_or_refused(
        details in details(), texts in texts(), count: u8, flag: bool, note in of(text()),
        map in btree_map(name(), text(), 0..3), sizes in vec(any::<u8>(), 1..3),
    ) {
        same_or_refused(&Internal::Details(details.clone()));
        same_or_refused(&vec![Internal::Texts(texts.clone()), Internal::Unit]);
        same_or_refused(&(Internal::Map(map), Internal::Inline { count }, Internal::Unit));
        same_or_refused(&InternalBuffered::Details(details.clone()));
        same_or_refused(&(InternalBuffered::Texts(texts.clone()), Some(Internal::Unit)));
        same_or_refused(&Adjacent::Number(details.count));
        same_or_refused(&vec![Adjacent::Optional(note), Adjacent::Pair(count, flag)]);
        same_or_refused(&(Adjacent::Unit, Adjacent::List(sizes)));
        same_or_refused(&UntaggedBuffered::Details(details));
        same_or_refused(&vec![UntaggedBuffered::Texts(texts)]);
    }

    #[test]
    fn flattened_values_are_the_same_or_refused(
        number: u32, name in of(any::<u32>()), details in details(),
        texts in btree_map(name(), text(), 0..3),
        numbers in btree_map(name(), any::<u32>(), 0..3),
        lists in btree_map(name(), vec(text(), 0..3), 0..3),
        options in btree_map(name(), of(text()), 0..3),
        number_lists in btree_map(name(), vec(any::<u32>(), 0..3), 0..3),
        statuses in vec((name(), text()), 0..3), keys in btree_map(any::<u32>(), text(), 0..2),
    ) {
        same_or_refused(&Flattened { name, texts });
        same_or_refused(&FlattenedNumbers { name: number, numbers });
        same_or_refused(&FlattenedLists { lists });
        same_or_refused(&FlattenedKeys { texts: keys });
        same_or_refused(&FlattenedOptions { texts: options });
        same_or_refused(&FlattenedBuffered { name: number, details });
        same_or_refused(&MapBuffered { numbers: number_lists });
        same_or_refused(&Statuses { statuses: statuses.into_iter().collect() });
    }
}

fn map<V>(name: &str, value: V) -> BTreeMap<String, V> {
    BTreeMap::from([(name.to_owned(), value)])
}

#[test]
fn buffered_values_and_texts_are_not_refused() {
    let details =
        || Details { text: "a".to_owned(), note: None, count: 3, flag: true, sizes: vec![7] };
    let texts = || Texts { text: String::new(), note: Some("1".to_owned()), lines: Vec::new() };
    assert!(same_or_refused(&InternalBuffered::Details(details())));
    assert!(same_or_refused(&Internal::Texts(texts())));
    assert!(same_or_refused(&vec![Internal::Unit, Internal::Map(map("a", "b".to_owned()))]));
    assert!(same_or_refused(&UntaggedBuffered::Details(details())));
    assert!(same_or_refused(&FlattenedBuffered { name: 1, details: details() }));
    assert!(same_or_refused(&MapBuffered { numbers: map("a", vec![1]) }));
    assert!(same_or_refused(&Flattened { name: None, texts: map("a", String::new()) }));
    assert!(same_or_refused(&Adjacent::Pair(1, true)));
    let lists = map("a", vec!["b".to_owned(), "c".to_owned()]);
    assert!(same_or_refused(&FlattenedLists { lists }));
}

#[test]
fn what_would_be_lost_is_refused() {
    let text_expected = "invalid count: text or list of texts expected in a tagged enum or \
        flattened map without flatten::buffered";
    check_error(&Internal::Inline { count: 1 }, text_expected);
    let absent = "invalid a: None within a list, map, Option or newtype struct";
    check_error(&map("a", vec![Some(1), None]), absent);
    check_error(&map("a", None::<u8>), absent);
    check_error(&map("a", Some(None::<u8>)), absent);
    check_error(&map("a", vec![vec![1]]), "invalid a: list within a list");
    check_error(&map("a", (1, vec![2])), "invalid a: list within a list");
    check_error(&map("a", [0_u8; 0]), "invalid a: empty tuple or array");
    check_error(&map("a", Vec::<u8>::new()), "invalid a: empty list within a map or an Option");
    check_error(&map("a", "b\rc"), "invalid a: CR, which is read as a newline");
    check_error(&BTreeMap::from([((1, 2), 3)]), "text expected for a name");
    let twice = Flattened { name: Some(1), texts: map("name", "x".to_owned()) };
    check_error(&twice, "name redefinition");

    let manifest = || map("a", 1);
    check_error(&vec![vec![manifest()]], "list within a list of manifests");
    check_error(&vec![Some(manifest()), None], "None within a list or an Option");
    check_error(&Some(Vec::<Flattened>::new()), "empty list within an Option");
    let absent: Option<BTreeMap<String, u8>> = None;
    check_error(&(absent, manifest()), "manifest after an absent one in a tuple");
    check_error(&(vec![manifest()], manifest()), "manifest after a list in a tuple");
}

#[test]
fn lists_of_the_wrong_length_are_refused() {
    let check = |text: &str, expected: &str| {
        let error = from_str::<BTreeMap<String, (u8, u8)>>(text).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(": 1\na: 1\na: 2\na: 3\n", "4:4: error: invalid a: fewer values expected");
    check(": 1\na: 1\n", "2:4: error: invalid a: invalid length 1, expected a tuple of size 2");
    let error = from_str::<BTreeMap<String, [u8; 1]>>(": 1\na: 1\na: 2\n").unwrap_err();
    assert_eq!(error.to_string(), "3:4: error: invalid a: fewer values expected");
}

/// Where serde does not tell a format what is read, the error comes when it is read.
#[test]
fn what_cannot_be_refused_is_an_error_when_it_is_read() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unbuffered {
        #[serde(flatten)]
        details: Details,
    }
    let text = to_string(&Adjacent::List(Vec::new())).unwrap();
    let error = from_str::<Adjacent>(&text).unwrap_err();
    assert_eq!(error.to_string(), "3:1: error: no content specified");
    let text = ": 1\ntext: a\ncount: 1\nflag: true\n";
    let error = from_str::<Unbuffered>(text).unwrap_err();
    assert!(error.message().contains("invalid type: string \"1\", expected u64"), "{error}");
    let error = from_str::<Vec<Internal>>(": 1\nform: Inline\ncount: 1\n").unwrap_err();
    assert!(error.message().contains("invalid type: string \"1\", expected u8"), "{error}");
}

#[test]
fn names_are_read_as_the_types_of_keys() {
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    enum Word {
        One,
    }
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Name(i8);
    assert!(same_or_refused(&BTreeMap::from([(u128::MAX, 1), (0, 2)])));
    assert!(same_or_refused(&BTreeMap::from([(true, 1)])));
    assert!(same_or_refused(&BTreeMap::from([('x', 1)])));
    assert!(same_or_refused(&BTreeMap::from([(Word::One, 1)])));
    assert!(same_or_refused(&BTreeMap::from([(Name(-1), 1)])));
    assert!(same_or_refused(&BTreeMap::from([(Some("a".to_owned()), 1)])));
    let error = from_str::<BTreeMap<u8, u8>>(": 1\n256: 1\n").unwrap_err();
    assert_eq!(error.to_string(), "2:1: error: number expected for a name");
}
