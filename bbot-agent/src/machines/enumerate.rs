//! Enumerates the machines of the host, under the host lock.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use bbot_lock::{Acquired, Holder, HostLock, MachineLock, MachineState};
use bbot_manifest::{BootstrappedMachine, MachineManifest, Manifest, StandardVersion};

use super::freshness::{Freshness, freshness};
use super::layout::{Layout, MachineDir};
use super::ownership::{self, MANIFEST_LIMIT};
use crate::fs::bounded_read;
use crate::schedule::host::{Running, Use};
use crate::schedule::priority::Priority;

/// How often the reading of a machine is retried whose link changes meanwhile (W9).
pub(crate) const LINK_RETRIES: u32 = 10;

/// What a bootstrapped machine must meet to be offered (W8).
#[derive(Debug, Clone)]
pub(crate) struct Requirements {
    /// `--toolchain-id`, if one is set.
    pub(crate) toolchain_id: Option<String>,
    /// `--worker-ver`.
    pub(crate) worker: StandardVersion,
    /// The greatest priority for which tasks of other instances may be interrupted; none if they
    /// never are.
    pub(crate) greatest: Option<Priority>,
}

impl Requirements {
    /// Returns whether a task of priority `running` may be interrupted, so that its machine may be
    /// offered.
    fn allow_interrupting(&self, running: Priority) -> bool {
        self.greatest.is_some_and(|greatest| greatest.fdc() > running.fdc())
    }

    /// Judges the bootstrapped machine `have` against the machine as it is now.
    pub(crate) fn freshness(
        &self,
        machine: &MachineManifest,
        have: &BootstrappedMachine,
    ) -> Freshness {
        freshness(machine, have, self.toolchain_id.as_deref(), &self.worker)
    }
}

/// A machine as enumerated.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Its folder.
    pub(crate) dir: MachineDir,
    /// Its state.
    pub(crate) state: State,
}

/// The state of a machine.
#[derive(Debug)]
pub(crate) enum State {
    /// It is free, and can take tasks.
    Ready(Box<BootstrappedMachine>),
    /// It is free, and must be bootstrapped for this reason.
    Due(&'static str),
    /// Its worker is newer than this agent.
    Newer,
    /// Another process uses it.
    Busy(Busy),
}

/// A machine that another process uses.
#[derive(Debug)]
pub(crate) struct Busy {
    /// The process and its task, if they can be read from the lock file.
    pub(crate) holder: Option<Holder>,
    /// When the lock file was written, since the epoch.
    since: Duration,
    /// What was bootstrapped, if the task may be interrupted and the machine can take another one.
    pub(crate) machine: Option<Box<BootstrappedMachine>>,
}

impl Busy {
    /// Reads from its lock which process uses the machine; `None` if it is free.
    pub(crate) fn read(
        layout: &Layout,
        host: &HostLock,
        dir: &MachineDir,
    ) -> Result<Option<Self>, bbot_lock::Error> {
        // A machine without a lock file is free: locks are taken under the host lock only (W7).
        let lock_file = layout.lock_file(dir);
        // A file that a killed process has left is removed (W47).
        let MachineState::Busy(holder) = bbot_lock::probe_and_tidy(host, &lock_file)? else {
            return Ok(None);
        };
        // It is used for tasks only; a file that was removed just now counts as old.
        let is_task = holder.is_some_and(|holder| holder.priority.is_some());
        let written = || fs::metadata(&lock_file).and_then(|file| file.modified()).ok();
        let since = is_task.then(written).flatten();
        let since = since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
        let since = since.unwrap_or_default();
        Ok(Some(Self { holder, since, machine: None }))
    }

    /// Returns the priority of the task on the machine, if there is a task. For a number that is
    /// not a priority, the use is unknown.
    fn priority(&self) -> Option<Priority> {
        self.holder?.priority.and_then(|value| Priority::new(value.try_into().ok()?))
    }

