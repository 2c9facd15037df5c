//! Tests of the configuration, and a constructor for the tests of other modules.

use std::ffi::OsString;

use super::*;

/// Returns the configuration of this command line.
pub(crate) fn config(args: &[&str]) -> Result<Config, ConfigError> {
    let args = ["bbot-agent"].iter().chain(args).map(|&arg| OsString::from(arg));
    Config::from_cli(Cli::read(args).expect("syntax is right"))
}

const URL: &str = "https://ci.example.org/?build-task";

fn path(path: &str) -> PathBuf {
    PathBuf::from(path)
}

/// W1: each line names the option and the value.
#[test]
fn bad_values_are_refused() {
    let name = "may have letters, digits, '.', '_', '+' and '-' only";
    let long = "x".repeat(101);
    let deep = format!("/{}", "d".repeat(RUNTIME_DIR_MAX));
    let table = [
        ("--toolchain-name", "a/b", name),
        ("--toolchain-name", "a b", name),
        ("--toolchain-name", "\u{e4}", name),
        ("--toolchain-name", "17", "must not be a number"),
        (
            "--toolchain-name",
            "1.2",
            "must not begin with a number and a dot, as the revisions of machines do",
        ),
        ("--toolchain-name", "", "must have 1 to 100 characters"),
        ("--toolchain-name", &long, "must have 1 to 100 characters"),
        ("--toolchain-lock", "lock", "must be an absolute path"),
        ("--toolchain-id", "a\nb", "control characters"),
        ("--tftp-port", "65535", "the port of this instance, 1 above, would exceed 65535"),
        ("--bridge", "", "not the name of a network interface"),
        ("--bridge", "0123456789abcdef", "not the name of a network interface"),
        ("--bridge", "a/b", "not the name of a network interface"),
        ("--bridge", "a b", "not the name of a network interface"),
        ("--hold-timeout", "-1", "neither seconds (a year at most) nor 'none'"),
        ("--hold-timeout", "never", "neither seconds (a year at most) nor 'none'"),
        ("--hold-timeout", "99999999999", "neither seconds (a year at most) nor 'none'"),
        ("--vm-user", "", "not the name of a user"),
        ("--vm-user", "a:b", "not the name of a user"),
        ("--auth-key", "/no/such/key", "No such file or directory (os error 2)"),
        ("--auth-key", "/dev", "not a file"),
        ("--runtime-dir", &deep, "87 bytes are too many for its sockets, at most 86"),
    ];
    for (option, value, problem) in table {
        let error = config(&[option, value, URL]).unwrap_err().to_string();
        let expected = format!("invalid value {} of option '{option}': {problem}", quoted(value));
        assert_eq!(error, expected);
        assert_eq!(error.lines().count(), 1);
    }
}

/// W1: values that bbot-manifest parses; the text of its errors is not checked.
#[test]
fn bad_protocol_values_are_refused() {
    let table = [
        ("--toolchain-ver", "1.2"),
        ("--worker-ver", "latest"),
        ("--interactive", "maybe"),
        ("--interactive", ""),
        ("--trust", "no"),
        ("--trust", "F0:0D"),
    ];
    for (option, value) in table {
        let error = config(&[option, value, URL]).unwrap_err().to_string();
        let start = format!("invalid value '{value}' of option '{option}': ");
        assert!(error.starts_with(&start), "{error}");
    }
}

#[test]
fn defaults_are_those_of_the_original_agent() {
    let config = config(&[URL]).unwrap();
    assert_eq!(config.instance_name(), "default-1");
    assert_eq!((config.offset, config.tftp_port), (1, 23400));
    assert_eq!((config.cpu, config.ram_kib), (1, 1_048_576));
    assert_eq!(config.bridge, "br1");
    assert_eq!(config.toolchain.lock, Some(path("/var/lock/bbot-agent-default.lock")));
    assert_eq!(config.toolchain.version.to_string(), "0.16.0");
    assert_eq!(config.worker_version.to_string(), "0.16.0");
    assert_eq!(config.toolchain.id, None);
    assert_eq!(config.interactive, InteractiveMode::False);
    assert_eq!(config.machines, Path::new("/build/machines/"));
    assert_eq!(config.tftp, Path::new("/build/tftp/"));
    assert_eq!(config.runtime_dir, Path::new("/run/bbot-agent/default-1"));
    assert_eq!(config.state_dir, Path::new("/var/lib/bbot-agent/default-1"));
    assert_eq!(config.hold_timeout, HoldTimeout::Limit(Duration::from_secs(86_400)));
    assert_eq!((config.outbox_days, config.outbox_limit), (7, 10_737_418_240));
    assert_eq!(config.upload_limit, 1_073_741_824);
    assert_eq!((config.bootstrap_retries, config.build_retries), (2, 2));
    assert_eq!(config.openssl, Path::new("openssl"));
    let seconds = Duration::from_secs;
    let timeouts = Timeouts {
        bootstrap_startup: seconds(300),
        bootstrap: seconds(3600),
        build_startup: seconds(120),
        build: seconds(5400),
        interactive: seconds(10_800),
        shutdown: seconds(300),
        connect: seconds(60),
        request: seconds(300),
    };
    assert_eq!(config.timeouts, timeouts);
}

