//! The crash campaign: the agent is killed, at random instants and at every effect in turn, and
//! what it had promised is compared with what it has kept.
//!
//! * [`fn@trace`]: runs a program and kills it at its n-th effect.
//! * [`Plan`]: what happens in a run, by its seed.
//! * [`fn@run`]: performs a run in a farm of its own.
//! * [`History`]: what happened in a run, and its evaluation.
//! * [`fn@campaign`]: many runs.

mod effect;
mod exchanges;
mod history;
mod other_instance;
mod plan;
mod run;
mod runner;
mod state;
mod sys;
mod trace;

pub use history::{ArtifactId, EndState, Evaluation, History, Post, SessionResult, Upload};
pub use plan::{Build, KillPoint, Plan};
pub use run::{Run, run};
pub use runner::{CampaignOptions, Summary, campaign};
pub use trace::{TraceOptions, trace};
