//! The whole system once, with the real hypervisor and the real guest.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bbot_tests::harness::farm::Traces;
use bbot_tests::harness::programs;

/// W12 to W14, W25, W26, W28, W32 to W34, W37, W39 with QEMU: a bootstrap, a build that succeeds
/// and one that fails; both results signed; the artifact matches the log; nothing left. The program
/// checks it all, and so does this test with its report.
#[test]
fn the_demo_shows_what_it_promises() {
    let base = programs::scratch_base().unwrap();
    let folder = tempfile::Builder::new().prefix("bbot-").tempdir_in(base).unwrap();
    let report = folder.path().join("report.json");
    let mut demo = Command::new(programs::find("bbot-farm").unwrap());
    demo.arg("demo").arg("--image").arg(programs::image().unwrap()).arg("--report").arg(&report);
    let output = demo.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    let artifact = "artifact archive at the controller, sha256 and challenge checked";
    for line in ["first-request", "snapshot deleted", "zlib 1.2.13: success", "error:", artifact] {
        assert!(shown.contains(line), "no {line:?} in:\n{shown}");
    }
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let builds = report["builds"].as_array().unwrap();
    let field = |index: usize, name: &str| builds[index][name].as_str().unwrap_or_default();
    assert_eq!((field(0, "package"), field(0, "status")), ("zlib/1.2.13", "success"));
    assert_eq!((field(1, "package"), field(1, "status")), ("zlib-broken/1.2.13", "error"));
    assert!(builds.iter().all(|build| build["signature_verified"] == true));
    assert!(field(0, "artifact_sha256").len() == 64 && builds[1]["artifact_sha256"].is_null());
    for name in ["task_to_qemu_exec", "result_durable_to_posted"] {
        assert!(report["overhead_ms"][name].as_f64().unwrap() > 0.0, "{name}");
    }
    for name in ["enumerate", "snapshot", "qemu_start", "first_request", "build"] {
        assert!(report["phases_ms"][name].as_f64().unwrap() > 0.0, "{name}");
    }
}

/// Ctrl-C while the guest boots: the demo fails, and nothing of its farm is left.
#[test]
fn an_interrupted_demo_leaves_nothing() {
    let base = programs::scratch_base().unwrap();
    let folder = tempfile::Builder::new().prefix("bbot-").tempdir_in(base).unwrap();
    let mut demo = Command::new(programs::find("bbot-farm").unwrap());
    demo.arg("demo").arg("--image").arg(programs::image().unwrap());
    demo.arg("--report").arg(folder.path().join("report.json"));
    let mut demo = demo.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut line_with = |word: &str| lines.find(|line| line.contains(word)).unwrap();
    let farm = line_with(" farm ");
    let scratch = PathBuf::from(farm.split_whitespace().last().unwrap());
    assert!(scratch.is_dir(), "{farm}");
    line_with(" qemu ");
    let pid = rustix::process::Pid::from_child(&demo);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(1));
    let traces = Traces::new(scratch, BTreeSet::new());
    assert_eq!(traces.remaining().unwrap(), [""; 0]);
}
