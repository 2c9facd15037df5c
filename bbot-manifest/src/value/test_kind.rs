//! The kinds of packages that test others.

crate::words::words! {
    /// The kind of a package that tests another one.
    pub enum TestKind {
        /// It has tests.
        Tests = "tests",
        /// It has examples.
        Examples = "examples",
        /// It has benchmarks.
        Benchmarks = "benchmarks",
    }

    /// The text is not the kind of a package that tests another one.
    pub struct TestKindError = "tests, examples or benchmarks expected";
}
