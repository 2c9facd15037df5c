//! A process that has a machine as an agent has it, and does not behave as ours do.

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdout, Stdio};

use bbot_tests::farm::Process;
use bbot_tests::scene::{Scene, TOOLCHAIN};
use rustix::process::Signal;

/// Takes the lock and says so in its file, as the original does: `<pid>` or `<pid> <priority>`,
/// without a newline. Then it does what it is to do at each SIGUSR1, for as long as it lives; its
/// child does not inherit the lock.
const SCRIPT: &str = r#"
exec 9<>"$1"
flock --nonblock 9 || exit 1
printf '%s' "$$$2" >&9
trap "$3" USR1
echo has it
sleep infinity 9>&- >&- &
while :; do wait; done
"#;

/// Has a machine of the farm until it is killed or dropped.
pub(crate) struct Squatter {
    process: Process,
    said: BufReader<ChildStdout>,
}

impl Squatter {
    /// Takes the machine; `priority` follows the pid in the lock file (`" 100"`, or nothing).
    pub(crate) fn new(scene: &Scene, machine: &str, priority: &str, at_signal: &str) -> Squatter {
        let lock = scene.farm.machine_folder(machine).join(format!("{machine}-{TOOLCHAIN}.lock"));
        let mut command = scene.farm.inside().command("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(lock).args([priority, at_signal]);
        let process = scene.farm.inside().spawn(command.stdout(Stdio::piped())).unwrap();
        let mut squatter =
            Squatter { said: BufReader::new(process.take_stdout().unwrap()), process };
        squatter.wait_for("has it");
        squatter
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
