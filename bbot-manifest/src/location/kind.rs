//! The types of repositories.

crate::words::words! {
    /// The type of a repository.
    pub enum RepositoryType {
        /// An archive of packages.
        Pkg = "pkg",
        /// A directory of package sources.
        Dir = "dir",
        /// A version control repository of package sources.
        Git = "git",
    }

    /// The text is not the type of a repository.
    pub struct RepositoryTypeError = "pkg, dir or git expected";
}
