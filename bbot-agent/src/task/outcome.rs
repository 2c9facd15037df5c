//! Decides the answer to a task from how its guest ended. Pure.

use bbot_manifest::{PackageName, PackageVersion, ResultManifest, ResultStatus};

use crate::guest::exit::Exit;
use crate::guest::run::{End, Job};

/// The answer to a task, and whether the guest is to be inspected.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The result that the controller gets.
    pub(super) result: ResultManifest,
    /// Why an operator should inspect the guest, if so (W27).
    pub(super) concern: Option<String>,
}

/// Decides the answer to the task for package `name` `version`.
///
/// `result` is the result in the file that the guest uploaded; `None` if it uploaded none, or one
/// that cannot be used.
pub(super) fn outcome(
    name: &PackageName,
    version: &PackageVersion,
    interactive: bool,
    end: &End,
    result: Option<ResultManifest>,
) -> Outcome {
    let bare = |status, concern| Outcome {
        result: ResultManifest::new(name.clone(), version.clone(), status),
        concern,
    };
    let abort = || bare(ResultStatus::Abort, end.failure(Job::Build));
    match end {
        End::Complete(_) => match result.and_then(|result| identified(result, name, version)) {
            None => bare(ResultStatus::Abnormal, Some("unreadable result".into())),
            Some(result) => {
                let abnormal = result.status == ResultStatus::Abnormal;
                Outcome { result, concern: abnormal.then(|| "build terminated abnormally".into()) }
            }
        },
        // W31: an interactive build that times out was abandoned: there is nothing to inspect.
        End::TimedOut if interactive => bare(ResultStatus::Abort, None),
        End::Exited { exit: Exit::ByHost, .. }
        | End::HostFailed(_)
        | End::DiskFull
        | End::NetworkLost
        | End::Interrupted
        | End::Terminated => bare(ResultStatus::Interrupt, None),
        End::Halted { halt, .. } if halt.is_by_host() => bare(ResultStatus::Interrupt, None),
        End::MisBoot | End::TimedOut | End::WouldNotShutDown | End::Halted { .. } => abort(),
        // W55: a build that ends its guest is no concern; a failure of the hypervisor is.
        End::Exited { exit, has_asked } if !has_asked || exit.is_failure() => abort(),
        End::Exited { .. } => bare(ResultStatus::Abort, None),
    }
}

