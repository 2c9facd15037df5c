//! Circles of imports between the folders and files of a crate.
//!
//! A module with its children is one node among its siblings: `a.rs` (or `a/mod.rs`) and all that
//! is below `a/`. Siblings may not import each other in a circle, on any level of the tree, so no
//! two folders do either. A module may use what its parent defines, as Rust lets it use the
//! parent's private items, but not what the crate's root or another ancestor defines: the root only
//! declares modules and re-exports.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::tidy::Finding;
use crate::tidy::paths::{NamedPath, Names, names};
use crate::tidy::source::Source;

/// A module, by its path from the root of the crate.
type Module = Vec<String>;

/// Why one sibling depends on another: a place that imports.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    file: String,
    line: usize,
}

/// The siblings below one module, and for each those that it imports.
type Siblings = BTreeMap<String, BTreeMap<String, Place>>;

/// The modules of one crate.
struct Crate<'a> {
    modules: BTreeMap<Module, (&'a Source, Names)>,
}

/// Checks the production code of a crate whose source is in `folder` (`<crate>/src/`).
pub(super) fn check(folder: &str, sources: &[Source]) -> Vec<Finding> {
    let modules = sources.iter().filter_map(|source| {
        let module = module(source.file.strip_prefix(folder)?)?;
        Some((module, (source, names(source, false))))
    });
    let tree = Crate { modules: modules.collect() };
    let mut findings = tree.imports_from_ancestors();
    for (parent, siblings) in tree.folders() {
        findings.extend(circles(&siblings).iter().map(|circle| {
            let names = [folder].into_iter().chain(parent.iter().flat_map(|name| [name, "/"]));
            finding(&names.collect::<String>(), circle)
        }));
    }
    findings
}

/// The module of a file below `src/`; `None` for programs beside the crate's own.
fn module(path: &str) -> Option<Module> {
    let path = path.strip_suffix(".rs")?;
    let mut module: Module = path.split('/').map(str::to_owned).collect();
    match &module.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["lib" | "main"] => module.clear(),
        ["bin", ..] => return None,
        [.., "mod"] => drop(module.pop()),
        _ => {}
    }
    Some(module)
}

fn finding(folder: &str, circle: &[(String, String, Place)]) -> Finding {
    let steps = circle
        .iter()
        .map(|(from, to, Place { file, line })| format!("{from} -> {to} ({file}:{})", line + 1));
    let first = &circle[0].2;
    let what = format!("circle of imports in {folder}: {}", steps.collect::<Vec<_>>().join(", "));
    Finding { file: first.file.clone(), line: first.line + 1, what }
}

impl Crate<'_> {
    /// Returns the siblings below each module that has children.
    fn folders(&self) -> BTreeMap<Module, Siblings> {
        let mut folders: BTreeMap<Module, Siblings> = BTreeMap::new();
        for (from, (source, names)) in &self.modules {
            for path in &names.paths {
                let Some(to) = self.target(from, path) else { continue };
                let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                let (Some(node), Some(other)) = (from.get(same), to.get(same)) else { continue };
                let siblings = folders.entry(from[..same].to_vec()).or_default();
                let place = Place { file: source.file.clone(), line: path.line };
                let imports = siblings.entry(node.clone()).or_default();
                imports.entry(other.clone()).or_insert(place);
            }
        }
        folders
    }

    /// Finds the imports of items that an ancestor beyond the parent, or the root, defines.
    fn imports_from_ancestors(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (from, (source, names)) in &self.modules {
            for path in &names.paths {
                let Some(to) = self.target(from, path) else { continue };
                let is_ancestor = to.len() < from.len() && from.starts_with(&to);
                if is_ancestor && (to.is_empty() || to.len() + 1 < from.len()) {
                    let what = format!("import from an ancestor: {}", path.segments.join("::"));
                    findings.push(Finding::new(source, path.line, &what));
                }
            }
        }
        findings
    }

    /// The module that defines what a path in the module `from` names, if that is of this crate.
    fn target(&self, from: &Module, path: &NamedPath) -> Option<Module> {
        self.resolve(from, &path.segments, 0)
    }

    fn resolve(&self, from: &Module, segments: &[String], depth: usize) -> Option<Module> {
        let first = segments.first()?;
        let mut module = from.clone();
        let mut rest = &segments[1..];
        match first.as_str() {
            "crate" => module.clear(),
            "self" => {}
            "super" => {
                module.pop()?;
                while rest.first().is_some_and(|name| name == "super") {
                    module.pop()?;
                    rest = &rest[1..];
                }
            }
            name if self.child(&module, name).is_some() => module = self.child(&module, name)?,
            _ => return None,
        }
        while let Some(name) = rest.first() {
            if let Some(child) = self.child(&module, name) {
                module = child;
                rest = &rest[1..];
                continue;
            }
            let exported = self.exported(&module, name, depth);
            return Some(exported.unwrap_or(module));
        }
        Some(module)
    }

    fn child(&self, module: &Module, name: &str) -> Option<Module> {
        let child: Module =
            module.iter().map(String::as_str).chain([name]).map(str::to_owned).collect();
        let is_there = self.modules.keys().any(|known| known.starts_with(&child));
        is_there.then_some(child)
    }

    /// The module that defines what `module` re-exports as `name`.
    fn exported(&self, module: &Module, name: &str, depth: usize) -> Option<Module> {
        let (_, names) = self.modules.get(module).filter(|_| depth < 8)?;
        let mut exports = names.paths.iter().filter(|path| path.is_export);
        let export = exports.clone().find(|path| {
            let last = path.alias.as_ref().or_else(|| path.segments.last());
            !path.is_glob && last.is_some_and(|last| last == name)
        });
        if let Some(path) = export {
            return self.resolve(module, &path.segments, depth + 1);
        }
        exports.find_map(|path| {
            let target =
                self.resolve(module, &path.segments, depth + 1).filter(|_| path.is_glob)?;
            let (_, names) = self.modules.get(&target)?;
            names.items.contains(name).then_some(target)
        })
    }
}

