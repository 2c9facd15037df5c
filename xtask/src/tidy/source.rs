//! A text file of the workspace, and what of Rust source is code, comment and test.

use std::iter;
use std::ops::Range;
use std::path::Path;

/// A text file.
#[derive(Debug)]
pub(super) struct Source {
    /// Its path below the workspace.
    pub(super) file: String,
    /// Its content.
    pub(super) text: String,
    /// The content with comments and the content of literals blanked out, line for line and
    /// column for column; empty unless it is Rust source.
    pub(super) code: String,
    /// The reverse for prose: comments of source and scripts, and the text of pages without
    /// fenced blocks.
    pub(super) prose: String,
    /// The lines of the tests, counted from 0.
    pub(super) tests: Vec<Range<usize>>,
}

impl Source {
    /// Takes a file apart.
    pub(super) fn new(file: &str, text: &str) -> Self {
        let mut source = Self {
            file: file.to_owned(),
            text: text.to_owned(),
            code: String::new(),
            prose: String::new(),
            tests: Vec::new(),
        };
        match source.extension() {
            "rs" => {
                let scanned = scan(text);
                source.tests = test_items(&scanned.code);
                (source.code, source.prose) = (scanned.code, scanned.comments);
                if is_test_file(file) {
                    source.make_test();
                }
            }
            "md" => source.prose = unfenced(text),
            _ => source.prose = hash_comments(text),
        }
        source
    }

    /// Makes all of it a test.
    pub(super) fn make_test(&mut self) {
        self.tests = iter::once(0..self.text.lines().count()).collect();
    }

    /// Returns the end of its name, after the last dot.
    pub(super) fn extension(&self) -> &str {
        Path::new(&self.file).extension().and_then(|extension| extension.to_str()).unwrap_or("")
    }

    /// Returns whether a line, counted from 0, belongs to a test.
    pub(super) fn is_test(&self, line: usize) -> bool {
        self.tests.iter().any(|lines| lines.contains(&line))
    }

    /// Returns the lines of code outside of tests, with their numbers counted from 0.
    pub(super) fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().filter(|(line, _)| !self.is_test(*line))
    }

    /// Returns the modules that are declared for tests only (`#[cfg(test)] mod name;`).
    pub(super) fn test_modules(&self) -> Vec<&str> {
        let lines: Vec<&str> = self.code.lines().collect();
        let declared = self.tests.iter().filter_map(|item| {
            let declaration = lines.get(item.end - 1)?.trim().strip_suffix(';')?;
            let (before, name) = declaration.rsplit_once(' ')?;
            before.ends_with("mod").then_some(name)
        });
        declared.collect()
    }
}

/// Whether a file of Rust source is a test as a whole.
fn is_test_file(file: &str) -> bool {
    let mut parts = file.split('/');
    parts.any(|part| matches!(part, "tests" | "tests.rs" | "fuzz" | "benches"))
}

/// The lines of the items behind `#[cfg(test)]`, each with its attribute.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let line_of = |at: usize| code[..at].matches('\n').count();
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = start + item_length(&code[start..]);
        items.push(line_of(start)..line_of(end) + 1);
        from = end.max(start + 1);
    }
    items
}

/// The length of an item with its attributes: up to its semicolon or its closing brace.
fn item_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' if depth == 1 => return at,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return at,
            _ => {}
        }
    }
    code.len()
}

/// A page without its fenced blocks, line for line.
fn unfenced(text: &str) -> String {
    let mut is_fenced = false;
    let lines = text.lines().map(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        if is_fenced || is_fence { "" } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The comments of a script or a TOML file, line for line.
fn hash_comments(text: &str) -> String {
    let comment = |line: &str| {
        let start = line
            .char_indices()
            .find(|(at, c)| *c == '#' && (*at == 0 || line[..*at].ends_with([' ', '\t'])));
        start.map_or_else(String::new, |(at, _)| line[at..].to_owned())
    };
    text.lines().map(comment).collect::<Vec<_>>().join("\n")
}

/// Rust source in two copies, each with the other one's part blanked out; the content of literals
/// is in neither.
fn scan(text: &str) -> Scanner<'_> {
    let room = || String::with_capacity(text.len());
    let mut scanner = Scanner { rest: text, code: room(), comments: room() };
    while !scanner.rest.is_empty() {
        scanner.step();
    }
    scanner
}

/// Rust source with comments and the content of literals blanked out.
#[cfg(test)]
pub(super) fn code(text: &str) -> String {
    scan(text).code
}

struct Scanner<'a> {
    rest: &'a str,
    code: String,
    comments: String,
}

