//! Some of the smoke tests, which all run by `cargo xtask smoke`.

use std::process::Command;

use bbot_tests::harness::programs;

/// W27, W30 with QEMU: boot, bootstrap, a hold that an operator ends, an interrupt; each is told in
/// one line with its time.
#[test]
fn a_real_guest_is_held_and_interrupted() {
    let mut smoke = Command::new(programs::find("bbot-farm").unwrap());
    smoke.arg("smoke").arg("--image").arg(programs::image().unwrap()).args(["hold", "interrupt"]);
    let output = smoke.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let told = said.lines().map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let ["smoke:", name, "ok", seconds, "s"] = words[..] else { panic!("{line}") };
        assert!(seconds.parse::<f64>().unwrap() >= 0.0, "{line}");
        name
    });
    assert_eq!(told.collect::<Vec<_>>(), ["boot", "bootstrap", "hold", "interrupt"]);
}

#[test]
fn an_unknown_smoke_test_is_refused() {
    let mut smoke = Command::new(programs::find("bbot-farm").unwrap());
    let output = smoke.args(["smoke", "--image", "/none", "fire"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "bbot-farm: no smoke test fire\n");
}
