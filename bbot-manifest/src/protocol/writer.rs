//! Writes the values of manifests.

use std::borrow::Cow;

use crate::error::Error;
use crate::location::RepositoryType;
use crate::text::{Lines, Serializer};
use crate::value::interactive_mode::InteractiveMode;
use crate::value::mac_address::MacAddress;
use crate::value::machine_name::MachineName;
use crate::value::machine_role::MachineRole;
use crate::value::machine_type::MachineType;
use crate::value::package_name::PackageName;
use crate::value::requirement::TaskRequirement;
use crate::value::result_status::ResultStatus;
use crate::value::target_triplet::TargetTriplet;
use crate::value::test_dependency::TestDependency;
use crate::version::{PackageVersion, StandardVersion};

/// Writes manifests to a text.
pub(crate) struct Writer {
    serializer: Serializer<Vec<u8>>,
}

impl Writer {
    pub(crate) fn new(lines: Lines) -> Self {
        Self { serializer: Serializer::new(Vec::new(), lines) }
    }

    /// Starts a manifest.
    pub(crate) fn start(&mut self) -> Result<(), Error> {
        self.serializer.start()
    }

    /// Writes a value.
    pub(crate) fn pair(&mut self, name: &str, value: impl ToText) -> Result<(), Error> {
        self.serializer.pair(name, &*value.to_text())
    }

    /// Writes a value that may be absent.
    pub(crate) fn optional(&mut self, name: &str, value: Option<impl ToText>) -> Result<(), Error> {
        value.map_or(Ok(()), |value| self.pair(name, value))
    }

    /// Writes a value that may be repeated.
    pub(crate) fn repeated<T: ToText>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = T>,
    ) -> Result<(), Error> {
        values.into_iter().try_for_each(|value| self.pair(name, value))
    }

    /// Returns the text.
    pub(crate) fn finish(self) -> Result<String, Error> {
        Ok(crate::text::written_text(self.serializer.finish()?))
    }
}

/// A value that can be written.
pub(crate) trait ToText {
    /// Returns the text.
    fn to_text(&self) -> Cow<'_, str>;
}

impl<T: ToText + ?Sized> ToText for &T {
    fn to_text(&self) -> Cow<'_, str> {
        (**self).to_text()
    }
}

impl ToText for str {
    fn to_text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl ToText for String {
    fn to_text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

macro_rules! to_text {
    ($($type:ty),* $(,)?) => {$(
        impl ToText for $type {
            fn to_text(&self) -> Cow<'_, str> {
                Cow::Owned(self.to_string())
            }
        }
    )*};
}

to_text!(
    u64,
    bool,
    InteractiveMode,
    MacAddress,
    MachineName,
    MachineRole,
    MachineType,
    PackageName,
    PackageVersion,
    RepositoryType,
    ResultStatus,
    StandardVersion,
    TargetTriplet,
    TaskRequirement,
    TestDependency,
);
