//! The build agent.
fn main() {}
