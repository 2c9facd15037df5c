//! serde for the types that are written as their text.

/// Implements `Serialize` and `Deserialize` by `Display` and `FromStr`.
///
/// Without the feature `serde` it does nothing.
macro_rules! serde_as_text {
    ($($type:ty),* $(,)?) => {$(
        #[cfg(feature = "serde")]
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::serde_text::parse(deserializer)
            }
        }
    )*};
}
pub(crate) use serde_as_text;

/// Deserializes a value from its text.
#[cfg(feature = "serde")]
pub(crate) fn parse<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: std::str::FromStr<Err: std::error::Error>,
    D: serde::Deserializer<'de>,
{
    use serde::de::{Deserialize, Error};

    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    text.parse().map_err(|error| D::Error::custom(crate::chain::Chain(&error)))
}
