//! Standard output, for `--dump-*`.

use std::io::{self, Write};

/// Prints `text`, and a newline if it does not end with one.
///
/// A closed pipe is no error: its reader may have read enough.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
    match write!(stdout, "{text}{end}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
