//! Citations: numbers of rules, invariants and decisions, and names of pages.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::tidy::Finding;
use crate::tidy::source::Source;

/// The letters of citations, and the page where each kind is defined.
const PAGES: [(char, &str); 4] = [
    ('W', "bbot-agent/docs/rules.md"),
    ('T', "bbot-tftp/docs/rules.md"),
    ('I', "ARCHITECTURE.md"),
    ('D', "bbot-agent/docs/decisions.md"),
];

/// The numbers that are defined, and the files that there are.
#[derive(Debug)]
pub(super) struct Known {
    numbers: BTreeSet<String>,
    files: BTreeSet<PathBuf>,
}

impl Known {
    /// Reads the pages among `sources`; `files` are all files of the repository.
    pub(super) fn new(sources: &[Source], files: impl IntoIterator<Item = PathBuf>) -> Self {
        let page = |source: &&Source| PAGES.iter().any(|(_, page)| *page == source.file);
        let numbers = sources.iter().filter(page).flat_map(|source| {
            let defined = move |line: &str| {
                let number = defined(line)?;
                let is_here = PAGES
                    .iter()
                    .any(|(letter, page)| number.starts_with(*letter) && *page == source.file);
                is_here.then(|| number.to_owned())
            };
            source.prose.lines().filter_map(defined)
        });
        let folders = |file: PathBuf| file.ancestors().map(Path::to_owned).collect::<Vec<_>>();
        let files = files.into_iter().flat_map(folders);
        Self { numbers: numbers.collect(), files: files.collect() }
    }

    /// Checks the prose of a file.
    pub(super) fn check(&self, source: &Source) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (at, line) in source.prose.lines().enumerate() {
            let unknown = numbers(line).filter(|number| !self.numbers.contains(*number));
            findings.extend(
                unknown.map(|number| {
                    Finding::new(source, at, &format!("{number} is defined nowhere"))
                }),
            );
            let gone = pages(line, source).into_iter().filter(|page| !self.exists(source, page));
            findings
                .extend(gone.map(|page| Finding::new(source, at, &format!("there is no {page}"))));
        }
        findings
    }

    /// Whether a page exists below the folder of the file that names it, or, for a comment, one of
    /// the folders above.
    fn exists(&self, source: &Source, page: &str) -> bool {
        let is_page = source.extension() == "md";
        let folders = Path::new(&source.file).ancestors().skip(1);
        let mut folders = folders.take(if is_page { 1 } else { usize::MAX });
        folders
            .any(|folder| normal(&folder.join(page)).is_some_and(|path| self.files.contains(&path)))
    }
}

/// The number that a line of a page defines: it begins with `**W1**`, perhaps in a list.
pub(super) fn defined(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("* ").or_else(|| line.strip_prefix("- ")).unwrap_or(line);
    let (number, _) = line.strip_prefix("**")?.split_once("**")?;
    is_number(number).then_some(number)
}

/// The numbers that a line cites.
pub(super) fn numbers(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| is_number(word))
}

fn is_number(word: &str) -> bool {
    let Some(digits) = word.strip_prefix(PAGES.map(|(letter, _)| letter)) else { return false };
    (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The pages that a line names: in a comment each word with the extension md, in a page the targets
/// of its links, of whatever kind they are.
fn pages<'a>(line: &'a str, source: &Source) -> Vec<&'a str> {
    if source.extension() == "md" {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let local = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
        return local.map(|target| target.split('#').next().unwrap_or(target)).collect();
    }
    let words = line.split(|c: char| !c.is_alphanumeric() && !"_-./:".contains(c));
    let words = words.map(|word| word.trim_end_matches(['.', ':']));
    words
        .filter(|word| {
            word.strip_suffix(".md").is_some_and(|name| !name.is_empty()) && !word.contains("://")
        })
        .collect()
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if normal.pop() => {}
            Component::Normal(name) => normal.push(name),
            _ => return None,
        }
    }
    Some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let sources = [
            Source::new("bbot-agent/docs/rules.md", "**W1** A rule.\n\n**W2**\n**D9** Not here.\n"),
            Source::new("ARCHITECTURE.md", "* **I5** Nothing is lost.\n"),
        ];
        let files = ["ARCHITECTURE.md", "bbot-agent/docs/rules.md", "bbot-agent/src/a.rs"];
        Known::new(&sources, files.map(PathBuf::from))
    }

    #[track_caller]
    fn check(file: &str, text: &str, expected: &[&str]) {
        let found = known().check(&Source::new(file, text));
        assert_eq!(found.iter().map(|found| found.what.as_str()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn citations_resolve() {
        check("bbot-agent/src/a.rs", "// W1, W2: see I5.\n/// (W1)\n", &[]);
        check("a.rs", "fn f() {} // W3 and W1\n", &["W3 is defined nowhere"]);
        check("a.md", "As D9 says.\n", &["D9 is defined nowhere"]);
        check("a.toml", "# T1\na = \"T2\"\n", &["T1 is defined nowhere"]);
    }

    #[test]
    fn other_words_are_no_citations() {
        check("a.rs", "fn f<T1, T2>(a: W9) {} // U+0041, 0xD3, W300, DW1, I2C, T_1\n", &[]);
        check("a.md", "```\nT9\n```\n", &[]);
    }

    #[test]
    fn pages_exist() {
        check("bbot-agent/src/a.rs", "//! See docs/rules.md, ARCHITECTURE.md.\n", &[]);
        check("bbot-agent/src/a.rs", "// rules.md 3\n", &["there is no rules.md"]);
        check("bbot-agent/src/a.rs", "// https://example.org/a.md and \"b\".md_\n", &[]);
        check("bbot-agent/docs/rules.md", "[a](../../ARCHITECTURE.md#rules) [b](../src)\n", &[]);
        check(
            "bbot-agent/docs/rules.md",
            "[a](ARCHITECTURE.md)\n",
            &["there is no ARCHITECTURE.md"],
        );
        check("bbot-agent/docs/rules.md", "[a](https://example.org) [b](#w1)\n", &[]);
    }
}
