//! The members of an archive as folders, one for each artifact. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::archive::{Content, Member};
use super::{ArtifactError, Problem};

/// The name of an artifact: `upload/<type>/<instance>/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// Its type, which selects the URL, such as `bindist`.
    pub(super) kind: String,
    /// Its instance, such as `archive` or `debian`; fit for a file's name and a form's field.
    pub(super) instance: String,
}

/// The members of an artifact by their names below its folder, whose own name is empty.
pub(super) type Tree = BTreeMap<Vec<u8>, Content>;

/// The artifacts of an archive.
pub(super) type Trees = BTreeMap<Name, Tree>;

const INSTANCE_MAX: usize = 64;

/// Adds a member to its artifact, if the type of that is wanted.
pub(super) fn add(
    trees: &mut Trees,
    member: &Member,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(), ArtifactError> {
    let [top, kind, instance, rest @ ..] = &member.path[..] else { return Ok(()) };
    let kind = std::str::from_utf8(kind).ok().filter(|kind| top == b"upload" && is_wanted(kind));
    let Some(kind) = kind else { return Ok(()) };
    // A file beside the folders is no artifact.
    if rest.is_empty() && member.content != Content::Folder {
        return Ok(());
    }
    let bad = |problem| ArtifactError::Archive { at: member.at, problem };
    let instance =
        self::instance(instance).ok_or_else(|| bad(Problem::Instance(instance.clone())))?;
    let name = Name { kind: kind.to_owned(), instance };
    insert(trees.entry(name).or_default(), rest, member.content)
        .map_err(|()| bad(Problem::Twice(member.path.join(&b'/'))))
}

/// Inserts a member with the folders above it; an error if another member has the name.
fn insert(tree: &mut Tree, path: &[Vec<u8>], content: Content) -> Result<(), ()> {
    for depth in 0..path.len() {
        put(tree, path[..depth].join(&b'/'), Content::Folder)?;
    }
    put(tree, path.join(&b'/'), content)
}

/// A folder may be named more than once, a file may not.
fn put(tree: &mut Tree, path: Vec<u8>, content: Content) -> Result<(), ()> {
    match tree.entry(path) {
        Entry::Vacant(place) => {
            place.insert(content);
            Ok(())
        }
        Entry::Occupied(there) => {
            let are_folders = (*there.get(), content) == (Content::Folder, Content::Folder);
            if are_folders { Ok(()) } else { Err(()) }
        }
    }
}

/// Returns the name of an instance if it is fit for a file's name on any controller.
fn instance(name: &[u8]) -> Option<String> {
    let is_fit = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+-".contains(byte);
    let is_name = !name.starts_with(b".") && name.len() <= INSTANCE_MAX && name.iter().all(is_fit);
    is_name.then(|| String::from_utf8_lossy(name).into_owned())
}
