//! Standard output: what `--dump-*` prints.

use std::io::{self, Write};

/// Prints `text`, with a line end at its end.
///
/// Who reads it may have seen enough: a closed pipe is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
    match write!(stdout, "{text}{end}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
