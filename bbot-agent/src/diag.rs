//! Diagnostics on standard error: one line a message, in one write.
//!
//! | function | verbosity | meaning |
//! |---|---|---|
//! | [`error`] | any | a problem that the operator must solve |
//! | [`warn`] | any | a problem that the agent copes with |
//! | [`info`] | 1 and up | an event of interest to the operator |
//! | [`phase`] | 2 and up | the duration of a step |
//! | [`trace`] | given by the message | details for developers |
//!
//! Messages of libraries (crate `log`) are shown from verbosity 4 (debug) and 6 (trace) on, their
//! warnings at any verbosity.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::{self, Display, Write as _};
use std::io::Write as _;
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

static SETTINGS: OnceLock<Settings> = OnceLock::new();

#[derive(Debug, Clone, Copy)]
struct Settings {
    verbose: u8,
    systemd: bool,
}

impl Settings {
    /// Returns the settings; before [`init`], the defaults.
    fn get() -> Self {
        *SETTINGS.get().unwrap_or(&Self { verbose: 1, systemd: false })
    }
}

/// Kinds of messages; as numbers, the priorities of syslog(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Error = 3,
    Warning = 4,
    Info = 6,
    Trace = 7,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Trace => "trace",
        }
    }
}

/// Sets verbosity and form of messages, also of those of panics and libraries. Only the first call
/// has an effect.
pub(crate) fn init(verbose: u8, systemd: bool) {
    if SETTINGS.set(Settings { verbose, systemd }).is_ok() && log::set_logger(&Libraries).is_ok() {
        log::set_max_level(libraries_level(verbose));
        panic::set_hook(Box::new(panicked));
    }
}

/// Reports a panic, with a backtrace if `RUST_BACKTRACE` is set.
fn panicked(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    error(format_args!("thread {}: {panic}", thread.name().unwrap_or("without a name")));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        backtrace.to_string().lines().for_each(error);
    }
}

/// Reports a problem that the operator must solve.
pub(crate) fn error(message: impl Display) {
    print(Level::Error, 0, message);
}

/// Reports a problem that the agent copes with.
pub(crate) fn warn(message: impl Display) {
    print(Level::Warning, 0, message);
}

/// Reports an event.
pub(crate) fn info(message: impl Display) {
    print(Level::Info, 1, message);
}

/// Reports a detail, from this verbosity on.
pub(crate) fn trace(verbose: u8, message: impl Display) {
    print(Level::Trace, verbose, message);
}

/// Reports that a step of the work ended just now, from verbosity 2 on.
pub(crate) fn phase(name: &str, duration: Duration, keys: &[(&str, &str)]) {
    phase_at(name, duration, Instant::now(), keys);
}

/// Reports that a step of the work ended at `end`, from verbosity 2 on.
pub(crate) fn phase_at(name: &str, duration: Duration, end: Instant, keys: &[(&str, &str)]) {
    let settings = Settings::get();
    if settings.verbose >= 2 {
        let at = monotonic().saturating_sub(end.elapsed().as_nanos());
        let line = phase_line(name, duration, at, keys);
        write(&prefixed(settings, Level::Info, &line));
    }
}

fn print(level: Level, verbose: u8, message: impl Display) {
    let settings = Settings::get();
    if settings.verbose >= verbose {
        write(&message_line(settings, level, &message));
    }
}

fn write(line: &str) {
    // A failure to write to standard error cannot be reported.
    drop(std::io::stderr().lock().write_all(line.as_bytes()));
}

/// Returns the nanoseconds of the monotonic clock, which is the same in all processes of the host.
fn monotonic() -> u128 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default().as_nanos()
}

fn message_line(settings: Settings, level: Level, message: &dyn Display) -> String {
    prefixed(settings, level, &format!("{}: {}", level.name(), Escaped(message)))
}

fn prefixed(settings: Settings, level: Level, text: &str) -> String {
    if settings.systemd { format!("<{}>{text}\n", level as u8) } else { format!("{text}\n") }
}

fn phase_line(name: &str, duration: Duration, at: u128, keys: &[(&str, &str)]) -> String {
    let microseconds = duration.as_micros();
    let (whole, rest) = (microseconds / 1000, microseconds % 1000);
    // Blanks separate the pairs.
    let pair = |&(key, value): &(&str, &str)| {
        format!(" {key}={}", Escaped(value).to_string().replace(' ', "\\u{20}"))
    };
    let pairs: String = keys.iter().map(pair).collect();
    format!("phase: {name} {whole}.{rest:03} ms at {at}{pairs}")
}

/// Quotes text for a message: control characters escaped, cut to 80 characters.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.escape_debug().take(80).collect();
    if text.escape_debug().nth(80).is_some() {
        shown.push_str("...");
    }
    format!("'{shown}'")
}