    /// Returns the use of the machine; `is_fit`: it could take a task of this instance.
    pub(crate) fn used(&self, is_fit: bool) -> Use {
        let running = |priority| Use::Task(Running { priority, since: self.since, is_fit });
        self.priority().map_or(Use::Taken, running)
    }
}

/// A problem of one machine; the others are not affected (W10).
#[derive(Debug)]
pub(crate) struct Problem {
    /// The machine's folder.
    pub(crate) path: PathBuf,
    /// The problem.
    pub(crate) error: anyhow::Error,
}

/// All machines of the host.
#[derive(Debug)]
pub(crate) struct Enumeration {
    /// Those that exist for the agent's bootstrap protocol.
    pub(crate) machines: Vec<Machine>,
    /// The problems of those that could not be examined.
    pub(crate) problems: Vec<Problem>,
}

impl Enumeration {
    /// Returns the machines that other processes use.
    pub(crate) fn busy(&self) -> impl Iterator<Item = (&MachineDir, &Busy)> {
        self.machines.iter().filter_map(|machine| match &machine.state {
            State::Busy(busy) => Some((&machine.dir, busy)),
            State::Ready(_) | State::Due(_) | State::Newer => None,
        })
    }
}

impl Machine {
    /// Returns the use of the machine; `is_failing`: it takes no task because of recent failures.
    pub(crate) fn used(&self, is_failing: bool) -> Use {
        match &self.state {
            State::Ready(_) if !is_failing => Use::Free,
            State::Ready(_) | State::Due(_) | State::Newer => Use::Unfit,
            State::Busy(busy) => busy.used(busy.machine.is_some() && !is_failing),
        }
    }

