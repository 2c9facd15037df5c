//! Values with a comment: `value; comment` (docs/format.md, section 9).

use std::borrow::Cow;

/// Splits a text into a value and its comment, which is empty if there is none.
///
/// In a text of one line the comment follows the first `;` that is not escaped by a backslash; in
/// a text of several lines it follows a line that consists of `;`.
///
/// ```
/// use bbot_manifest::text::split_comment;
///
/// assert_eq!(split_comment(r"a\;b ; c"), ("a;b".to_owned(), "c".to_owned()));
/// assert_eq!(split_comment("a\nb\n;\nc\n"), ("a\nb".to_owned(), "c\n".to_owned()));
/// ```
pub fn split_comment(value: &str) -> (String, String) {
    if value.contains('\n') { split_lines(value) } else { split_line(value) }
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

/// Joins a value and its comment into a text that [`split_comment`] splits into both.
///
/// If neither has several lines, spaces at the end of the value and at the beginning of the comment
/// are not preserved.
///
/// ```
/// use bbot_manifest::text::merge_comment;
///
/// assert_eq!(merge_comment("a;b", "c"), r"a\;b; c");
/// assert_eq!(merge_comment("a\nb", "c"), "a\nb\n;\nc");
/// ```
pub fn merge_comment(value: &str, comment: &str) -> String {
    if value.contains('\n') || comment.contains('\n') {
        merge_lines(value, comment)
    } else {
        merge_line(value, comment)
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
