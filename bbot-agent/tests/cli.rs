//! The command line of the program itself.

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bbot-agent"))
        .args(args)
        .env("LANG", "C")
        // Lines are wrapped at the width of the terminal; there is none here.
        .env_remove("COLUMNS")
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the program writes text")
}

/// Checks that the command line is refused: exit code 1, one line on standard error, nothing else.
#[track_caller]
fn check_refused(args: &[&str], line: &str) {
    let output = run(args);
    assert_eq!(text(&output.stderr), format!("error: {line}\n"), "{args:?}");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""), "{args:?}");
}

/// W1: one line that names the option and the value.
#[test]
fn bad_command_lines_are_refused() {
    let url = "https://ci.example.org/?build-task";
    let option = |value: &str, option: &str, problem: &str| {
        format!("invalid value '{value}' of option '{option}': {problem}")
    };
    let range = |value: &str, name: &str| option(value, name, &format!("{value} is not in 1..=99"));
    check_refused(&["--foo", url], "unknown option '--foo'");
    check_refused(&["--ram"], "option '--ram <KIB>' needs a value");
    check_refused(&["--instance", "100", url], &range("100", "--instance <NUM>"));
    check_refused(&["--toolchain-num=0", url], &range("0", "--toolchain-num <NUM>"));
    let number = option("17", "--toolchain-name", "must not be a number");
    check_refused(&["--toolchain-name", "17", url], &number);
    let relative = option("a/b", "--toolchain-lock", "must be an absolute path");
    check_refused(&["--toolchain-lock", "a/b", url], &relative);
    let missing = option("/no/key", "--auth-key", "No such file or directory (os error 2)");
    check_refused(&["--auth-key", "/no/key", url], &missing);
    check_refused(&[], "controller URL expected, see bbot-agent --help");
    let controller =
        |argument: &str, problem: &str| format!("invalid controller '{argument}': {problem}");
    let digits = "a priority must have four or five digits";
    check_refused(&["12=https://a/"], &controller("12=https://a/", digits));
    let greatest = "the greatest priority is 19999";
    check_refused(&["20000=https://a/"], &controller("20000=https://a/", greatest));
    check_refused(&[url, "--cpu"], &controller("--cpu", "options must precede the URLs"));
    check_refused(&["file:///etc"], &controller("file:///etc", "not a URL"));
}

/// W5: the priority for the journal, also if the rest of the command line is invalid.
#[test]
fn systemd_prefixes_the_refusal() {
    let output = run(&["--systemd-daemon", "12=https://a/"]);
    assert!(text(&output.stderr).starts_with("<3>error: invalid controller "));
}

/// W5, W40: the shipped unit waits for READY=1, uses the watchdog, reads the prefixes, reloads by
/// SIGHUP, and sends SIGTERM to the agent alone, with a timeout longer than the agent's.
#[test]
fn the_unit_leaves_the_guest_to_the_agent() {
    let unit = include_str!("../systemd/bbot-agent@.service");
    let value = |name: &str| {
        let mut values = unit.lines().filter_map(|line| line.split_once('='));
        values.find(|(own, _)| *own == name).map(|(_, value)| value)
    };
    assert_eq!(value("KillMode"), Some("mixed"));
    assert_eq!(value("Type"), Some("notify"));
    assert!(value("WatchdogSec").is_some());
    assert!(value("ExecStart").is_some_and(|line| line.contains(" --systemd-daemon ")));
    assert!(value("ExecReload").is_some_and(|line| line.contains("-HUP $MAINPID")));
    let limit: u32 = value("TimeoutStopSec").and_then(|limit| limit.parse().ok()).unwrap_or(0);
    assert!(limit > 10, "the agent has ten seconds");
}

/// Compares the output with a file in `printed/`; `UPDATE_EXPECT=1` writes that file.
#[track_caller]
fn check_printed(argument: &str, file: &str) {
    let output = run(&[argument]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{argument}");
    let printed = text(&output.stdout).replace(env!("CARGO_PKG_VERSION"), "[VERSION]");
    let path = format!("{}/tests/printed/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &printed).expect("the file can be written");
    }
    let expected = std::fs::read_to_string(&path).expect("the file can be read");
    assert_eq!(printed, expected, "{argument} and {path}");
}

/// W1: on standard output, exit code 0; the options are grouped.
#[test]
fn help_and_version_are_printed() {
    check_printed("--version", "version");
    check_printed("-V", "version-short");
    check_printed("--help", "help");
    check_printed("-h", "help-short");
}
