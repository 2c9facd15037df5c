//! Messages to the user.

use std::fmt;
use std::io::{self, Write as _};

/// Prints a message to standard error; standard output is for what a command produces.
pub(crate) fn print(message: fmt::Arguments<'_>) {
    // With standard error closed there is no place for a message.
    writeln!(io::stderr(), "{message}").ok();
}
