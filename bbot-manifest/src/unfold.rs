//! Building a value from the text that it is written as.

use std::borrow::Cow;

use memchr::{memchr2, memchr2_iter};

use crate::position::newline_end;

/// How to get a value from the text that it is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// It is the text.
    Plain,
    /// It is a simple value with backslashes or CRs to take care of.
    Simple,
    /// It is a multi-line value with backslashes or CRs to take care of. `ended`: the newline
    /// before the end mark is there, too, and does not belong to it.
    Multi { ended: bool },
}

/// Returns the value that is written as `text`.
#[inline]
pub(crate) fn unfold(text: &str, form: Form) -> Cow<'_, str> {
    match form {
        Form::Plain => Cow::Borrowed(text),
        Form::Simple => Cow::Owned(unfold_simple(text)),
        Form::Multi { ended } => Cow::Owned(unfold_multi(text, ended)),
    }
}

fn unfold_simple(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut value = String::with_capacity(text.len());
    // Nothing before here is cut as trailing space.
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

fn unfold_multi(text: &str, ended: bool) -> String {
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
            // Not the last of a line.
        } else {
            // The last backslash of a line goes, and the newline too if it was the only one.
            value.push_str(&text[copied..mark]);
            copied = mark + 1;
            let alone = mark == 0 || bytes[mark - 1] != b'\\';
            if alone && copied < bytes.len() {
                copied = newline_end(bytes, copied);
            }
        }
    }
    value.push_str(&text[copied..]);
    // The last newline belongs to the end mark, unless the last line was continued: then the value
    // ends with what that line has before its backslash.
    if ended && value.ends_with('\n') {
        value.pop();
    }
    value
}
