//! The argument that marks a process as one that this crate has started.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What stands before the path of the operator's monitor in the argument that marks a process.
///
/// The monitor itself is inherited as a file descriptor, so nothing else on the command line names
/// it. QEMU accepts a secret object that nothing refers to, and does nothing with it; no device
/// shows it to the guest.
const MARK: &str = "secret,id=bbot-monitor,data=";

/// Returns the argument that marks the process whose monitor is at `monitor_path`.
pub(super) fn mark(monitor_path: &Path) -> OsString {
    let mut mark = MARK.as_bytes().to_vec();
    for &byte in monitor_path.as_os_str().as_bytes() {
        mark.extend_from_slice(if byte == b',' { b",," } else { std::slice::from_ref(&byte) });
    }
    OsString::from_vec(mark)
}

/// Returns the path of the monitor that a process's arguments are marked with, if they are.
pub(crate) fn marked_monitor<'a>(arguments: impl Iterator<Item = &'a [u8]>) -> Option<PathBuf> {
    let mut previous: &[u8] = b"";
    for argument in arguments {
        if previous == b"-object"
            && let Some(path) = argument.strip_prefix(MARK.as_bytes())
        {
            return Some(OsString::from_vec(unescaped(path)).into());
        }
        previous = argument;
    }
    None
}

fn unescaped(value: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b',' {
            // A comma within a value is doubled: skip the second one.
            bytes.next_if_eq(&b',');
        }
        result.push(byte);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W3: a process is marked only by an argument of its own, word for word.
    #[test]
    fn mark_is_found_in_a_process_line() {
        for path in ["/run/public-1/monitor.sock", "/r/a,b,,c/monitor.sock", "/r/,", "/r/\u{e4} x"]
        {
            let line = ["qemu".into(), "-object".into(), mark(Path::new(path)), "-usb".into()];
            let line = line.iter().map(|word: &OsString| word.as_bytes());
            assert_eq!(marked_monitor(line), Some(PathBuf::from(path)));
        }
        for line in [
            "qemu -object secret,id=other,data=/run/public-1/monitor.sock",
            "grep secret,id=bbot-monitor,data=/run/public-1/monitor.sock",
            "qemu -device secret,id=bbot-monitor,data=/run/public-1/monitor.sock",
            "vi /run/public-1/monitor.sock",
            "qemu -object",
            "",
        ] {
            assert_eq!(marked_monitor(line.split(' ').map(str::as_bytes)), None, "{line}");
        }
    }
}
