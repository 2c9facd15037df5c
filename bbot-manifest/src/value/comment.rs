//! Values with a comment: `value; comment` (docs/format.md, section 9).

use std::borrow::Cow;

/// A value and its comment.
///
/// ```
/// use bbot_manifest::text::Commented;
///
/// let commented = Commented::split(r"a\;b ; c");
/// assert_eq!((&*commented.value, &*commented.comment), ("a;b", "c"));
/// assert_eq!(commented.merge(), r"a\;b; c");
///
/// let commented = Commented { value: "a\nb".to_owned(), comment: "c".to_owned() };
/// assert_eq!(commented.merge(), "a\nb\n;\nc");
/// assert_eq!(Commented::split("a\nb\n;\nc"), commented);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Commented {
    /// The value.
    pub value: String,
    /// The comment; empty if there is none.
    pub comment: String,
}

impl Commented {
    /// Splits a text into a value and its comment.
    ///
    /// In a text of one line the comment follows the first `;` that is not escaped by a backslash;
    /// in a text of several lines it follows a line that consists of `;`.
    pub fn split(text: &str) -> Self {
        let (value, comment) =
            if text.contains('\n') { split_lines(text) } else { split_line(text) };
        Self { value, comment }
    }

    /// Joins the value and its comment into a text that [`split`](Self::split) splits into both.
    ///
    /// If neither has several lines, spaces at the end of the value and at the beginning of the
    /// comment are not preserved.
    pub fn merge(&self) -> String {
        let Self { value, comment } = self;
        if value.contains('\n') || comment.contains('\n') {
            merge_lines(value, comment)
        } else {
            merge_line(value, comment)
        }
    }
}

fn split_line(text: &str) -> (String, String) {
    let mut value = String::with_capacity(text.len());
    let mut rest = text.chars();
    let mut comment = "";
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.as_str().chars().next() {
                Some(escaped @ (';' | '\\')) => {
                    value.push(escaped);
                    rest.next();
                }
                _ => value.push(c),
            },
            ';' => {
                comment = rest.as_str().trim_start_matches([' ', '\t']);
                break;
            }
            _ => value.push(c),
        }
    }
    value.truncate(value.trim_end_matches([' ', '\t']).len());
    (value, comment.to_owned())
}

fn split_lines(text: &str) -> (String, String) {
    let mut value = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let (line, next) = match rest.split_once('\n') {
            Some((line, next)) => (line, Some(next)),
            None => (rest, None),
        };
        if line == ";" {
            value.truncate(value.strip_suffix('\n').map_or(0, str::len));
            return (value, next.unwrap_or_default().to_owned());
        }
        value.push_str(match backslashes_before_semicolon(line) {
            Some(count) => &line[count.div_ceil(2).min(count)..],
            None => line,
        });
        let Some(next) = next else { return (value, String::new()) };
        value.push('\n');
        rest = next;
    }
}

fn merge_line(value: &str, comment: &str) -> String {
    let mut text = String::with_capacity(value.len() + comment.len() + 2);
    for c in value.chars() {
        if matches!(c, ';' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    if !comment.is_empty() {
        text.push_str("; ");
        text.push_str(comment);
    }
    text
}

fn merge_lines(value: &str, comment: &str) -> String {
    let escaped = |line| match backslashes_before_semicolon(line) {
        None => Cow::Borrowed(line),
        Some(count) => Cow::Owned("\\".repeat((2 * count).max(1)) + ";"),
    };
    let mut text = value.split('\n').map(escaped).collect::<Vec<_>>().join("\n");
    if !comment.is_empty() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(";\n");
        text.push_str(comment);
    }
    text
}

/// Returns the number of backslashes of a line that consists of backslashes, or none, and a `;`.
fn backslashes_before_semicolon(line: &str) -> Option<usize> {
    let backslashes = line.strip_suffix(';')?;
    backslashes.bytes().all(|b| b == b'\\').then_some(backslashes.len())
}
