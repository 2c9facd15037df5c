//! What the demo shows: a line for each phase, a sign of life where a wait is long, a table.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the sign of life moves.
pub(super) const TICK: Duration = Duration::from_millis(150);
/// A wait shorter than this shows none.
const LONG: Duration = Duration::from_secs(1);
const BAR_WIDTH: usize = 24;

/// Writes to standard output.
#[derive(Debug)]
pub(super) struct Face {
    start: Instant,
    /// Since when something has been waited for, and what.
    waits: Option<(Instant, &'static str)>,
    is_terminal: bool,
    /// Whether the sign of life stands on the current line.
    drawn: bool,
    ticks: usize,
}

impl Face {
    pub(super) fn new() -> Face {
        let is_terminal = io::stdout().is_terminal();
        Face { start: Instant::now(), waits: None, is_terminal, drawn: false, ticks: 0 }
    }

    /// Says that a phase has ended.
    pub(super) fn phase(&mut self, name: &str, millis: f64, detail: &str) -> io::Result<()> {
        let elapsed = self.start.elapsed().as_secs_f64();
        let line = format!("{elapsed:8.3} s  {name:<28}{:>12}  {detail}", duration(millis));
        self.line(line.trim_end())
    }

    /// Writes a line of its own.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        self.clear()?;
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// Takes the sign of life away.
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

    /// From now on `what` is waited for.
    pub(super) fn wait_for(&mut self, what: Option<&'static str>) {
        self.waits = what.map(|what| (Instant::now(), what));
    }

    /// Moves the sign of life, on a terminal and in a long wait.
    pub(super) fn tick(&mut self) -> io::Result<()> {
        let Some((since, what)) = self.waits.filter(|_| self.is_terminal) else { return Ok(()) };
        if since.elapsed() < LONG {
            return Ok(());
        }
        self.ticks += 1;
        self.drawn = true;
        // How long it takes is not known: a mark runs to and fro.
        let position = self.ticks % (2 * BAR_WIDTH);
        let position = position.min(2 * BAR_WIDTH - position).min(BAR_WIDTH - 1);
        let (before, after) = (" ".repeat(position), " ".repeat(BAR_WIDTH - 1 - position));
        let seconds = since.elapsed().as_secs();
        let mut out = io::stdout().lock();
        write!(out, "\r\x1b[K            [{before}#{after}] {what}, {seconds} s")?;
        out.flush()
    }
}

/// A duration for people.
pub(super) fn duration(millis: f64) -> String {
    if millis < 1000.0 { format!("{millis:.1} ms") } else { format!("{:.1} s", millis / 1000.0) }
}

/// A line of a guest's log: no control characters reach the terminal, and it is not endless.
pub(super) fn harmless(line: &str) -> String {
    const LENGTH: usize = 120;
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    line.chars().take(LENGTH).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::{duration, harmless};

    #[test]
    fn a_log_cannot_play_with_the_terminal() {
        assert_eq!(harmless("a\tb\x1b[2J\u{9b}c"), "a b [2J c");
        assert_eq!(harmless(&"x".repeat(1000)).len(), 120);
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        assert_eq!(
            [0.04, 12.34, 999.9, 61_234.0].map(duration),
            ["0.0 ms", "12.3 ms", "999.9 ms", "61.2 s"]
        );
    }
}