#[test]
fn offset_is_unique_on_the_host() {
    let offset = |number: &str, instance: &str| {
        let args = ["--toolchain-num", number, "--instance", instance, URL];
        config(&args).unwrap().offset
    };
    assert_eq!(offset("1", "1"), 1);
    assert_eq!(offset("1", "99"), 99);
    assert_eq!(offset("2", "1"), 101);
    assert_eq!(offset("99", "99"), 9899);
}

/// W2, W3: the lock of instance 1 of `public` is not the host lock of the toolchain `public-1`.
#[test]
fn no_instance_lock_is_a_toolchains_lock() {
    let public = config(&["--toolchain-name", "public", "--instance", "1", URL]).unwrap();
    let other = config(&["--toolchain-name", "public-1", URL]).unwrap();
    let (instance, host) = (public.instance_lock, other.toolchain.lock.unwrap());
    assert_ne!(instance.file_name(), host.file_name());
}

/// W2: the lock is the host's, unless the instance has a runtime folder of its own.
#[test]
fn instance_lock_follows_the_runtime_folder() {
    let name = ["--toolchain-name", "public", "--instance", "3"];
    let on_host = config(&[&name[..], &[URL]].concat()).unwrap();
    assert_eq!(on_host.instance_lock, Path::new("/run/lock/bbot-agent@public-3.lock"));
    let apart = config(&[&name[..], &["--runtime-dir", "/x", URL]].concat()).unwrap();
    assert_eq!(apart.instance_lock, Path::new("/x/bbot-agent@public-3.lock"));
}

/// W42: with a fake option there is a host lock, for W21 too, only if one is named.
#[test]
fn host_lock_is_disabled_when_empty_or_in_fake_modes() {
    let lock = |args: &[&str]| config(&[args, &[URL]].concat()).unwrap().toolchain.lock;
    assert_eq!(lock(&["--toolchain-lock", ""]), None);
    assert_eq!(lock(&["--toolchain-lock", "/l"]), Some(path("/l")));
    for fake in ["--fake-bootstrap", "--fake-build", "--fake-machine=/m", "--fake-request=/r"] {
        assert_eq!(lock(&[fake]), None, "{fake}");
        assert_eq!(lock(&[fake, "--toolchain-lock", "/l"]), Some(path("/l")), "{fake}");
    }
}

#[test]
fn a_controller_is_needed_only_to_ask_one() {
    assert!(matches!(config(&[]).unwrap_err(), ConfigError::NoController));
    for args in [&["--dump-task"][..], &["--fake-build"]] {
        assert!(matches!(config(args).unwrap_err(), ConfigError::NoController));
    }
    for args in [&["--dump-machines"][..], &["--fake-request", "task"]] {
        assert_eq!(config(args).unwrap().controllers[0].url, "https://example.org");
    }
}

#[test]
fn controllers_keep_their_order() {
    let config = config(&["https://a/", "0100=https://b/", "https://c/"]).unwrap();
    let urls: Vec<&str> = config.controllers.iter().map(|c| c.url.as_str()).collect();
    assert_eq!(urls, ["https://a/", "https://b/", "https://c/"]);
    assert_eq!(config.controllers[1].priority.value(), 100);
}

#[test]
fn hold_may_be_endless_or_off() {
    let hold = |value| config(&["--hold-timeout", value, URL]).unwrap().hold_timeout;
    assert_eq!(hold("0"), HoldTimeout::Forever);
    assert_eq!(hold("none"), HoldTimeout::Never);
    assert_eq!(hold("60"), HoldTimeout::Limit(Duration::from_secs(60)));
}

#[test]
fn relative_paths_are_made_absolute_and_programs_kept() {
    let here = std::env::current_dir().unwrap();
    let args = ["--machines=m", "--tftp", "t", "--state-dir=s", "--openssl=openssl-3"];
    let config = config(&[&args[..], &["--hypervisor=./qemu", URL]].concat()).unwrap();
    assert_eq!(config.machines, here.join("m"));
    assert_eq!(config.tftp, here.join("t"));
    assert_eq!(config.state_dir, here.join("s"));
    assert_eq!(config.openssl, Path::new("openssl-3"));
    assert_eq!(config.hypervisor, Some(here.join("qemu")));
}

/// W31
#[test]
fn interactive_address_is_known_if_it_is_needed() {
    assert_eq!(config(&[URL]).unwrap().interactive_address, None);
    let args = ["--interactive", "both", "--interactive-address", "2001:db8::1", URL];
    let config = config(&args).unwrap();
    assert_eq!(config.interactive, InteractiveMode::Both);
    assert_eq!(config.interactive_address, "2001:db8::1".parse().ok());
}

/// W24: the fingerprints that replace those of the task have the form of a task.
#[test]
fn trust_takes_fingerprints_and_yes() {
    let fingerprint = ["AB"; 32].join(":");
    let bare = "ab".repeat(32);
    let config = config(&["--trust", &fingerprint, "--trust", &bare, "--trust=yes", URL]).unwrap();
    assert_eq!(config.trust, [fingerprint.as_str(), &fingerprint, "yes"]);
}
