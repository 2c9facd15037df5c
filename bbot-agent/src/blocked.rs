//! Waits while the host cannot run guests (W67).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::config::Config;
use crate::diag;
use crate::event_loop::{Event, EventLoop};
use crate::host::health::{Cause, Problem};
use crate::host::monitor::{Look, Monitor};
use crate::host::watch::HostWatch;
use crate::observe::status::{Blocked, Status};

/// The least time between two looks at the host: changes may come in numbers.
const SPACING: Duration = Duration::from_millis(50);

/// The way into a round.
#[derive(Debug)]
pub(crate) struct Gate<'a> {
    pub(crate) config: &'a Config,
    pub(crate) monitor: &'a mut Monitor,
    pub(crate) events: &'a mut EventLoop,
    pub(crate) status: &'a mut Status,
}

impl Gate<'_> {
    /// Waits until `prepare` succeeds and the host can run guests; returns false if the agent is to
    /// stop.
    ///
    /// # Errors
    ///
    /// If an instance that does not wait finds that the host cannot run guests.
    pub(crate) fn pass(
        mut self,
        mut prepare: impl FnMut() -> Result<(), Problem>,
    ) -> anyhow::Result<bool> {
        let mut look = |monitor: &mut Monitor, config| match prepare() {
            Ok(()) => monitor.look(config),
            Err(problem) => monitor.unprepared(problem),
        };
        let mut found = look(self.monitor, self.config);
        // W4: also what has just been stored, and whatever is wrong with the host.
        self.events.post_due();
        if !found.problems.is_empty() {
            if self.config.is_one_shot() {
                bail!("no guest can be run: {}", text(&found.problems));
            }
            let start = Instant::now();
            // The service manager waits for the end of the start.
            self.status.ready();
            let watch = self.watch();
            let mut reported = BTreeSet::new();
            while !found.problems.is_empty() {
                self.report(&found, &mut reported);
                if !self.wait(&found, watch.as_ref()) {
                    return Ok(false);
                }
                found = look(self.monitor, self.config);
                self.events.post_due();
            }
            let lasted = start.elapsed();
            diag::info(format_args!("guests can be run again: blocked for {lasted:.1?}"));
        }
        self.status.set_warnings(self.monitor.warnings());
        Ok(true)
    }

    /// Without a watch there are still the looks from time to time.
    fn watch(&self) -> Option<HostWatch> {
        HostWatch::start(&self.config.network(), self.events.sender())
            .map_err(|error| diag::trace(2, format_args!("{:#}", anyhow::Error::new(error))))
            .ok()
    }

    /// Each problem is an error once, though its numbers change.
    fn report(&mut self, look: &Look, reported: &mut BTreeSet<Cause>) {
        let is_new = |problem: &&Problem| !reported.contains(&problem.cause);
        let new: Vec<_> = look.problems.iter().filter(is_new).cloned().collect();
        if !new.is_empty() {
            diag::error(format_args!("blocked, no task is requested: {}", text(&new)));
            reported.extend(new.into_iter().map(|problem| problem.cause));
        }
        let blocked = |problem: &Problem| Blocked {
            reason: problem.reason.clone(),
            cure: problem.cure.clone(),
        };
        self.status.block(look.problems.iter().map(blocked).collect());
    }

    /// Waits until the host may have changed; returns false if the agent is to stop.
    fn wait(&mut self, look: &Look, watch: Option<&HostWatch>) -> bool {
        if let Some(watch) = watch {
            watch.acknowledge();
        }
        let (earliest, mut until) = (Instant::now() + SPACING, look.again);
        loop {
            if self.events.signals().is_stopping() {
                return false;
            }
            match self.events.next(until) {
                None => return true,
                Some(Event::HostChanged) => until = until.min(earliest),
                Some(_) => {}
            }
        }
    }
}

fn text(problems: &[Problem]) -> String {
    let texts: Vec<_> =
        problems.iter().map(|problem| format!("{} ({})", problem.reason, problem.cure)).collect();
    texts.join("; ")
}
