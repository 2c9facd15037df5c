//! The serde data format loses nothing: what is serialized without an error is deserialized as the
//! same. Tried with values of random types.
#![allow(clippy::unwrap_used, reason = "all of this is test code, also outside of #[test]")]

#[path = "shapes/derived.rs"]
mod derived;
#[path = "shapes/dynamic.rs"]
mod dynamic;

use proptest::prelude::*;

use bbot_manifest::{from_str, to_string};

use crate::dynamic::{Dynamic, Shape, with_shape};

/// Returns whether the value is serialized, after checking that it is deserialized as the same.
fn same_or_refused(shape: &Shape, value: &Dynamic) -> bool {
    let Ok(text) = with_shape(shape, || to_string(value)) else { return false };
    let again = with_shape(shape, || from_str::<Dynamic>(&text));
    let again = again.unwrap_or_else(|error| panic!("{shape:?}\n{value:?}\n{text}\n{error}"));
    assert_eq!(again, *value, "{shape:?}\n{text}");
    true
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn any_value_of_any_type_is_the_same_or_refused(
        (shape, value) in dynamic::manifests().prop_flat_map(|shape| {
            let values = shape.values();
            (Just(shape), values)
        }),
    ) {
        same_or_refused(&shape, &value);
    }
}

/// The random types include ones of each kind that can be serialized, not only refused ones.
#[test]
fn many_random_values_are_serialized() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let strategy =
        dynamic::manifests().prop_flat_map(|shape| (Just(shape.clone()), shape.values()));
    let mut count = 0;
    for _ in 0..500 {
        let (shape, value) = strategy.new_tree(&mut runner).unwrap().current();
        count += usize::from(same_or_refused(&shape, &value));
    }
    assert!((100..450).contains(&count), "{count} of 500 are serialized");
}
