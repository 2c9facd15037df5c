//! The durations of builds, from the agent's phases.

use super::phase::Phase;
use crate::harness::clock::millis_between;

/// The durations in one build, from the controller's answer to the result at the controller.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BuildTimes {
    /// `name/version`.
    pub package: String,
    /// The durations of its phases in milliseconds, by the names of [`ROWS`].
    pub phases: Vec<(&'static str, f64)>,
    /// From the controller's answer to QEMU's exec, in milliseconds.
    pub task_to_qemu_exec: f64,
    /// From the result's last byte on disk to the controller's answer to it, in milliseconds.
    pub result_durable_to_posted: f64,
}

/// The rows of a table of [`BuildTimes`]: name in the report, title, the agent's phase.
pub const ROWS: [(&str, &str, &str); 7] = [
    ("enumerate", "enumerate", "enumerate"),
    ("snapshot", "snapshot", "snapshot"),
    ("qemu_start", "QEMU start", "qemu"),
    ("first_request", "guest's first request", "first-request"),
    ("build", "build", "build"),
    ("result_posted", "result durable -> posted", "posted"),
    ("snapshot_deleted", "snapshot deleted", "deleted"),
];

/// The durations of the builds in the agent's phases that are complete.
pub fn build_times(phases: &[Phase]) -> Vec<BuildTimes> {
    let tasks: Vec<_> = phases
        .iter()
        .enumerate()
        .filter_map(|(index, phase)| (phase.name == "task").then_some(index))
        .collect();
    let ends = tasks.iter().skip(1).copied().chain([phases.len()]);
    tasks.iter().zip(ends).filter_map(|(task, end)| build(phases, *task, end)).collect()
}

/// The build whose task is the phase with the index `task`; the next one's has the index `end`.
fn build(phases: &[Phase], task: usize, end: usize) -> Option<BuildTimes> {
    let session = phases[task].key("session");
    let own = |name: &str| phases[task..end].iter().find(|phase| phase.name == name);
    // The next round may have begun before this result was posted.
    let posted = phases[task..]
        .iter()
        .find(|phase| phase.name == "posted" && phase.key("session") == session)?;
    let enumerated = phases[..task].iter().rev().find(|phase| phase.name == "enumerate")?;
    let (built, qemu) = (own("build")?, own("qemu")?);
    let result_durable_to_posted = millis_between(built.at, posted.at);
    let millis = |phase: &str| match phase {
        "enumerate" => Some(enumerated.millis),
        "posted" => Some(result_durable_to_posted),
        name => own(name).map(|phase| phase.millis),
    };
    Some(BuildTimes {
        package: phases[task].package()?,
        phases: ROWS.iter().map(|row| Some((row.0, millis(row.2)?))).collect::<Option<_>>()?,
        task_to_qemu_exec: millis_between(phases[task].at, qemu.at),
        result_durable_to_posted,
    })
}

#[cfg(test)]
mod tests {
    use super::{Phase, build_times};

    /// Each build has its own phases, also if the next one begins before its result is posted.
    #[test]
    fn builds_are_told_apart() {
        let lines = "\
            phase: snapshot 9 ms at 0 machine=m\n\
            phase: enumerate 1 ms at 0\n\
            phase: task 1 ms at 1000000 session=/x/1/a\n\
            phase: snapshot 2 ms at 2000000 machine=m session=/x/1/a\n\
            phase: qemu 3 ms at 5000000 machine=m\n\
            phase: first-request 4 ms at 6000000 machine=m\n\
            phase: build 5 ms at 10000000 machine=m\n\
            phase: deleted 6 ms at 20000000 machine=m session=/x/1/a\n\
            phase: enumerate 7 ms at 21000000\n\
            phase: task 1 ms at 22000000 session=/y/1/b\n\
            phase: posted 8 ms at 30000000 session=/x/1/a";
        let phases: Vec<_> = lines.lines().map(|line| Phase::parse(line).unwrap()).collect();
        let builds = build_times(&phases);
        assert_eq!(builds.len(), 1, "the second has not ended");
        assert_eq!(builds[0].package, "x/1");
        let millis: Vec<_> = builds[0].phases.iter().map(|(_, millis)| *millis).collect();
        assert_eq!(millis, [1.0, 2.0, 3.0, 4.0, 5.0, 20.0, 6.0]);
        assert!((builds[0].task_to_qemu_exec - 4.0).abs() < 1e-9);
    }
}