impl Scanner<'_> {
    /// Takes one literal, one comment, one name, or one character of code.
    fn step(&mut self) {
        let rest = self.rest;
        if rest.starts_with("//") {
            self.comment(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.comment(block_comment(rest));
        } else if let Some(length) = raw_string(rest) {
            self.literal(length);
        } else if let Some(content) = rest.strip_prefix('"') {
            self.literal(1 + literal(content, '"'));
        } else if let Some(length) = character(rest) {
            self.literal(length);
        } else {
            // A name is taken whole: its last letter might look like the start of a literal.
            let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let one = rest.chars().next().map_or(0, char::len_utf8);
            let taken = self.take(name.max(one));
            self.code.push_str(taken);
            self.comments.extend(blank(taken));
        }
    }

    fn comment(&mut self, length: usize) {
        let taken = self.take(length);
        self.comments.push_str(taken);
        self.code.extend(blank(taken));
    }

    fn literal(&mut self, length: usize) {
        let taken = self.take(length);
        self.code.extend(blank(taken));
        self.comments.extend(blank(taken));
    }
}

impl<'a> Scanner<'a> {
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }
}

/// Blanks in place of a text, line for line and column for column.
fn blank(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(|c| if c == '\n' { c } else { ' ' })
}

/// The length of a comment, with those that are nested in it.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(found) = text[at..].find(['/', '*']) {
        at += found;
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of a raw string, with `r`, `br` or `cr` before it.
fn raw_string(text: &str) -> Option<usize> {
    let after = ["r", "br", "cr"].iter().find_map(|prefix| text.strip_prefix(prefix))?;
    let content = after.trim_start_matches('#');
    let hashes = after.len() - content.len();
    let content = content.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - content.len();
    Some(content.find(&end).map_or(text.len(), |found| start + found + end.len()))
}

/// The length of a literal's content and its closing quote.
fn literal(content: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in content.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    content.len()
}

/// The length of a character literal; a lifetime has no closing quote.
fn character(text: &str) -> Option<usize> {
    let content = text.strip_prefix('\'')?;
    let mut chars = content.char_indices();
    let (_, first) = chars.next()?;
    let closed = first == '\\' || chars.next().is_some_and(|(_, second)| second == '\'');
    closed.then(|| 1 + literal(content, '\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(code(text), expected);
        assert_eq!(code(text).chars().count(), text.chars().count());
    }

    #[test]
    fn comments_are_blank() {
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d\n */ e", "a               \n    e");
        check("/* open", "       ");
    }

    #[test]
    fn literals_are_blank() {
        check(r#"f("a // \" b") + g"#, r"f(           ) + g");
        check("f(r#\"a \" b\"#, br\"\\\")", "f(          ,      )");
        check("x = 'a'; '\\'' '\"' b", "x =    ;          b");
    }

    #[test]
    fn prose_is_what_is_not_code() {
        let prose = |file: &str, text: &str| Source::new(file, text).prose;
        assert_eq!(prose("a.rs", "a // b\nc \"// d\" /* e */"), "  // b\n         /* e */");
        assert_eq!(prose("a.md", "a `b`\n```\nc\n```\nd\n"), "a `b`\n\n\n\nd");
        assert_eq!(prose("a.toml", "# a\nb = \"#c\" # d\n"), "# a\n# d");
    }

    #[test]
    fn tests_are_told_from_production() {
        let text = "fn a() {}\n#[cfg(test)]\nuse b::{\n    c,\n};\nfn d() {}\n\
                    #[cfg(test)]\nmod tests {\n    fn e() { f(); }\n}\nfn g() {}\n";
        let source = Source::new("x/src/a.rs", text);
        let lines: Vec<_> = source.production().map(|(line, _)| line).collect();
        assert_eq!(lines, [0, 5, 10]);
        assert!(Source::new("x/tests/a.rs", text).is_test(0));
        assert!(Source::new("x/src/a/tests.rs", text).is_test(0));
    }

    #[test]
    fn modules_for_tests_only_are_found() {
        let text = "mod a;\n#[cfg(test)]\nuse a::B;\n#[cfg(test)]\nmod laws;\n\
                    #[cfg(test)]\nmod tests {\n}\nmod b;\n";
        assert_eq!(Source::new("x/src/a.rs", text).test_modules(), ["laws"]);
    }

    #[test]
    fn names_and_lifetimes_stay() {
        check("for<'a> &'a str", "for<'a> &'a str");
        check("for r in br", "for r in br");
        check("wr\"a\"", "wr   ");
    }
}
