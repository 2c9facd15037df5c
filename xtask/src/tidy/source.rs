//! Rust source text without what the compiler does not see as code.

/// The text with comments and the content of literals blanked out, line for line and column
/// for column, so that a rule about code is not broken by words.
pub(super) fn code(text: &str) -> String {
    let mut scanner = Scanner { rest: text, code: String::with_capacity(text.len()) };
    while !scanner.rest.is_empty() {
        scanner.step();
    }
    scanner.code
}

struct Scanner<'a> {
    rest: &'a str,
    code: String,
}

impl Scanner<'_> {
    /// Takes one literal, one comment, one name, or one character of code.
    fn step(&mut self) {
        let rest = self.rest;
        if rest.starts_with("//") {
            self.blank(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.blank(block_comment(rest));
        } else if let Some(length) = raw_string(rest) {
            self.blank(length);
        } else if let Some(content) = rest.strip_prefix('"') {
            self.blank(1 + literal(content, '"'));
        } else if let Some(length) = character(rest) {
            self.blank(length);
        } else {
            // A name is taken whole: its last letter might look like the start of a literal.
            let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let one = rest.chars().next().map_or(0, char::len_utf8);
            let (taken, rest) = rest.split_at(name.max(one));
            self.code.push_str(taken);
            self.rest = rest;
        }
    }

    fn blank(&mut self, length: usize) {
        let (taken, rest) = self.rest.split_at(length);
        self.code.extend(taken.chars().map(|c| if c == '\n' { c } else { ' ' }));
        self.rest = rest;
    }
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
    fn names_and_lifetimes_stay() {
        check("for<'a> &'a str", "for<'a> &'a str");
        check("for r in br", "for r in br");
        check("wr\"a\"", "wr   ");
    }
}
