//! A process that has a machine as an agent has it, and does not behave as ours do.

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdout, Stdio};

use bbot_tests::harness::farm::Process;
use bbot_tests::harness::testbed::Testbed;
use rustix::process::Signal;

/// Takes the lock and says so in its file, as the original does: `<pid>` or `<pid> <priority>`,
/// without a newline. Then it becomes who it is to be.
const TAKE: &str = r#"
exec 9<>"$1"
flock --nonblock 9 || exit 1
printf '%s' "$$$2" >&9
exec $5 sh -c "$4" sh "$1" "$3"
"#;
/// Does what it is to do at each SIGUSR1, for as long as it lives; its child does not inherit the
/// lock.
const STAY: &str = r#"
trap "$2" USR1
echo has it
sleep infinity 9>&- >&- &
while :; do wait; done
"#;
/// Makes a process that of another user.
const STRANGER: &str = "setpriv --reuid 65534 --clear-groups";

/// Has a machine of the farm until it is killed or dropped.
pub(crate) struct LockHolder {
    process: Process,
    said: BufReader<ChildStdout>,
}

impl LockHolder {
    /// Takes the machine; `priority` follows the pid in the lock file (`" 100"`, or nothing).
    pub(crate) fn new(
        testbed: &Testbed,
        machine: &str,
        priority: &str,
        at_signal: &str,
    ) -> LockHolder {
        LockHolder::start(testbed, machine, priority, at_signal, "")
    }

    /// The same, but it belongs to another user than an agent does.
    pub(crate) fn stranger(testbed: &Testbed, machine: &str, priority: &str) -> LockHolder {
        LockHolder::start(testbed, machine, priority, "echo told", STRANGER)
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
        let mut lock_holder =
            LockHolder { said: BufReader::new(process.take_stdout().unwrap()), process };
        lock_holder.wait_for("has it");
        lock_holder
    }

    /// Waits until it says this.
    pub(crate) fn wait_for(&mut self, what: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), what);
    }

    /// Sends it the signal.
    pub(crate) fn tell(&self) {
        self.process.signal(Signal::USR1).unwrap();
    }

    /// Ends it, as a crash does.
    pub(crate) fn kill(&self) {
        self.process.signal(Signal::KILL).unwrap();
    }

    /// Checks that it got no signal that it would have told of.
    pub(crate) fn assert_untold(mut self) {
        self.kill();
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}
