//! What the agent itself costs, measured with the real agent on a real volume.

mod builds;
mod ends;
mod enumeration;
mod figure;
mod hanging;
mod idle;
mod statistics;

use anyhow::Result;

pub use figure::{Figure, line, write};

/// Measures everything; `report` is called for each figure at once.
///
/// # Errors
/// If the farm cannot be made, or the agent fails.
pub fn measure(mut report: impl FnMut(&Figure) -> Result<()>) -> Result<Vec<Figure>> {
    let mut all = Vec::new();
    let parts =
        [enumeration::measure, builds::measure, idle::measure, ends::measure, hanging::measure];
    for part in parts {
        let figures = part()?;
        figures.iter().try_for_each(&mut report)?;
        all.extend(figures);
    }
    Ok(all)
}
