//! How an operator inspects a guest that is held (W27).

use std::fmt;
use std::path::PathBuf;

use bbot_manifest::Lines;
use serde::{Deserialize, Serialize};

/// A guest that is held, as `status.json`, the report and standard error show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Held {
    /// Why it is held.
    pub(crate) reason: String,
    /// The machine that it runs.
    pub(crate) machine: String,
    /// Name and version of the package whose task it was to perform, unless it is a bootstrap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) package: Option<String>,
    /// When the hold ends by itself, in seconds since the epoch; `None` if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<u64>,
    /// The hypervisor's process.
    pub(crate) qemu_pid: i32,
    /// Address and port of its screen.
    pub(crate) vnc: String,
    /// The socket of its human monitor.
    pub(crate) monitor: PathBuf,
    /// The log of its console.
    pub(crate) console_log: PathBuf,
    /// Its hardware address.
    pub(crate) mac: String,
    /// The subvolume that holds its disk.
    pub(crate) snapshot: PathBuf,
}

impl Held {
    /// Returns it as a manifest.
    ///
    /// # Errors
    ///
    /// If a value cannot be written in one.
    pub(crate) fn to_text(&self) -> Result<Vec<u8>, bbot_manifest::Error> {
        Ok(bbot_manifest::ser::to_string_with(self, Lines::Long)?.into_bytes())
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} on {}: the guest is held: qemu pid {}, vnc {}, monitor {}, console log {}, mac {}, \
             snapshot {}",
            self.reason,
            self.machine,
            self.qemu_pid,
            self.vnc,
            self.monitor.display(),
            self.console_log.display(),
            self.mac,
            self.snapshot.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Held {
        /// Returns an example.
        pub(crate) fn sample() -> Self {
            Self {
                reason: "build timeout".into(),
                machine: "linux".into(),
                package: None,
                until: Some(17),
                qemu_pid: 7,
                vnc: "127.0.0.1:5901".into(),
                monitor: "/run/m".into(),
                console_log: "/run/c".into(),
                mac: "02:00:00:00:00:01".into(),
                snapshot: "/build/s".into(),
            }
        }
    }

    /// W27: the report has all values, one a line.
    #[test]
    fn is_a_manifest() {
        let held = Held { package: Some("libfoo/1.2.3".into()), until: None, ..Held::sample() };
        let text = String::from_utf8(held.to_text().unwrap()).unwrap();
        let expected = ": 1\nreason: build timeout\nmachine: linux\npackage: libfoo/1.2.3\n\
            qemu-pid: 7\nvnc: 127.0.0.1:5901\nmonitor: /run/m\nconsole-log: /run/c\n\
            mac: 02:00:00:00:00:01\nsnapshot: /build/s\n";
        assert_eq!(text, expected);
        let until = Held { package: None, until: Some(17), ..held };
        let text = String::from_utf8(until.to_text().unwrap()).unwrap();
        assert!(text.contains("until: 17\n") && !text.contains("package"), "{text}");
    }
}