/// W32: a worker that could not read its task reports package `unknown`, version `0`: the task's
/// own name and version take their place. A result for any other package does not answer this task.
fn identified(
    mut result: ResultManifest,
    name: &PackageName,
    version: &PackageVersion,
) -> Option<ResultManifest> {
    if result.name.to_string() == "unknown" && result.version.to_string() == "0" {
        result.name = name.clone();
        result.version = version.clone();
    }
    (result.name == *name && result.version == *version).then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::sign::{Halt, HostFailure};
    use bbot_manifest::Manifest;

    fn task() -> (PackageName, PackageVersion) {
        ("foo".parse().unwrap(), "1.2.3".parse().unwrap())
    }

    #[track_caller]
    fn check(end: &End, result: Option<&str>, status: ResultStatus, concern: Option<&str>) {
        let (name, version) = task();
        let result = result.map(|text| {
            ResultManifest::parse(format!(": 1\n{text}").as_bytes(), "result").unwrap()
        });
        let outcome = outcome(&name, &version, false, end, result);
        assert_eq!(outcome.result.status, status);
        assert_eq!(outcome.concern.as_deref(), concern);
        assert_eq!((outcome.result.name, outcome.result.version), (name, version));
    }

    fn complete() -> End {
        End::Complete("result.manifest.lz4".into())
    }

    /// W28, W29: a complete result stands.
    #[test]
    fn a_complete_result_stands() {
        let text = "name: foo\nversion: 1.2.3\nstatus: error\n";
        check(&complete(), Some(text), ResultStatus::Error, None);
        let abnormal = "name: foo\nversion: 1.2.3\nstatus: abnormal\n";
        let concern = Some("build terminated abnormally");
        check(&complete(), Some(abnormal), ResultStatus::Abnormal, concern);
    }

    /// W32: `unknown` `0` gets the task's identity, whatever its status says.
    #[test]
    fn unknown_gets_the_tasks_identity() {
        for (text, status, concern) in [
            ("abnormal", ResultStatus::Abnormal, Some("build terminated abnormally")),
            ("success", ResultStatus::Success, None),
        ] {
            let text = format!("name: unknown\nversion: 0\nstatus: {text}\n");
            check(&complete(), Some(&text), status, concern);
        }
    }

    /// W32: another package's result is an unreadable one.
    #[test]
    fn another_packages_result_is_unreadable() {
        let unreadable = Some("unreadable result");
        check(&complete(), None, ResultStatus::Abnormal, unreadable);
        for text in ["name: bar\nversion: 1.2.3", "name: foo\nversion: 1.2.4"] {
            let text = format!("{text}\nstatus: success\n");
            check(&complete(), Some(&text), ResultStatus::Abnormal, unreadable);
        }
    }

    /// W29, W30, W40: `abort` for what the guest did, `interrupt` for what the host did.
    #[test]
    fn ends_without_a_result() {
        let exited = |exit| End::Exited { exit, has_asked: true };
        check(&exited(Exit::Unexplained), None, ResultStatus::Abort, None);
        check(&exited(Exit::ByHost), None, ResultStatus::Interrupt, None);
        check(&exited(Exit::Reset), None, ResultStatus::Abort, None);
        check(&exited(Exit::PoweredOff), None, ResultStatus::Abort, None);
        let failed = "unexpected exit during build: the hypervisor failed";
        check(&exited(Exit::Crashed), None, ResultStatus::Abort, Some(failed));
        let panicked = "unexpected exit during build: the guest's operating system panicked";
        check(&exited(Exit::Panicked), None, ResultStatus::Abort, Some(panicked));
        check(&End::DiskFull, None, ResultStatus::Interrupt, None);
        check(&End::NetworkLost, None, ResultStatus::Interrupt, None);
        check(&End::Interrupted, None, ResultStatus::Interrupt, None);
        check(&End::Terminated, None, ResultStatus::Interrupt, None);
        check(&End::TimedOut, None, ResultStatus::Abort, Some("build timeout"));
        check(&End::MisBoot, None, ResultStatus::Abort, Some("build startup timeout"));
    }

    /// W55: an exit before the first request is reported, unless the host caused it.
    #[test]
    fn ends_before_the_first_request() {
        for exit in
            [Exit::Reset, Exit::PoweredOff, Exit::Unexplained, Exit::Panicked, Exit::Crashed]
        {
            let concern = format!("build exit before the first request: {exit}");
            let end = End::Exited { exit, has_asked: false };
            check(&end, None, ResultStatus::Abort, Some(&concern));
        }
        let end = End::Exited { exit: Exit::ByHost, has_asked: false };
        check(&end, None, ResultStatus::Interrupt, None);
    }

    /// W56: a guest that stands still by itself is an `abort` and a concern; one that an operator
    /// has reset is neither.
    #[test]
    fn ends_of_a_guest_that_does_not_go_on() {
        for has_asked in [false, true] {
            let concern = "build does not go on: the guest's operating system panicked";
            let end = End::Halted { halt: Halt::Panicked, has_asked };
            check(&end, None, ResultStatus::Abort, Some(concern));
            let end = End::Halted { halt: Halt::ResetByHost, has_asked };
            check(&end, None, ResultStatus::Interrupt, None);
        }
        for failure in [HostFailure::Disk, HostFailure::Memory] {
            check(&End::HostFailed(failure), None, ResultStatus::Interrupt, None);
        }
    }

    /// W31: an interactive build that times out is no concern.
    #[test]
    fn an_interactive_timeout_is_no_concern() {
        let (name, version) = task();
        let outcome = outcome(&name, &version, true, &End::TimedOut, None);
        assert_eq!(outcome.result.status, ResultStatus::Abort);
        assert_eq!(outcome.concern, None);
    }
}
