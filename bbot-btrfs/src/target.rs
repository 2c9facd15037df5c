use std::path::Path;

/// The path that a subvolume is to have: the second path of [`snapshot`](crate::snapshot) and
/// [`publish`](crate::publish), as a type of its own so that the two cannot be swapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct As<'a>(pub &'a Path);
