//! How a hypervisor's process ended.

use std::fmt;

/// How a hypervisor's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct GuestExit {
    /// The exit code, if the process exited by itself.
    pub code: Option<i32>,
    /// The number of the signal that ended it, if one did.
    pub signal: Option<i32>,
    /// The end of what the process wrote to standard error, at most 16 KiB. Bytes that are not
    /// UTF-8 are replaced.
    pub stderr: String,
}

/// Writes one line, unless standard error has more than one.
impl fmt::Display for GuestExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}")?,
            (None, Some(signal)) => write!(f, "ended by signal {signal}")?,
            (None, None) => f.write_str("ended in an unknown way")?,
        }
        let stderr = self.stderr.trim_end();
        if stderr.is_empty() { Ok(()) } else { write!(f, ": {stderr}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_one_line() {
        let exit = |code, signal, stderr: &str| {
            GuestExit { code, signal, stderr: stderr.into() }.to_string()
        };
        assert_eq!(exit(Some(0), None, ""), "exit code 0");
        assert_eq!(exit(Some(1), None, "bad\n"), "exit code 1: bad");
        assert_eq!(exit(None, Some(9), "\n"), "ended by signal 9");
        assert_eq!(exit(None, None, ""), "ended in an unknown way");
    }
}