/// Text whose control characters are escaped, so that it is one line and contains no control
/// sequence for a terminal.
#[derive(Debug)]
struct Escaped<T>(T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper(f), "{}", self.0)
    }
}

struct Escaper<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            '\u{2028}' | '\u{2029}' => write!(self.0, "{}", c.escape_unicode()),
            c if c.is_control() => write!(self.0, "{}", c.escape_default()),
            c => self.0.write_char(c),
        })
    }
}

/// Prints what libraries log.
#[derive(Debug)]
struct Libraries;

impl log::Log for Libraries {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= libraries_level(Settings::get().verbose)
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = match record.level() {
                log::Level::Error | log::Level::Warn => Level::Warning,
                log::Level::Info | log::Level::Debug | log::Level::Trace => Level::Trace,
            };
            print(level, 0, format_args!("{}: {}", record.target(), record.args()));
        }
    }

    fn flush(&self) {}
}

fn libraries_level(verbose: u8) -> log::LevelFilter {
    match verbose {
        0..=3 => log::LevelFilter::Warn,
        4 | 5 => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// W5: the journal's priorities.
    #[test]
    fn systemd_prefixes_are_syslog_priorities() {
        let table = [
            (Level::Error, "<3>error: x\n"),
            (Level::Warning, "<4>warning: x\n"),
            (Level::Info, "<6>info: x\n"),
            (Level::Trace, "<7>trace: x\n"),
        ];
        for (level, line) in table {
            let mut settings = Settings { verbose: 1, systemd: true };
            assert_eq!(message_line(settings, level, &"x"), line);
            settings.systemd = false;
            assert_eq!(message_line(settings, level, &"x"), line[3..]);
        }
    }

    /// W5: a panic, in a process of its own, has the priority on each line.
    #[test]
    fn panics_have_their_priority() {
        const VARIABLE: &str = "BBOT_TEST_PANIC";
        if std::env::var_os(VARIABLE).is_some() {
            init(1, true);
            let worker = thread::Builder::new().name("work".into());
            drop(worker.spawn(|| panic!("two\nlines")).unwrap().join());
            return;
        }
        for backtrace in ["0", "1"] {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "diag::tests::panics_have_their_priority"]);
            command.env(VARIABLE, "1").env("RUST_BACKTRACE", backtrace);
            let output = command.output().unwrap();
            assert!(output.status.success());
            let printed = String::from_utf8(output.stderr).unwrap();
            let lines: Vec<_> = printed.lines().collect();
            assert!(lines[0].starts_with("<3>error: thread work: panicked at "), "{printed}");
            assert!(
                lines[0].contains("diag.rs:") && lines[0].ends_with("two\\nlines"),
                "{printed}"
            );
            assert!(lines.iter().all(|line| line.starts_with("<3>error: ")), "{printed}");
            assert_eq!(lines.len() > 1, backtrace == "1", "{printed}");
        }
    }

    #[test]
    fn a_message_is_one_line() {
        let settings = Settings { verbose: 1, systemd: false };
        let message = format_args!("a\nb\r\x1b[31m\u{85}\u{2028}\u{e4}");
        assert_eq!(
            message_line(settings, Level::Info, &message),
            "info: a\\nb\\r\\u{1b}[31m\\u{85}\\u{2028}\u{e4}\n"
        );
    }

    #[test]
    fn phase_has_its_fixed_form() {
        let keys = [("machine", "linux"), ("session", "a b\n=c")];
        assert_eq!(
            phase_line("build", Duration::from_nanos(12_003_456_789), 17, &keys),
            "phase: build 12003.456 ms at 17 machine=linux session=a\\u{20}b\\n=c"
        );
        assert_eq!(
            phase_line("task", Duration::from_micros(7), 1, &[]),
            "phase: task 0.007 ms at 1"
        );
    }

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let before = monotonic();
        assert!(before > 0 && monotonic() >= before);
    }

    #[test]
    fn libraries_are_shown_from_verbosity_4() {
        let levels: Vec<_> = (0..=6).map(|verbose| libraries_level(verbose).as_str()).collect();
        assert_eq!(levels, ["WARN", "WARN", "WARN", "WARN", "DEBUG", "DEBUG", "TRACE"]);
    }

    #[test]
    fn long_texts_are_cut_in_quotes() {
        assert_eq!(quoted(&"x".repeat(81)), format!("'{}...'", "x".repeat(80)));
        assert_eq!(quoted(&"x".repeat(80)), format!("'{}'", "x".repeat(80)));
        assert_eq!(quoted("a\x1b[0m"), "'a\\u{1b}[0m'");
    }
}
