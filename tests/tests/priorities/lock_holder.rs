//! A process that holds a machine's lock as an agent does, but handles SIGUSR1 otherwise.

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdout, Stdio};

use bbot_tests::harness::farm::Process;
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::Testbed;
use rustix::process::Signal;

/// Takes the lock and writes `<pid>` or `<pid> <priority>` to its file, as the original agent does,
/// without a newline. Then it becomes another user if wanted, and executes the next script.
const TAKE: &str = r#"
exec 9<>"$1"
flock --nonblock 9 || exit 1
printf '%s' "$$$2" >&9
exec $5 sh -c "$4" sh "$1" "$3"
"#;
/// Runs a command at each SIGUSR1 until it is killed; its child does not inherit the lock.
const STAY: &str = r#"
trap "$2" USR1
echo locked
sleep infinity 9>&- >&- &
while :; do wait; done
"#;
/// A command that runs another one as an unprivileged user.
const UNPRIVILEGED: &str = "setpriv --reuid 65534 --clear-groups";

/// A command at SIGUSR1: reports it, and keeps the lock.
pub(super) const IGNORES: &str = "echo signalled";

/// Holds a machine of the farm until it is killed or dropped.
pub(super) struct LockHolder {
    process: Process,
    output: BufReader<ChildStdout>,
}

impl LockHolder {
    /// Locks the machine; `priority` follows the pid in the lock file (`" 100"`, or nothing).
    /// `at_signal` is run at each SIGUSR1.
    pub(super) fn new(
        testbed: &Testbed,
        machine: &str,
        priority: &str,
        at_signal: &str,
    ) -> LockHolder {
        LockHolder::start(testbed, machine, priority, at_signal, "")
    }

    /// The same as another user than the agent.
    pub(super) fn unprivileged(testbed: &Testbed, machine: &str, priority: &str) -> LockHolder {
        LockHolder::start(testbed, machine, priority, IGNORES, UNPRIVILEGED)
    }

    fn start(
        testbed: &Testbed,
        machine: &str,
        priority: &str,
        at_signal: &str,
        under: &str,
    ) -> LockHolder {
        let lock = testbed.lock_file(machine);
        let mut command = testbed.farm.namespaces().command("sh");
        command.args(["-c", TAKE, "sh"]).arg(lock).args([priority, at_signal, STAY, under]);
        let process = testbed.farm.namespaces().spawn(command.stdout(Stdio::piped())).unwrap();
        let mut holder =
            LockHolder { output: BufReader::new(process.take_stdout().unwrap()), process };
        holder.wait_for("locked");
        holder
    }

    /// Waits for this line of its output.
    pub(super) fn wait_for(&mut self, what: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), what);
    }

    /// Sends it SIGUSR1.
    pub(super) fn interrupt(&self) {
        self.process.signal(Signal::USR1).unwrap();
    }

    /// Kills it and waits until it has ended.
    pub(super) fn kill(&self) {
        self.process.kill(LIMIT).unwrap();
    }

    /// Checks that it got no further signal, and kills it.
    pub(super) fn assert_not_signalled(mut self) {
        self.kill();
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}
