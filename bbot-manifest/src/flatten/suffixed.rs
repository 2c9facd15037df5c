//! Values whose names have a suffix in common, as a map.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The suffix of the names of a [`Suffixed`] map.
pub trait Suffix {
    /// The suffix.
    const SUFFIX: &'static str;
}

/// The values `<key><suffix>` of a manifest, in their order: a map to be flattened.
///
/// Types that are not read from a text, such as numbers, require
/// [`buffered`](crate::flatten::buffered).
///
/// ```
/// use bbot_manifest::ResultStatus;
/// use bbot_manifest::flatten::{Suffix, Suffixed};
/// use serde::{Deserialize, Serialize};
///
/// struct Status;
///
/// impl Suffix for Status {
///     const SUFFIX: &'static str = "-status";
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Outcome {
///     status: ResultStatus,
///     #[serde(flatten)]
///     operations: Suffixed<Status, ResultStatus>,
/// }
///
/// let text = ": 1\nstatus: error\nupdate-status: warning\ntest-status: error\n";
/// let outcome: Outcome = bbot_manifest::from_str(text)?;
/// assert_eq!(outcome.operations.as_slice()[1], ("test".to_owned(), ResultStatus::Error));
/// assert_eq!(bbot_manifest::to_string(&outcome)?, text);
/// # Ok::<(), bbot_manifest::Error>(())
/// ```
pub struct Suffixed<S, T> {
    entries: Vec<(String, T)>,
    suffix: PhantomData<fn() -> S>,
}

impl<S, T> FromIterator<(String, T)> for Suffixed<S, T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect(), suffix: PhantomData }
    }
}

impl<S, T> Default for Suffixed<S, T> {
    fn default() -> Self {
        Self::from_iter([])
    }
}

impl<S, T: Clone> Clone for Suffixed<S, T> {
    fn clone(&self) -> Self {
        self.entries.iter().cloned().collect()
    }
}

impl<S, T: PartialEq> PartialEq for Suffixed<S, T> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl<S, T: Eq> Eq for Suffixed<S, T> {}

impl<S, T: fmt::Debug> fmt::Debug for Suffixed<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.fmt(f)
    }
}

impl<S, T> Suffixed<S, T> {
    /// Returns the keys and values, in their order.
    pub fn as_slice(&self) -> &[(String, T)] {
        &self.entries
    }

    /// Returns the keys and values, in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, (String, T)> {
        self.entries.iter()
    }

    /// Adds a key and its value at the end.
    pub fn push(&mut self, key: impl Into<String>, value: T) {
        self.entries.push((key.into(), value));
    }
}

impl<S, T> Extend<(String, T)> for Suffixed<S, T> {
    fn extend<I: IntoIterator<Item = (String, T)>>(&mut self, entries: I) {
        self.entries.extend(entries);
    }
}

impl<S, T> IntoIterator for Suffixed<S, T> {
    type Item = (String, T);
    type IntoIter = std::vec::IntoIter<(String, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a, S, T> IntoIterator for &'a Suffixed<S, T> {
    type Item = &'a (String, T);
    type IntoIter = std::slice::Iter<'a, (String, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<S: Suffix, T: Serialize> Serialize for Suffixed<S, T> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let mut map = serializer.serialize_map(Some(self.entries.len()))?;
        for (key, value) in &self.entries {
            if key.is_empty() {
                return Err(Z::Error::custom(format_args!("name before {} expected", S::SUFFIX)));
            }
            map.serialize_entry(&format!("{key}{}", S::SUFFIX), value)?;
        }
        map.end()
    }
}

impl<'de, S: Suffix, T: Deserialize<'de>> Deserialize<'de> for Suffixed<S, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names(PhantomData))
    }
}

/// Visits the values whose names have the suffix.
struct Names<S, T>(PhantomData<fn() -> (S, T)>);

impl<'de, S: Suffix, T: Deserialize<'de>> Visitor<'de> for Names<S, T> {
    type Value = Suffixed<S, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "values whose names end with {}", S::SUFFIX)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.strip_suffix(S::SUFFIX) {
                Some(key) if !key.is_empty() => {
                    let value = map.next_value();
                    // The deserializer of the manifest, which reads the flattened map last, finds
                    // the position by the name.
                    let value = value.map_err(|error| {
                        let message = error.to_string();
                        let message = message.strip_prefix("error: ").unwrap_or(&message);
                        A::Error::custom(format_args!("invalid {name}: {message}"))
                    });
                    entries.push((key.to_owned(), value?));
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(entries.into_iter().collect())
    }
}
