//! Values from the text that they are written as: continued lines and backslashes
//! (docs/format.md, section 5).

use std::borrow::Cow;

use memchr::{memchr2, memchr2_iter};

use crate::position::newline_end;

/// How a value is obtained from the text that it is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The value is the text.
    Plain,
    /// The value is a simple one that has continued lines.
    Simple,
    /// The value is a multi-line one that has CRs or backslashes at the end of lines.
    ///
    /// `ended`: the text includes the newline before the end mark, which is not part of the value.
    Multi { ended: bool },
}

/// Returns the value that is written as `text`.
#[inline]
pub(crate) fn unescape(text: &str, form: Form) -> Cow<'_, str> {
    match form {
        Form::Plain => Cow::Borrowed(text),
        Form::Simple => Cow::Owned(unescape_simple(text)),
        Form::Multi { ended } => Cow::Owned(unescape_multi(text, ended)),
    }
}

fn unescape_simple(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut value = String::with_capacity(text.len());
    // Spaces before this offset are not trailing ones.
    let mut kept = 0;
    let mut start = 0;
    loop {
        let found = memchr2(b'\n', b'\r', &bytes[start..]);
        let end = found.map_or(bytes.len(), |length| start + length);
        let line = &text[start..end];
        value.push_str(line.strip_suffix('\\').unwrap_or(line));
        if found.is_none() {
            break;
        }
        start = newline_end(bytes, end);
        let rest = &bytes[start..];
        if rest.first() == Some(&b'\\') && matches!(rest.get(1), None | Some(b'\n' | b'\r')) {
            value.push('\n');
            kept = value.len();
            start += 1;
            if start == bytes.len() {
                break;
            }
            start = newline_end(bytes, start);
        }
    }
    let length = value[kept..].trim_end_matches([' ', '\t']).len();
    value.truncate(kept + length);
    value
}

fn unescape_multi(text: &str, ended: bool) -> String {
    let bytes = text.as_bytes();
    let mut value = String::with_capacity(text.len());
    let mut copied = 0;
    for mark in memchr2_iter(b'\\', b'\r', bytes) {
        if mark < copied {
            continue;
        }
        if bytes[mark] == b'\r' {
            value.push_str(&text[copied..mark]);
            value.push('\n');
            copied = newline_end(bytes, mark);
        } else if !matches!(bytes.get(mark + 1), None | Some(b'\n' | b'\r')) {
            // Not at the end of a line.
        } else {
            // The last backslash of a line is removed, and the newline too if it is the only one.
            value.push_str(&text[copied..mark]);
            copied = mark + 1;
            let alone = mark == 0 || bytes[mark - 1] != b'\\';
            if alone && copied < bytes.len() {
                copied = newline_end(bytes, copied);
            }
        }
    }
    value.push_str(&text[copied..]);
    // The last newline belongs to the end mark, unless the last line was continued: then it has
    // been removed with the backslash.
    if ended && value.ends_with('\n') {
        value.pop();
    }
    value
}