/// The shortest circle through each node, each set of nodes once.
fn circles(siblings: &Siblings) -> Vec<Vec<(String, String, Place)>> {
    let mut seen = BTreeSet::new();
    let circles = siblings.keys().filter_map(|node| {
        let circle = circle(siblings, node)?;
        let nodes: BTreeSet<String> = circle.iter().map(|(from, ..)| from.clone()).collect();
        seen.insert(nodes).then_some(circle)
    });
    circles.collect()
}

fn circle(siblings: &Siblings, start: &String) -> Option<Vec<(String, String, Place)>> {
    let mut before: BTreeMap<&String, &String> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in siblings.get(node).into_iter().flat_map(BTreeMap::keys) {
            if before.contains_key(next) {
                continue;
            }
            before.insert(next, node);
            queue.push_back(next);
        }
    }
    let mut steps = Vec::new();
    let mut to = start;
    loop {
        let from = *before.get(to)?;
        steps.push((from.clone(), to.clone(), siblings[from][to].clone()));
        if from == start {
            steps.reverse();
            return Some(steps);
        }
        to = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in the files of the crate `x`.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let source = |(file, text): &(&str, &str)| Source::new(&format!("x/src/{file}"), text);
        let sources: Vec<Source> = files.iter().map(source).collect();
        check("x/src/", &sources).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn files_that_import_each_other_are_a_circle() {
        let a = ("a.rs", "use std::fmt;\nuse crate::b::B;\n");
        assert_eq!(found(&[("lib.rs", "mod a;\nmod b;\n"), a, ("b.rs", "struct B;\n")]), [""; 0]);
        assert_eq!(
            found(&[("lib.rs", "mod a;\nmod b;\n"), a, ("b.rs", "struct B(super::a::A);\n")]),
            ["x/src/a.rs:2: circle of imports in x/src/: a -> b (x/src/a.rs:2), \
              b -> a (x/src/b.rs:1)"]
        );
    }

    #[test]
    fn folders_that_import_each_other_are_a_circle() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
            ("a.rs", "mod x;\nmod y;\n"),
            ("a/x.rs", "fn f() { crate::b::z::g() }\n"),
            ("a/y.rs", "struct Y;\n"),
            ("b/mod.rs", "mod z;\nuse super::c::C;\n"),
            ("b/z.rs", "struct Z;\n"),
        ];
        let circle = [&files[..], &[("c.rs", "use crate::a::y::Y;\n")]].concat();
        assert_eq!(found(&circle).len(), 1);
        assert!(
            found(&circle)[0]
                .contains("a -> b (x/src/a/x.rs:1), b -> c (x/src/b/mod.rs:2), c -> a")
        );
        let tree = [&files[..], &[("c.rs", "struct C;\n")]].concat();
        assert_eq!(found(&tree), [""; 0]);
    }

    #[test]
    fn files_of_a_folder_are_looked_at_among_themselves() {
        let files = [
            ("lib.rs", "mod a;\n"),
            ("a.rs", "mod x;\nmod y;\nuse x::X;\n"),
            ("a/x.rs", "use super::y::Y;\n"),
            ("a/y.rs", "use crate::a::x;\n"),
        ];
        assert!(found(&files)[0].contains("in x/src/a/: x -> y"));
    }

    #[test]
    fn a_re_export_stands_for_its_origin() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use b::*;\n"),
            ("a.rs", "use crate::B;\nstruct A;\n"),
            ("b.rs", "use crate::A as X;\nstruct B;\n"),
        ];
        assert_eq!(found(&files).len(), 1);
    }

    #[test]
    fn ancestors_are_not_imported_from() {
        let files = [
            ("lib.rs", "mod a;\nstruct R;\n"),
            ("a.rs", "mod x;\nuse crate::R;\nstruct A;\n"),
            ("a/x.rs", "mod y;\nuse super::A;\n"),
            ("a/x/y.rs", "use super::super::A;\n"),
        ];
        let expected = [
            "x/src/a.rs:2: import from an ancestor: crate::R",
            "x/src/a/x/y.rs:1: import from an ancestor: super::super::A",
        ];
        assert_eq!(found(&files), expected);
    }

    #[test]
    fn children_may_use_their_parent_and_tests_anything() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a.rs", "mod x;\nstruct A;\nfn f() { x::g() }\n#[cfg(test)]\nuse crate::b::B;\n"),
            ("a/x.rs", "use super::A;\n"),
            ("a/tests.rs", "use crate::b::B;\n"),
            ("b.rs", "use crate::a::A;\n"),
        ];
        assert_eq!(found(&files), [""; 0]);
    }
}
