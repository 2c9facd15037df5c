//! The crash campaign: the agent is killed, at random instants and at every effect in turn, and
//! what it had promised is compared with what it has kept.
//!
//! * [`fn@trace`]: runs a program and kills it at its n-th effect.
//! * [`Plan`]: what happens in a run, by its seed.
//! * [`play`]: a run in a farm of its own.
//! * [`History`]: what happened, and the judgement on it.
//! * [`fn@campaign`]: many runs.

mod campaign;
mod effect;
mod history;
mod neighbour;
mod plan;
mod run;
mod state;
mod sys;
mod trace;

pub use campaign::{CampaignOptions, Tally, campaign};
pub use history::{Answer, Arrival, Attachment, Death, History, Judgement, Upload};
pub use plan::{Build, Moment, Plan};
pub use run::{Run, play};
pub use trace::{TraceOptions, trace};
