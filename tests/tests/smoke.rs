//! Some of the smoke tests; `cargo xtask smoke` runs all of them.

use std::process::Command;

use bbot_tests::harness::programs;

/// W27, W30 with QEMU: boot, bootstrap, a hold that an operator ends, an interrupt; there is a line
/// with the duration for each.
#[test]
fn a_real_guest_is_held_and_interrupted() {
    let mut smoke = Command::new(programs::find("bbot-farm").unwrap());
    smoke.arg("smoke").arg("--image").arg(programs::image().unwrap()).args(["hold", "interrupt"]);
    let output = smoke.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    let names = shown.lines().map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let ["smoke:", name, "ok", seconds, "s"] = words[..] else { panic!("{line}") };
        assert!(seconds.parse::<f64>().unwrap() >= 0.0, "{line}");
        name
    });
    assert_eq!(names.collect::<Vec<_>>(), ["boot", "bootstrap", "hold", "interrupt"]);
}

#[test]
fn an_unknown_smoke_test_is_refused() {
    let mut smoke = Command::new(programs::find("bbot-farm").unwrap());
    let output = smoke.args(["smoke", "--image", "/none", "unknown"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "bbot-farm: no smoke test unknown\n");
}
