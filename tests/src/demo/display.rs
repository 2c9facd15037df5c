//! The demo's output: a line for each phase, a progress indicator during long waits, a table.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// The interval at which the progress indicator moves.
pub(super) const TICK: Duration = Duration::from_millis(150);
/// The progress indicator is shown for waits that are longer than this.
const LONG: Duration = Duration::from_secs(1);
const BAR_WIDTH: usize = 24;

/// Writes to standard output.
#[derive(Debug)]
pub(super) struct ProgressDisplay {
    start: Instant,
    /// When the current wait began, and what it is for.
    waits: Option<(Instant, &'static str)>,
    is_terminal: bool,
    /// Whether the progress indicator is on the current line.
    drawn: bool,
    ticks: usize,
}

impl ProgressDisplay {
    pub(super) fn new() -> ProgressDisplay {
        let is_terminal = io::stdout().is_terminal();
        ProgressDisplay { start: Instant::now(), waits: None, is_terminal, drawn: false, ticks: 0 }
    }

    /// Shows that a phase has ended.
    pub(super) fn phase(&mut self, name: &str, millis: f64, detail: &str) -> io::Result<()> {
        let elapsed = self.start.elapsed().as_secs_f64();
        let line = format!("{elapsed:8.3} s  {name:<28}{:>12}  {detail}", duration(millis));
        self.line(line.trim_end())
    }

    /// Writes a line.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        self.clear()?;
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// Erases the progress indicator.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if std::mem::take(&mut self.drawn) {
            out.write_all(b"\r\x1b[K")?;
        }
        out.flush()
    }

    /// Writes a row of a table.
    pub(super) fn row(
        &mut self,
        title: &str,
        cells: impl Iterator<Item = String>,
    ) -> io::Result<()> {
        let row = cells.fold(format!("{title:<26}"), |row, cell| format!("{row}{cell:>22}"));
        self.line(&row)
    }

    /// Begins a wait for `what`, or ends one.
    pub(super) fn wait_for(&mut self, what: Option<&'static str>) {
        self.waits = what.map(|what| (Instant::now(), what));
    }

    /// Moves the progress indicator, on a terminal and during a long wait.
    pub(super) fn tick(&mut self) -> io::Result<()> {
        let Some((since, what)) = self.waits.filter(|_| self.is_terminal) else { return Ok(()) };
        if since.elapsed() < LONG {
            return Ok(());
        }
        self.ticks += 1;
        self.drawn = true;
        // The duration is not known: a mark runs to and fro.
        let position = self.ticks % (2 * BAR_WIDTH);
        let position = position.min(2 * BAR_WIDTH - position).min(BAR_WIDTH - 1);
        let (before, after) = (" ".repeat(position), " ".repeat(BAR_WIDTH - 1 - position));
        let seconds = since.elapsed().as_secs();
        let mut out = io::stdout().lock();
        write!(out, "\r\x1b[K            [{before}#{after}] {what}, {seconds} s")?;
        out.flush()
    }
}

/// A duration in a unit that fits.
pub(super) fn duration(millis: f64) -> String {
    if millis < 1000.0 { format!("{millis:.1} ms") } else { format!("{:.1} s", millis / 1000.0) }
}

/// A line of a guest's log without control characters, truncated.
pub(super) fn sanitized(line: &str) -> String {
    const LENGTH: usize = 120;
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    line.chars().take(LENGTH).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::{duration, sanitized};

    #[test]
    fn a_log_cannot_control_the_terminal() {
        assert_eq!(sanitized("a\tb\x1b[2J\u{9b}c"), "a b [2J c");
        assert_eq!(sanitized(&"x".repeat(1000)).len(), 120);
    }

    #[test]
    fn durations_have_a_unit_that_fits() {
        assert_eq!(
            [0.04, 12.34, 999.9, 61_234.0].map(duration),
            ["0.0 ms", "12.3 ms", "999.9 ms", "61.2 s"]
        );
    }
}
