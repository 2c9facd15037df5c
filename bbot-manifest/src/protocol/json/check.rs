//! Checks manifests that have been deserialized.

use serde::de::Error;

use crate::limits::Limits;
use crate::protocol::manifest::Manifest;
use crate::text::Lines;

/// Checks that a manifest can be written, and that it is read again as the same.
///
/// `keep` copies what is not written from the second manifest to the first.
pub(super) fn checked<T, E>(manifest: T, keep: impl FnOnce(&mut T, &T)) -> Result<T, E>
where
    T: Manifest + PartialEq,
    E: Error,
{
    let text = manifest.to_text(Lines::Long).map_err(|error| E::custom(error.message()))?;
    matching(manifest, &text, keep)
}

/// Checks that a manifest is what its text is read as.
pub(super) fn matching<T, E>(manifest: T, text: &str, keep: impl FnOnce(&mut T, &T)) -> Result<T, E>
where
    T: Manifest + PartialEq,
    E: Error,
{
    let read = T::parse_within(text.as_bytes(), "", Limits::NONE);
    let mut read = read.map_err(|error| E::custom(error.message()))?;
    keep(&mut read, &manifest);
    if read == manifest {
        Ok(manifest)
    } else {
        Err(E::custom("a value has a CR, or a name that stands for another value"))
    }
}

/// Implements serde for a type by the remote derive of its fields, with a check.
macro_rules! checked_serde {
    ($type:ty, $fields:ident, $keep:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $fields::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let manifest = $fields::deserialize(deserializer)?;
                $crate::protocol::json::check::checked(manifest, $keep)
            }
        }
    };
}
pub(super) use checked_serde;
