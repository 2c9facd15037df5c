//! The paths in Rust source: what a file names of its own crate, and what of others.

use std::collections::BTreeSet;

use crate::tidy::source::Source;

/// A path that production code names; of a `use` with braces, one of its paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedPath {
    /// The line, counted from 0.
    pub(super) line: usize,
    /// The segments.
    pub(super) segments: Vec<String>,
    /// The name that a `use` gives to it, if that is not its own.
    pub(super) alias: Option<String>,
    /// Whether a `use` takes everything in it (`::*`).
    pub(super) is_glob: bool,
    /// Whether it is part of a `pub use`, of whatever visibility.
    pub(super) is_export: bool,
}

/// What a file of source names and defines.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Paths of two segments or more.
    pub(super) paths: Vec<NamedPath>,
    /// Modules in files of their own.
    pub(super) modules: BTreeSet<String>,
    /// Items, those of nested modules and functions included.
    pub(super) items: BTreeSet<String>,
}

/// Words that the name of an item follows.
const ITEMS: [&str; 9] =
    ["struct", "enum", "union", "trait", "type", "fn", "const", "static", "macro_rules"];

/// Reads the names of the production code of a file, or of all its code.
pub(super) fn names(source: &Source, with_tests: bool) -> Names {
    let lines = source.code.lines().enumerate();
    let lines = lines.filter(|(line, _)| with_tests || !source.is_test(*line));
    let tokens: Vec<_> = lines.flat_map(|(at, line)| tokens(at, line)).collect();
    let mut reader = Reader { tokens: &tokens, at: 0, names: Names::default(), is_export: false };
    reader.read();
    reader.names
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a str),
    Colons,
    Mark(char),
}

fn tokens(at: usize, line: &str) -> Vec<(usize, Token<'_>)> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (token, length) = match name {
            0 if rest.starts_with("::") => (Token::Colons, 2),
            0 => (Token::Mark(first), first.len_utf8()),
            _ => (Token::Name(&rest[..name]), name),
        };
        tokens.push((at, token));
        rest = rest[length..].trim_start();
    }
    tokens
}

struct Reader<'a> {
    tokens: &'a [(usize, Token<'a>)],
    at: usize,
    names: Names,
    is_export: bool,
}

impl<'a> Reader<'a> {
    fn read(&mut self) {
        while let Some(token) = self.peek(0) {
            match token {
                Token::Name("use") => {
                    self.is_export = self.follows_visibility();
                    self.at += 1;
                    self.tree(&[]);
                    self.is_export = false;
                }
                Token::Name("mod") if self.peek(2) == Some(Token::Mark(';')) => {
                    self.names.modules.extend(self.name(1));
                    self.at += 2;
                }
                Token::Name(word) if ITEMS.contains(&word) => {
                    self.names.items.extend(self.name(1).or_else(|| self.name(2)));
                    self.at += 1;
                }
                Token::Name("in") => self.at += 2,
                Token::Name(_) if self.peek(1) == Some(Token::Colons) => self.tree(&[]),
                _ => self.at += 1,
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<Token<'a>> {
        self.tokens.get(self.at + ahead).map(|(_, token)| *token)
    }

    fn name(&self, ahead: usize) -> Option<String> {
        match self.peek(ahead) {
            Some(Token::Name(name)) => Some(name.to_owned()),
            _ => None,
        }
    }

    /// Whether `pub` or `pub(...)` precedes.
    fn follows_visibility(&self) -> bool {
        let mut before = self.tokens[..self.at].iter().rev().map(|(_, token)| *token);
        match before.next() {
            Some(Token::Mark(')')) => {
                let mut before = before.skip_while(|token| *token != Token::Mark('('));
                before.nth(1) == Some(Token::Name("pub"))
            }
            token => token == Some(Token::Name("pub")),
        }
    }

    /// Reads a path, or the tree of paths of a `use`.
    fn tree(&mut self, prefix: &[String]) {
        let line = self.tokens.get(self.at).map_or(0, |(line, _)| *line);
        let mut segments = prefix.to_vec();
        let mut is_glob = false;
        loop {
            match self.peek(0) {
                Some(Token::Name(name)) => {
                    segments.push(name.to_owned());
                    self.at += 1;
                }
                Some(Token::Mark('{')) => return self.group(&segments),
                Some(Token::Mark('*')) => {
                    is_glob = true;
                    self.at += 1;
                }
                _ => break,
            }
            if self.peek(0) != Some(Token::Colons) {
                break;
            }
            self.at += 1;
        }
        let alias = if self.peek(0) == Some(Token::Name("as")) { self.name(1) } else { None };
        if alias.is_some() {
            self.at += 2;
        }
        if segments.len() > prefix.len() && segments.last().is_some_and(|last| last == "self") {
            segments.pop();
        }
        if segments.len() > 1 || is_glob || self.is_export {
            let is_export = self.is_export;
            self.names.paths.push(NamedPath { line, segments, alias, is_glob, is_export });
        }
        // What is no path at all is passed over.
        self.at += usize::from(self.peek(0).is_some_and(|token| matches!(token, Token::Mark(';'))));
    }

    fn group(&mut self, prefix: &[String]) {
        self.at += 1;
        while let Some(token) = self.peek(0) {
            match token {
                Token::Mark('}') => {
                    self.at += 1;
                    return;
                }
                Token::Name(_) | Token::Mark('*' | '{') => self.tree(prefix),
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let names = names(&Source::new("a/src/b.rs", text), false);
        let shown = names.paths.iter().map(|path| {
            let export = if path.is_export { "pub " } else { "" };
            let glob = if path.is_glob { "::*" } else { "" };
            let alias = path.alias.as_ref().map_or_else(String::new, |name| format!(" as {name}"));
            format!("{} {export}{}{glob}{alias}", path.line, path.segments.join("::"))
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn uses_are_taken_apart() {
        check("use crate::a::B;\n", &["0 crate::a::B"]);
        check(
            "use super::{a, b::{self, C as D}};\n",
            &["0 super::a", "0 super::b", "0 super::b::C as D"],
        );
        check(
            "pub(crate) use a::{B,\n c::*};\nuse d::E;\n",
            &["0 pub a::B", "1 pub a::c::*", "2 d::E"],
        );
        check("pub use a::B; fn f() {}\nuse c::D;\n", &["0 pub a::B", "1 c::D"]);
    }

    #[test]
    fn paths_in_code_are_found() {
        check("fn f() -> crate::a::B<u8> { super::c() }\n", &["0 crate::a::B", "0 super::c"]);
        check("let a = B::c(d::e::<F>(g));\n", &["0 B::c", "0 d::e"]);
        check("pub(in crate::a) fn f() {}\n// crate::b::C\n", &[]);
        check("#[cfg(test)]\nmod tests {\n    use super::a;\n}\nuse b::c;\n", &["4 b::c"]);
    }

    #[test]
    fn modules_and_items_are_known() {
        let text =
            "mod a;\npub(crate) mod b;\nmod c { }\nstruct D;\nfn e() {}\nmacro_rules! f {}\n";
        let names = names(&Source::new("a/src/b.rs", text), false);
        assert_eq!(names.modules.into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(names.items.into_iter().collect::<Vec<_>>(), ["D", "e", "f"]);
    }
}
