//! The general path through values, simple and multi-line.

use std::ops::Range;

use memchr::memchr2;

use crate::error::Part;
use crate::limits::Limit;
use crate::position::{count, count_newlines, newline_end};
use crate::text::scanner::state::{
    MultiValue, Peek, RawPair, Scanner, SimpleValue, State, Stop, check,
};
use crate::text::unescape::Form;
use crate::text::window::Window;

impl Scanner {
    pub(super) fn begin_simple(&mut self, name_end: usize, start: usize) -> Option<RawPair> {
        let value =
            SimpleValue { start, line: start, scan: start, lines: 0, broken: false, fresh: false };
        self.state = State::Simple { name_end, value };
        None
    }

    /// Returns the pair of an empty value at `offset`, which is a newline or the end.
    pub(super) fn empty(
        &mut self,
        w: Window<'_>,
        name_end: usize,
        offset: usize,
    ) -> Result<RawPair, Stop> {
        self.finish_simple(w, name_end, offset..offset, Form::Plain, 0)
    }

    pub(super) fn simple(
        &mut self,
        w: Window<'_>,
        name_end: usize,
        mut value: SimpleValue,
    ) -> Result<RawPair, Stop> {
        let bytes = w.bytes();
        loop {
            if value.fresh && self.lone_backslash(w, value.line)? {
                // It stands for a newline; the line after it is data even if it is a lone
                // backslash.
                value.line = (value.line + 1).min(bytes.len());
                if value.line < bytes.len() {
                    value.line = newline_end(bytes, value.line);
                    value.lines += 1;
                }
                value.scan = value.line;
            }
            value.fresh = false;
            let found = memchr2(b'\n', b'\r', &bytes[value.scan..]);
            let line_end = found.map_or(bytes.len(), |length| value.scan + length);
            let so_far = line_end - value.start;
            if found.is_none() {
                value.scan = line_end;
                self.state = State::Simple { name_end, value };
                let at = self.value_at(w, name_end, value.start);
                check(Limit::Value, self.limits.value, so_far, at)?;
                self.at_end(w, Part::ManifestValue)?;
            }
            let content = &bytes[value.line..line_end];
            let backslash = content.last() == Some(&b'\\');
            let continued = backslash && !content.ends_with(b"\\\\");
            if continued && found.is_some() {
                value.broken = true;
                value.line = newline_end(bytes, line_end);
                value.scan = value.line;
                value.lines += 1;
                value.fresh = true;
                self.state = State::Simple { name_end, value };
                continue;
            }
            let form = if value.broken { Form::Simple } else { Form::Plain };
            return self.finish_simple(w, name_end, value.start..line_end, form, value.lines);
        }
    }

    /// Whether the line at `offset` is a backslash and nothing else.
    fn lone_backslash(&self, w: Window<'_>, offset: usize) -> Result<bool, Stop> {
        Ok(self.peek(w, offset, Part::ManifestValue)? == Peek::Byte(b'\\')
            && self.peek(w, offset + 1, Part::ManifestValue)?.is_line_end())
    }

    fn finish_simple(
        &mut self,
        w: Window<'_>,
        name_end: usize,
        mut value: Range<usize>,
        form: Form,
        lines: u64,
    ) -> Result<RawPair, Stop> {
        let bytes = w.bytes();
        let value_at = self.value_at(w, name_end, value.start);
        check(Limit::Value, self.limits.value, value.len(), value_at)?;
        let (end, at) = if value.end < bytes.len() {
            (newline_end(bytes, value.end), self.at.down(lines + 1))
        } else if lines == 0 {
            (value.end, value_at.right(count(&w.text[value.clone()])))
        } else {
            (value.end, value_at.after(&w.text[value.clone()]))
        };
        if form == Form::Plain {
            // The last backslash of a line is removed; the value is still a single piece of the
            // text.
            if bytes[value.clone()].last() == Some(&b'\\') {
                value.end -= 1;
            }
            while value.end > value.start && matches!(bytes[value.end - 1], b' ' | b'\t') {
                value.end -= 1;
            }
        }
        self.finish(
            RawPair { name: self.pos..name_end, name_at: self.at, value, form, value_at },
            end,
            at,
        )
    }

    pub(super) fn multi(
        &mut self,
        w: Window<'_>,
        name_end: usize,
        mut value: MultiValue,
    ) -> Result<RawPair, Stop> {
        let bytes = w.bytes();
        let mark = loop {
            let Some(length) = memchr2(b'\\', b'\r', &bytes[value.scan..]) else {
                value.scan = bytes.len();
                self.wait_multi(w, name_end, value)?;
                break None;
            };
            let found = value.scan + length;
            if bytes[found] == b'\r' {
                value.broken = true;
                value.scan = newline_end(bytes, found);
                continue;
            }
            let run = bytes[found..].iter().take_while(|&&b| b == b'\\').count();
            let run_end = found + run;
            if run_end == bytes.len() {
                value.scan = run_end - 1;
                self.wait_multi(w, name_end, value)?;
            }
            value.scan = run_end;
            if self.peek(w, run_end, Part::ManifestValue)?.is_line_end() {
                let starts_line = found == value.start || matches!(bytes[found - 1], b'\n' | b'\r');
                if starts_line && run == 1 {
                    break Some(found);
                }
                value.broken = true;
            }
        };
        self.finish_multi(w, name_end, value, mark)
    }

    /// Stops at the end of the window, unless it is the end of the input.
    fn wait_multi(
        &mut self,
        w: Window<'_>,
        name_end: usize,
        value: MultiValue,
    ) -> Result<(), Stop> {
        self.state = State::Multi { name_end, value };
        let at = self.at.down(value.lead_lines);
        check(Limit::Value, self.limits.value, w.text.len() - value.start, at)?;
        self.at_end(w, Part::ManifestValue)
    }

    fn finish_multi(
        &mut self,
        w: Window<'_>,
        name_end: usize,
        value: MultiValue,
        mark: Option<usize>,
    ) -> Result<RawPair, Stop> {
        let bytes = w.bytes();
        let mut text = value.start..mark.unwrap_or(bytes.len());
        let value_at = if value.start < bytes.len() || matches!(bytes.last(), Some(b'\n' | b'\r')) {
            self.at.down(value.lead_lines)
        } else {
            self.at.after(&w.text[self.pos..])
        };
        check(Limit::Value, self.limits.value, text.len(), value_at)?;
        let (end, at) = match mark {
            Some(mark) if mark + 1 < bytes.len() => {
                let lines = count_newlines(&bytes[text.clone()]) + 1;
                (newline_end(bytes, mark + 1), value_at.down(lines))
            }
            _ => (bytes.len(), value_at.after(&w.text[value.start..])),
        };
        let form = if value.broken {
            Form::Multi { ended: mark.is_some() }
        } else {
            if mark.is_some() && text.end > text.start {
                text.end -= 1;
            }
            Form::Plain
        };
        self.finish(
            RawPair { name: self.pos..name_end, name_at: self.at, value: text, form, value_at },
            end,
            at,
        )
    }
}
