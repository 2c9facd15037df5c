use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::str::{self, FromStr};

/// Two decimal numbers of 64 bits with a space between fit; a longer content is not of this format.
const CONTENT_MAX: usize = 63;

/// The holder of a machine lock, as its lock file names it.
///
/// `Display` and `FromStr` are the content of the file: `<pid>` or `<pid> <priority>` in ASCII
/// decimal digits, without a newline.
///
/// ```
/// use bbot_lock::Holder;
///
/// let holder: Holder = "4242 100".parse()?;
/// assert_eq!((holder.pid, holder.priority), (4242, Some(100)));
/// assert_eq!(holder.to_string(), "4242 100");
/// assert!("-1".parse::<Holder>().is_err());
/// # Ok::<(), bbot_lock::ParseHolderError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Holder {
    /// The process. It is positive, so that a signal to it reaches this process alone (`kill(2)`).
    pub pid: i32,
    /// The priority of the task that it performs; a task of a sufficiently greater one may
    /// interrupt it. `None`: it bootstraps the machine, or its task is suspended; it cannot be
    /// interrupted.
    pub priority: Option<u64>,
}

impl Holder {
    /// Returns the holder with this pid and priority, or `None` if the pid is not positive.
    pub fn new(pid: i32, priority: Option<u64>) -> Option<Self> {
        (pid > 0).then_some(Self { pid, priority })
    }

    /// Returns this process as a holder.
    pub(crate) fn this_process(priority: Option<u64>) -> Self {
        let pid = std::process::id().try_into().expect("the kernel's pids are positive pid_t");
        Self { pid, priority }
    }

    /// Reads the content of a lock file. `None`: it names no holder.
    pub(crate) fn read(file: &File) -> Option<Self> {
        let mut content = [0; CONTENT_MAX + 1];
        let n = file.read_at(&mut content, 0).ok()?;
        if n > CONTENT_MAX {
            return None;
        }
        str::from_utf8(&content[..n]).ok()?.parse().ok()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pid)?;
        self.priority.map_or(Ok(()), |priority| write!(f, " {priority}"))
    }
}

impl FromStr for Holder {
    type Err = ParseHolderError;

    fn from_str(content: &str) -> Result<Self, ParseHolderError> {
        let (pid, priority) = match content.split_once(' ') {
            Some((pid, priority)) => (pid, Some(decimal(priority)?)),
            None => (content, None),
        };
        Self::new(decimal(pid)?, priority).ok_or(ParseHolderError)
    }
}

/// A text is not the content of a machine's lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("not `<pid>` or `<pid> <priority>`")]
#[non_exhaustive]
pub struct ParseHolderError;

/// Parses a number that consists of digits only; `str::parse` alone takes a sign as well.
fn decimal<T: FromStr>(text: &str) -> Result<T, ParseHolderError> {
    let is_decimal = text.bytes().all(|b| b.is_ascii_digit());
    is_decimal.then(|| text.parse().ok()).flatten().ok_or(ParseHolderError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_holder_correspond() {
        for (content, pid, priority) in [
            ("1", 1, None),
            ("4242", 4242, None),
            ("4242 0", 4242, Some(0)),
            ("4242 11100", 4242, Some(11100)),
            ("2147483647 18446744073709551615", i32::MAX, Some(u64::MAX)),
        ] {
            let holder = Holder { pid, priority };
            assert_eq!(content.parse(), Ok(holder));
            assert_eq!(holder.to_string(), content);
        }
    }

    /// `W7`: a malformed content names no holder; above all none whose pid kill(2) takes for a
    /// group of processes, or for all.
    #[test]
    fn a_malformed_content_names_no_holder() {
        for content in [
            "",
            " ",
            "0",
            "-1",
            "+1",
            "2147483648",
            "4242\n",
            "4242 ",
            " 4242",
            "4242  100",
            "4242 -1",
            "4242 100 1",
            "4242 18446744073709551616",
            "4242x",
            "\u{663}",
        ] {
            assert_eq!(content.parse::<Holder>(), Err(ParseHolderError), "{content:?}");
        }
        for content in [b"42\xff".as_slice(), b"42\0\0"] {
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, content).unwrap();
            assert_eq!(Holder::read(&file), None, "{content:?}");
        }
    }

    #[test]
    fn a_holder_has_a_positive_pid() {
        for pid in [0, -1, i32::MIN] {
            assert_eq!(Holder::new(pid, None), None);
        }
        assert_eq!(Holder::new(7, Some(1)).unwrap().to_string(), "7 1");
    }

    #[test]
    fn a_longer_content_is_not_read_in_part() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &[b'0'; CONTENT_MAX - 1]).unwrap();
        std::io::Write::write_all(&mut file, b"7").unwrap();
        assert_eq!(Holder::read(&file), Some(Holder { pid: 7, priority: None }));
        std::io::Write::write_all(&mut file, b"7").unwrap();
        assert_eq!(Holder::read(&file), None);
    }
}