    /// Returns what was bootstrapped, if the machine can take a task, now or after an interrupt.
    pub(crate) fn bootstrapped(&self) -> Option<&BootstrappedMachine> {
        match &self.state {
            State::Ready(machine) => Some(machine),
            State::Busy(busy) => busy.machine.as_deref(),
            State::Due(_) | State::Newer => None,
        }
    }
}

/// Enumerates all machines. Usually this only reads (W9).
pub(crate) fn enumerate(
    layout: &Layout,
    host: &HostLock,
    requirements: &Requirements,
) -> io::Result<Enumeration> {
    let (dirs, bad) = layout.machines()?;
    let mut problems: Vec<Problem> = bad
        .into_iter()
        .map(|entry| Problem { path: entry.path, error: anyhow!(entry.reason) })
        .collect();
    let mut machines = Vec::with_capacity(dirs.len());
    for dir in dirs {
        match examine(layout, host, &dir, requirements) {
            Ok(Some(state)) => machines.push(Machine { dir, state }),
            Ok(None) => {}
            Err(error) => problems.push(Problem { path: dir.path, error }),
        }
    }
    Ok(Enumeration { machines, problems })
}

/// Examines one machine; `None` if it does not exist for the agent's bootstrap protocol.
fn examine(
    layout: &Layout,
    host: &HostLock,
    dir: &MachineDir,
    requirements: &Requirements,
) -> anyhow::Result<Option<State>> {
    if let Some(mut busy) = Busy::read(layout, host, dir)? {
        // A machine in use need not be complete; then it is not offered.
        if busy.priority().is_some_and(|running| requirements.allow_interrupting(running))
            && let Ok(Some(State::Ready(machine))) = judge(layout, dir, requirements)
        {
            busy.machine = Some(machine);
        }
        return Ok(Some(State::Busy(busy)));
    }
    let state = judge(layout, dir, requirements)?;
    if state.is_none() {
        remove_bootstrapped(layout, host, dir)?;
    }
    Ok(state)
}

/// Judges a machine by its manifests, whether it is in use or not; `None` if it does not exist for
/// the agent's bootstrap protocol.
pub(crate) fn judge(
    layout: &Layout,
    dir: &MachineDir,
    requirements: &Requirements,
) -> anyhow::Result<Option<State>> {
    let Some(machine) = read_current(dir)? else { return Ok(None) };
    Ok(Some(match read_bootstrapped(layout, dir) {
        None => due_for_want(layout, dir, "not bootstrapped")?,
        Some(Err(_)) => due_for_want(layout, dir, "broken bootstrapped manifest")?,
        Some(Ok(have)) => match requirements.freshness(&machine, &have) {
            Freshness::Ready => State::Ready(Box::new(have)),
            Freshness::Due(reason) => State::Due(reason),
            Freshness::Newer => State::Newer,
        },
    }))
}

/// Returns that the machine is due, for this reason, unless something else than a bootstrapped
/// machine of ours has its name (W44).
fn due_for_want(layout: &Layout, dir: &MachineDir, reason: &'static str) -> anyhow::Result<State> {
    ownership::check_bootstrapped(layout, dir).map(|()| State::Due(reason))
}

/// Reads the manifest of the current revision; `None` if there is no link.
///
/// A failure is retried at once if the link has changed meanwhile, by an upgrade of the machine
/// (W9).
fn read_current(dir: &MachineDir) -> anyhow::Result<Option<MachineManifest>> {
    with_current(dir, |source| read_manifest(&source.join("manifest")))
}

/// Calls `action` with the current revision's subvolume, again if it fails and the link has changed
/// meanwhile (W9); `None` if there is no link.
pub(crate) fn with_current<T>(
    dir: &MachineDir,
    action: impl Fn(&Path) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let resolve =
        || dir.current().with_context(|| format!("cannot read link {}", dir.link().display()));
    let mut source = resolve()?;
    for retry in 0.. {
        let Some(path) = &source else { return Ok(None) };
        match action(path) {
            Ok(value) => return Ok(Some(value)),
            Err(error) => {
                let now = resolve()?;
                if now == source || retry == LINK_RETRIES {
                    return Err(error);
                }
                source = now;
            }
        }
    }
    unreachable!("the loop ends by its last retry");
}

/// Reads the manifest of the bootstrapped subvolume; `None` if there is none.
pub(crate) fn read_bootstrapped(
    layout: &Layout,
    dir: &MachineDir,
) -> Option<anyhow::Result<BootstrappedMachine>> {
    let path = layout.bootstrapped(dir).join("manifest");
    let result = read_manifest::<BootstrappedMachine>(&path).and_then(|have| {
        // It is reused; without one, each task would get a machine with another address.
        have.machine.mac.is_some().then_some(have).ok_or_else(|| anyhow!("no mac address"))
    });
    match result {
        Err(error) if is_not_found(&error) => None,
        result => Some(result),
    }
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
}

/// Reads a manifest file of bounded size.
pub(crate) fn read_manifest<M: Manifest>(path: &Path) -> anyhow::Result<M> {
    let bytes = File::open(path)
        .and_then(|file| bounded_read::whole(file, MANIFEST_LIMIT))
        .with_context(|| format!("cannot read {}", path.display()))?
        .ok_or_else(|| anyhow!("{} is over {MANIFEST_LIMIT} bytes", path.display()))?;
    Ok(M::parse(&bytes, &path.display().to_string())?)
}

/// Removes the bootstrapped subvolume of a machine that was removed.
fn remove_bootstrapped(layout: &Layout, host: &HostLock, dir: &MachineDir) -> anyhow::Result<()> {
    let path = layout.bootstrapped(dir);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.with_context(|| format!("cannot look at {}", path.display()))?,
    };
    ownership::check_bootstrapped(layout, dir)?;
    if let Acquired::Lock(lock) = MachineLock::try_acquire(host, &layout.lock_file(dir))? {
        bbot_btrfs::delete(&path)?;
        lock.release()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    const MACHINE: &str = "id: 1\nname: m\nsummary: M\ntype: kvm\n";
    const TOOLCHAIN: &str = ":\nid: t\n";
    const VERSIONS: &str = ":\nbbot-version: 0.16.0\nlibbbot-version: 0.16.0\n\
                            libbpkg-version: 0.16.0\nlibbutl-version: 0.16.0\n";

    struct Host {
        root: TempDir,
        layout: Layout,
    }

    impl Host {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let layout = Layout::new(root.path().into(), "public".parse().unwrap(), 1);
            Self { root, layout }
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn edit(&self, path: &str, from: &str, to: &str) {
            let text = fs::read_to_string(self.root.path().join(path)).unwrap();
            assert!(text.contains(from), "{text}");
            self.write(path, &text.replace(from, to));
        }

        fn machine(&self, name: &str, manifest: &str) {
            self.write(&format!("v/{name}/{name}-1.1/manifest"), manifest);
            let link = self.root.path().join(format!("v/{name}/{name}-1"));
            symlink(format!("{name}-1.1"), link).unwrap();
        }

        fn bootstrapped(&self, name: &str) {
            let text = format!(": 1\n{MACHINE}mac: de:ad:be:ef:de:ad\n{TOOLCHAIN}{VERSIONS}");
            self.write(&format!("v/{name}/{name}-public/manifest"), &text);
        }

        fn enumerate(&self) -> Enumeration {
            self.enumerate_for(None)
        }

        fn enumerate_for(&self, greatest: Option<u16>) -> Enumeration {
            let worker = "0.16.0".parse().unwrap();
            let greatest = greatest.and_then(Priority::new);
            let requirements = Requirements { toolchain_id: None, worker, greatest };
            enumerate(&self.layout, &HostLock::disabled(), &requirements).unwrap()
        }

        fn lock(&self, name: &str, priority: Option<u64>) -> MachineLock {
            let free = HostLock::disabled();
            let path = self.root.path().join(format!("v/{name}/{name}-public.lock"));
            let lock = MachineLock::try_acquire(&free, &path).unwrap();
            let mut lock = lock.into_lock().unwrap();
            lock.write(&free, priority).unwrap();
            lock
        }

        #[track_caller]
        fn check(&self, expected: &[&str]) {
            let found: Vec<String> = self
                .enumerate()
                .machines
                .iter()
                .map(|m| match &m.state {
                    State::Ready(_) => format!("{} ready", m.dir.name),
                    State::Due(reason) => format!("{} due: {reason}", m.dir.name),
                    State::Newer => format!("{} newer", m.dir.name),
                    State::Busy(Busy { holder: Some(Holder { pid, priority, .. }), .. }) => {
                        format!("{} busy: {pid} {priority:?}", m.dir.name)
                    }
                    State::Busy(_) => format!("{} busy", m.dir.name),
                })
                .collect();
            assert_eq!(found, expected);
        }
    }

    fn text() -> String {
        format!(": 1\n{MACHINE}")
    }

    /// W8: what is bootstrapped and fits is ready, what is not is due.
    #[test]
    fn judges_each_machine() {
        let host = Host::new();
        host.machine("a", &text());
        host.bootstrapped("a");
        host.machine("b", &text());
        host.machine("c", &text().replace("id: 1", "id: 2"));
        host.bootstrapped("c");
        host.machine("d", &text());
        host.write("v/d/d-public/manifest", "rubbish");
        host.write("v/d/d-public/.bbot-agent", "public\n");
        host.machine("e", &text());
        host.bootstrapped("e");
        host.edit("v/e/e-public/manifest", "libbpkg-version: 0.16.0", "libbpkg-version: 0.17.0");
        host.machine("f", &text());
        host.bootstrapped("f");
        host.edit("v/f/f-public/manifest", "libbutl-version: 0.16.0", "libbutl-version: 0.15.0");
        host.check(&[
            "a ready",
            "b due: not bootstrapped",
            "c due: new machine",
            "d due: broken bootstrapped manifest",
            "e newer",
            "f due: new agent",
        ]);
    }

    /// W7: the holder of a machine is read from its lock; content that cannot be read is unknown.
    /// The tasks of another toolchain do not count (W18).
    #[test]
    fn locked_machines_are_busy() {
        let host = Host::new();
        for name in ["a", "b", "c"] {
            host.machine(name, &text());
            host.bootstrapped(name);
        }
        let _locks = (host.lock("a", Some(100)), host.lock("b", None));
        let strangers = File::create(host.root.path().join("v/c/c-stranger.lock")).unwrap();
        strangers.lock().unwrap();
        // A crashed agent leaves a lock file without a lock.
        host.write("v/c/c-public.lock", "4242 7");
        let pid = std::process::id();
        host.check(&[
            &format!("a busy: {pid} Some(100)"),
            &format!("b busy: {pid} None"),
            "c ready",
        ]);
        assert_eq!(host.enumerate().busy().count(), 2);
        fs::write(host.root.path().join("v/b/b-public.lock"), "what").unwrap();
        host.check(&[&format!("a busy: {pid} Some(100)"), "b busy", "c ready"]);
    }

    /// W9, W20: of a busy machine the manifests are read only if its task may be interrupted, and
    /// one that could not take a task then is not offered.
    #[test]
    fn interruptible_machines_are_read() {
        let host = Host::new();
        for name in ["a", "b", "c", "d", "e"] {
            host.machine(name, &text());
        }
        for name in ["a", "b", "d"] {
            host.bootstrapped(name);
        }
        host.write("v/e/e-public/manifest", "rubbish");
        let tasks = ["a", "c", "e"].map(|name| host.lock(name, Some(199)));
        let others = (host.lock("b", None), host.lock("d", Some(70_000)));
        let fit = |greatest| -> Vec<String> {
            let found = host.enumerate_for(greatest);
            assert_eq!((found.busy().count(), found.problems.len()), (5, 0));
            let fit = found.machines.iter().filter(|machine| machine.bootstrapped().is_some());
            fit.map(|machine| machine.dir.name.to_string()).collect()
        };
        assert_eq!(fit(None), [""; 0]);
        assert_eq!(fit(Some(199)), [""; 0]);
        assert_eq!(fit(Some(200)), ["a"]);
        assert_eq!(fit(Some(19_999)), ["a"]);

        let uses = |is_failing| -> Vec<Use> {
            host.enumerate_for(Some(200)).machines.iter().map(|m| m.used(is_failing)).collect()
        };
        let is_task = |used: &Use, fit| matches!(used, Use::Task(task) if task.is_fit == fit);
        let now = uses(false);
        assert!(is_task(&now[0], true) && is_task(&now[2], false), "{now:?}");
        assert_eq!((now[1], now[3]), (Use::Taken, Use::Taken));
        assert!(is_task(&uses(true)[0], false));
        drop((tasks, others));
        assert_eq!(uses(false)[..3], [Use::Free, Use::Free, Use::Unfit]);
        assert_eq!(uses(true)[..3], [Use::Unfit; 3]);
    }

    /// W19: of a task it is known since when it runs.
    #[test]
    fn the_age_of_a_task_is_its_lock_files() {
        let host = Host::new();
        host.machine("a", &text());
        let before = UNIX_EPOCH.elapsed().unwrap();
        let _lock = host.lock("a", Some(0));
        let file = File::open(host.root.path().join("v/a/a-public.lock")).unwrap();
        let look = || {
            let dir = host.layout.machines().unwrap().0.remove(0);
            Busy::read(&host.layout, &HostLock::disabled(), &dir).unwrap().unwrap()
        };
        // The file system's clock ticks coarsely.
        assert!(look().since + Duration::from_secs(1) > before);
        let long_ago = Duration::from_secs(1_000_000_000);
        file.set_modified(UNIX_EPOCH + long_ago).unwrap();
        assert_eq!(look().since, long_ago);
    }

    /// W10: one bad machine does not hide the others.
    #[test]
    fn a_bad_machine_is_reported_alone() {
        let host = Host::new();
        host.machine("a", "rubbish");
        host.machine("b", &text());
        host.bootstrapped("b");
        host.write("v/bad name/manifest", "");
        host.check(&["b ready"]);
        let problems = host.enumerate().problems;
        let paths: Vec<_> = problems.iter().map(|p| p.path.file_name().unwrap()).collect();
        assert_eq!(paths, ["bad name", "a"]);
    }

    /// W7: without a link the machine does not exist.
    #[test]
    fn a_machine_without_a_link_is_skipped() {
        let host = Host::new();
        host.write("v/a/a-1.1/manifest", &text());
        host.check(&[]);
        assert!(host.enumerate().problems.is_empty());
    }

    /// W9: a failure with a changed link is retried, one with an unchanged link is not.
    #[test]
    fn a_changed_link_is_followed() {
        let host = Host::new();
        host.machine("a", &text());
        let dir = host.layout.machines().unwrap().0.remove(0);
        let switch = |target: &str| {
            fs::remove_file(dir.link()).unwrap();
            symlink(target, dir.link()).unwrap();
        };
        let found = with_current(&dir, |source| {
            if source.ends_with("a-1.1") {
                switch("a-1.2");
                return Err(anyhow!("gone"));
            }
            Ok(source.file_name().unwrap().to_owned())
        });
        assert_eq!(found.unwrap().unwrap(), "a-1.2");
        let calls = std::cell::Cell::new(0);
        let failed = with_current(&dir, |_| -> anyhow::Result<()> {
            calls.set(calls.get() + 1);
            Err(anyhow!("broken"))
        });
        assert!(failed.is_err());
        assert_eq!(calls.get(), 1);
        calls.set(0);
        let flapping = with_current(&dir, |_| -> anyhow::Result<()> {
            calls.set(calls.get() + 1);
            switch(&format!("a-1.{}", calls.get()));
            Err(anyhow!("gone"))
        });
        assert!(flapping.is_err());
        assert_eq!(calls.get(), LINK_RETRIES + 1);
    }
}
