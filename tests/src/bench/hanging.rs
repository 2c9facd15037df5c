//! By how much a controller that hangs delays the requests to the others.

use anyhow::Result;

use super::figure::Figure;
use super::statistics::greatest;
use crate::harness::agent::Agent;
use crate::harness::clock::{Nanos, millis_between};
use crate::harness::controller::{Controller, Fault};
use crate::harness::hypervisor::SUCCESSFUL;
use crate::harness::testbed::Testbed;

/// The number of measurements; the figure is the greatest of them.
const ROUNDS: usize = 3;
/// The limit of all requests in a round, in seconds.
const REQUEST: &str = "1";

pub(super) fn measure() -> Result<Vec<Figure>> {
    let all: Vec<_> = (0..ROUNDS).map(|_| hang()).collect::<Result<_>>()?;
    let what = format!("a controller hangs for {REQUEST} s -> others asked, of {ROUNDS}");
    Ok(vec![Figure::millis("hanging-to-asked", what, greatest(all)).at_most(1100.0)])
}

/// The first of three controllers hangs: the time from the request to it until the last request to
/// the others.
fn hang() -> Result<f64> {
    let testbed = Testbed::new(SUCCESSFUL, &[])?;
    testbed.controller.inject_faults(|_| Some(Fault::NoAnswer));
    let others = [testbed.add_controller()?, testbed.add_controller()?];
    let options = ["--fake-bootstrap", "--request-timeout", REQUEST];
    let controllers = [("0002", &testbed.controller), ("0001", &others[0]), ("0001", &others[1])];
    let _agent = Agent::start(&testbed.farm, &testbed.instance(1, &options, &controllers))?;
    let start = asked(&testbed.controller)?;
    let ends: Vec<_> = others.iter().map(asked).collect::<Result<_>>()?;
    Ok(greatest(ends.into_iter().map(|end| millis_between(start, end))))
}

/// The time of the first request to a controller.
fn asked(controller: &Controller) -> Result<Nanos> {
    Ok(controller.wait_for_request()?.received_at)
}
