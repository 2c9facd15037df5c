//! Which builds an agent takes, interactive or not.

crate::words::words! {
    /// Which builds an agent takes.
    #[derive(Default)]
    pub enum InteractiveMode {
        /// Builds that are not interactive.
        #[default]
        False = "false",
        /// Interactive builds.
        True = "true",
        /// All builds.
        Both = "both",
    }

    /// The text is not an interactive mode.
    pub struct InteractiveModeError = "false, true or both expected";
}
