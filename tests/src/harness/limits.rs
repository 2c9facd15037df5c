//! How long tests wait.

use std::time::Duration;

/// Far more than any single step of a test takes, also on a loaded host.
pub const LIMIT: Duration = Duration::from_secs(120);

/// What a loaded host may add to a duration that the agent promises. A promise is measured
/// exactly by the bench, on an idle host; a test checks only that it was the promised mechanism
/// that took effect, and not the next one, which takes far longer.
pub const LOAD: Duration = Duration::from_secs(5);
