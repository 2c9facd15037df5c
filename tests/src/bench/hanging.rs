//! What a controller that hangs costs those that are asked after it.

use anyhow::{Context, Result};

use super::{Figure, LIMIT, greatest};
use crate::agent::Agent;
use crate::clock::{Nanos, millis_between};
use crate::controller::{Controller, Exchange, Mischief};
use crate::pretend::WELL;
use crate::scene::Scene;

/// How often it is measured; the greatest counts.
const ROUNDS: usize = 3;
/// How long asking may take in a round, in seconds.
const REQUEST: &str = "1";

pub(super) fn measure() -> Result<Vec<Figure>> {
    let all: Vec<_> = (0..ROUNDS).map(|_| hang()).collect::<Result<_>>()?;
    let what = format!("a controller hangs for {REQUEST} s -> others asked, of {ROUNDS}");
    Ok(vec![Figure::millis("hanging-to-asked", what, greatest(all)).at_most(1100.0)])
}

/// One of three controllers, the first to be asked, hangs: from there until the last of the others
/// is asked.
fn hang() -> Result<f64> {
    let scene = Scene::new(WELL, &[])?;
    scene.controller.misbehave(|_| Some(Mischief::Silence));
    let others = [scene.add_controller()?, scene.add_controller()?];
    let options = ["--fake-bootstrap", "--request-timeout", REQUEST];
    let controllers = [("0002", &scene.controller), ("0001", &others[0]), ("0001", &others[1])];
    let _agent = Agent::start(&scene.farm, &scene.instance(1, &options, &controllers))?;
    let start = asked(&scene.controller)?;
    let ends: Vec<_> = others.iter().map(asked).collect::<Result<_>>()?;
    Ok(greatest(ends.into_iter().map(|end| millis_between(start, end))))
}

/// When a controller was asked first.
fn asked(controller: &Controller) -> Result<Nanos> {
    let first = |all: &[Exchange]| all.first().map(|exchange| exchange.received_at);
    controller.wait(LIMIT, first).context("nobody asked")
}
