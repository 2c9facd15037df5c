use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::str::{self, FromStr};

/// Room for two decimal numbers of 64 bits with a blank between; a longer content is not ours.
const CONTENT_MAX: usize = 63;

/// Who has a machine, and what for: the content of its lock file.
///
/// `Display` gives that content exactly: `<pid>` or `<pid> <priority>`, in ASCII, with no newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The process. Positive, so that a signal to it reaches this process alone.
    pub pid: i32,
    /// The priority of the task that it performs. `None`: it bootstraps the machine, or its task
    /// was suspended; it cannot be interrupted.
    pub priority: Option<u64>,
}

impl Holder {
    /// Returns this process as a holder.
    pub(crate) fn ourselves(priority: Option<u64>) -> Self {
        let pid = std::process::id().try_into().expect("the kernel's pids are positive pid_t");
        Self { pid, priority }
    }

    /// Reads what the lock file says. `None`: nothing that makes sense.
    pub(crate) fn read(file: &File) -> Option<Self> {
        let mut content = [0; CONTENT_MAX + 1];
        let n = file.read_at(&mut content, 0).ok()?;
        if n <= CONTENT_MAX { Self::parse(&content[..n]) } else { None }
    }

    /// Parses a lock file's content.
    fn parse(content: &[u8]) -> Option<Self> {
        let text = str::from_utf8(content).ok()?;
        let (pid, priority) = match text.split_once(' ') {
            Some((pid, priority)) => (pid, Some(decimal(priority)?)),
            None => (text, None),
        };
        let pid = decimal(pid).filter(|pid| *pid > 0)?;
        Some(Self { pid, priority })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pid)?;
        self.priority.map_or(Ok(()), |priority| write!(f, " {priority}"))
    }
}

/// Parses a number that consists of digits only; `str::parse` alone takes a sign as well.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_holder_are_each_others_image() {
        for (content, pid, priority) in [
            ("1", 1, None),
            ("4242", 4242, None),
            ("4242 0", 4242, Some(0)),
            ("4242 11100", 4242, Some(11100)),
            ("2147483647 18446744073709551615", i32::MAX, Some(u64::MAX)),
        ] {
            let holder = Holder { pid, priority };
            assert_eq!(Holder::parse(content.as_bytes()), Some(holder));
            assert_eq!(holder.to_string(), content);
        }
    }

    /// `W7`: an unreadable content is no holder. Above all none that kill(2) takes for a group of
    /// processes, or for all.
    #[test]
    fn what_is_not_a_content_is_no_holder() {
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
            assert_eq!(Holder::parse(content.as_bytes()), None, "{content:?}");
        }
        assert_eq!(Holder::parse(b"42\xff"), None);
        assert_eq!(Holder::parse(b"42\0\0"), None);
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
