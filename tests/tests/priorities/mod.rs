//! Several instances on one host: real agents with real locks on a real volume, simulated guests,
//! and several controllers.

mod levels;
mod lock_holder;
mod many_instances;
mod setup;
mod uncooperative;
