//! Notifications to the service manager (`sd_notify(3)`), if it requests them (W5).

use std::env;
use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::diag;

/// The notification socket of the service manager, if there is one.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: Option<UnixDatagram>,
}

impl ServiceManager {
    /// Connects to the socket that the environment names.
    pub(crate) fn from_env() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| {
            connect(&name)
                .map_err(|error| diag::warn(format_args!("cannot reach NOTIFY_SOCKET: {error}")))
                .ok()
        });
        Self { socket }
    }

    /// No service manager.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { socket: None }
    }

    /// Notifies that the start is complete.
    pub(crate) fn ready(&self) {
        self.notify("READY=1");
    }

    /// Notifies of the activity, in one line for the operator.
    pub(crate) fn status(&self, text: &str) {
        self.notify(&format!("STATUS={}", text.replace(char::is_control, " ")));
    }

    /// Notifies that the instance is stopping.
    pub(crate) fn stopping(&self) {
        self.notify("STOPPING=1");
    }

    /// Notifies that the event loop is running, for the watchdog.
    pub(crate) fn alive(&self) {
        self.notify("WATCHDOG=1");
    }

    fn notify(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // The socket does not block, so that a manager that does not read cannot stop the
            // agent. A failure is not reported: the manager's log is where it would be read.
            drop(socket.send(message.as_bytes()));
        }
    }
}

/// Connects to a path, or to an abstract name after `@`.
fn connect(name: &OsString) -> std::io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// When the service manager is next to be notified that the event loop is running.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watchdog {
    /// The pause between two notifications, and when the next one is due.
    schedule: Option<(Duration, Instant)>,
}

impl Watchdog {
    /// Reads from the environment whether the watchdog is set for this process.
    pub(crate) fn from_env(now: Instant) -> Self {
        let variable = |name| env::var(name).ok();
        Self::new(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), std::process::id(), now)
    }

    fn new(limit: Option<String>, pid: Option<String>, own_pid: u32, now: Instant) -> Self {
        let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(own_pid));
        let limit = limit.and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
        let pause = limit.filter(|_| is_ours).map(|limit| Duration::from_micros(limit) / 2);
        Self { schedule: pause.map(|pause| (pause, now)) }
    }

    /// Returns when the next notification is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.schedule.map(|(_, due)| due)
    }

    /// Returns whether a notification is due; if so, the next one is due after a pause.
    pub(crate) fn take_due(&mut self, now: Instant) -> bool {
        let Some((pause, due)) = &mut self.schedule else { return false };
        let is_due = *due <= now;
        if is_due {
            *due = now + *pause;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W5: half the limit is a deadline of the loop, if the limit is for this process.
    #[test]
    fn the_watchdog_is_notified_twice_in_its_time() {
        let start = Instant::now();
        let watchdog = |limit: Option<&str>, pid: Option<&str>| {
            let mut watchdog = Watchdog::new(limit.map(Into::into), pid.map(Into::into), 7, start);
            let at_once = watchdog.take_due(start);
            assert!(!watchdog.take_due(start));
            (at_once, watchdog.due().map(|due| (due - start).as_micros()))
        };
        assert_eq!(watchdog(Some("3000"), None), (true, Some(1500)));
        assert_eq!(watchdog(Some("3000"), Some("7")), (true, Some(1500)));
        for nothing in [
            watchdog(None, None),
            watchdog(Some("3000"), Some("8")),
            watchdog(Some("3000"), Some("")),
            watchdog(Some("0"), None),
            watchdog(Some("x"), None),
        ] {
            assert_eq!(nothing, (false, None));
        }
    }

    /// W5: both forms of the socket's name; a closed socket is no error.
    #[test]
    fn a_service_manager_is_notified() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("bbot-agent-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (name, listener) in
            [(path.into_os_string(), by_path), (format!("@{name}").into(), by_name)]
        {
            let manager = ServiceManager { socket: Some(connect(&name).unwrap()) };
            let heard = || {
                let mut buffer = [0; 100];
                let length = listener.recv(&mut buffer).unwrap();
                String::from_utf8_lossy(&buffer[..length]).into_owned()
            };
            manager.ready();
            assert_eq!(heard(), "READY=1");
            manager.status("building a\nREADY=0");
            assert_eq!(heard(), "STATUS=building a READY=0");
            manager.alive();
            assert_eq!(heard(), "WATCHDOG=1");
            manager.stopping();
            assert_eq!(heard(), "STOPPING=1");
            drop(listener);
            manager.alive();
        }
        assert!(connect(&"/no/such/socket".into()).is_err());
    }
}
