//! A guest that is held as it is, for an operator to inspect (W27).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bbot_vm::GuestEvent;

use super::console_log;
use super::hold::{Hold, HoldEnd, HoldEvent};
use super::session::GuestSession;
use crate::diag;
use crate::event_loop::{Event, EventLoop};
use crate::observe::held::Held;
use crate::observe::status::Status;

impl GuestSession {
    /// Leaves what an operator needs to find out about `concern`: the guest itself if it is to be
    /// held, else its console log.
    pub(crate) fn leave_for_inspection(
        &mut self,
        events: &mut EventLoop,
        status: &mut Status,
        hold: Option<Hold>,
        concern: &str,
    ) {
        match hold {
            Some(hold) => self.hold(events, status, &hold, concern),
            None => self.report_failure(concern),
        }
    }

    /// Stops the guest's processors and keeps it as it is until `hold` is over. The chores of the
    /// event loop are done meanwhile.
    fn hold(&mut self, events: &mut EventLoop, status: &mut Status, hold: &Hold, reason: &str) {
        if let Err(error) = self.suspend() {
            // Most likely it has just exited.
            diag::warn(format_args!("cannot hold the guest of {}: {error}", self.machine));
            return self.report_failure(reason);
        }
        let notice = self.notice(status.package(), hold, reason);
        let log = self.report_hold(&notice);
        status.hold(notice);
        let end = self.wait_for_end_of(hold, events);
        // An operator may have let it go on.
        if let Some(log) = log
            && let Err(error) = fs::copy(self.guest.console_path(), &log)
        {
            diag::warn(format_args!("cannot keep the console log: {error}"));
        }
        diag::info(format_args!("the hold of {} is over: {end}", self.machine));
    }

    fn wait_for_end_of(&self, hold: &Hold, events: &mut EventLoop) -> HoldEnd {
        // A signal that arrived before has its event in the channel, or had it taken already.
        let mut event = signal_event(events);
        loop {
            let now = Instant::now();
            if let Some(end) = event.and_then(|event| hold.step(event, now)) {
                return end;
            }
            event = match events.next(hold.deadline(now)) {
                None => Some(HoldEvent::Deadline),
                Some(Event::Signal) => signal_event(events),
                Some(Event::Guest { session, event: GuestEvent::Exited(_) })
                    if session == self.number =>
                {
                    Some(HoldEvent::Exited)
                }
                Some(_) => None,
            };
        }
    }

    fn notice(&self, package: Option<&str>, hold: &Hold, reason: &str) -> Held {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let until = |until: Instant| epoch + until.saturating_duration_since(Instant::now());
        Held {
            reason: reason.to_owned(),
            machine: self.machine.clone(),
            package: package.map(str::to_owned),
            until: hold.until().map(|instant| until(instant).as_secs()),
            qemu_pid: self.guest.pid(),
            vnc: self.guest.vnc().to_string(),
            monitor: self.guest.monitor_path().to_owned(),
            console_log: self.guest.console_path().to_owned(),
            mac: self.guest.mac().to_string(),
            snapshot: self.directory.clone(),
        }
    }

    /// Reports where to inspect the guest, and keeps that beside its console log; returns the path
    /// of the log.
    fn report_hold(&self, held: &Held) -> Option<PathBuf> {
        let kept = self.keep_console();
        let add_report = |log: &Path| {
            let text = held.to_text().map_err(|error| error.to_string())?;
            console_log::add_report(log, &text).map_err(|error| error.to_string())
        };
        let report = kept.as_deref().map_err(ToString::to_string).and_then(add_report);
        let place = match report {
            Ok(path) => format!("report in {}", path.display()),
            Err(error) => format!("cannot keep a report: {error}"),
        };
        diag::error(format_args!("{held}; {place}"));
        kept.ok()
    }
}

/// Returns what the signals that have arrived mean to a hold.
fn signal_event(events: &EventLoop) -> Option<HoldEvent> {
    if events.signals().is_stopping() {
        return Some(HoldEvent::Stop);
    }
    events.signals().take_interrupt().then_some(HoldEvent::Interrupt)
}
