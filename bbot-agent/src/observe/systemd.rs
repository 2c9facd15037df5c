//! What the service manager is told (`sd_notify(3)`), if it asks (W5).

use std::env;
use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::diag;

/// The way to the service manager, if there is one.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: Option<UnixDatagram>,
}

impl ServiceManager {
    /// The one that the environment names.
    pub(crate) fn from_env() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| {
            connect(&name)
                .map_err(|error| diag::warn(format_args!("cannot reach NOTIFY_SOCKET: {error}")))
                .ok()
        });
        Self { socket }
    }

    /// Nobody.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { socket: None }
    }

    /// Says that the start is over.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// Says what goes on, in one line for people.
    pub(crate) fn status(&self, text: &str) {
        self.tell(&format!("STATUS={}", text.replace(char::is_control, " ")));
    }

    /// Says that the end has begun.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Says that the event loop turns.
    pub(crate) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // A manager that does not listen cannot be told so either. It does not block: that
            // would be a way to stop us.
            drop(socket.send(message.as_bytes()));
        }
    }
}

/// A path, or an abstract name after `@`.
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

/// When the service manager must next be told that the loop turns. Pure but for its making.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watchdog {
    /// The pause between two such messages, and when the next one is due.
    feeding: Option<(Duration, Instant)>,
}

impl Watchdog {
    /// What the environment asks of this very process.
    pub(crate) fn from_env(now: Instant) -> Self {
        let variable = |name| env::var(name).ok();
        Self::new(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), std::process::id(), now)
    }

    fn new(limit: Option<String>, pid: Option<String>, own_pid: u32, now: Instant) -> Self {
        let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(own_pid));
        let limit = limit.and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
        let pause = limit.filter(|_| is_ours).map(|limit| Duration::from_micros(limit) / 2);
        Self { feeding: pause.map(|pause| (pause, now)) }
    }

    /// Returns when the next message is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.feeding.map(|(_, due)| due)
    }

    /// Returns whether a message is due, and if so, when the next one will be.
    pub(crate) fn take_due(&mut self, now: Instant) -> bool {
        let Some((pause, due)) = &mut self.feeding else { return false };
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

    /// W5: half the limit is a deadline of the loop, if the limit is ours.
    #[test]
    fn the_watchdog_is_fed_twice_in_its_time() {
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

    /// W5: both forms of the socket's name; one that nobody listens on does no harm.
    #[test]
    fn a_service_manager_is_told() {
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
