//! Smoke tests: what only the real hypervisor and the real guest can show, one line each.

mod cases;
mod environment;

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use self::environment::Environment;

/// Runs all smoke tests, or those with these names and the ones that they need; writes a line for
/// each to standard output.
///
/// # Errors
/// If one of them fails, or there is none with such a name.
pub fn smoke(image: &Path, names: &[String]) -> Result<()> {
    let known = |name: &&String| cases::ALL.iter().any(|(known, _)| known == name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        bail!("no smoke test {name}");
    }
    let mut environment = Environment::new(image)?;
    let mut failed = 0;
    for (number, (name, run)) in cases::ALL.iter().enumerate() {
        // The others need the machine that the first two boot and bootstrap.
        if number >= 2 && !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let start = Instant::now();
        let outcome = run(&mut environment);
        let seconds = start.elapsed().as_secs_f64();
        let mut out = std::io::stdout();
        match &outcome {
            Ok(()) => writeln!(out, "smoke: {name} ok {seconds:.1} s")?,
            Err(error) => writeln!(out, "smoke: {name} FAILED {seconds:.1} s: {error:#}")?,
        }
        failed += usize::from(outcome.is_err());
        ensure!(outcome.is_ok() || number >= 2, "there is no machine for the other tests");
    }
    drop(environment.first.take());
    environment.farm.end()?;
    ensure!(failed == 0, "{failed} smoke tests failed");
    Ok(())
}
