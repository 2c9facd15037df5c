//! The events that the hypervisor waits for.

/// An event of the hypervisor.
#[derive(Debug)]
pub(super) enum Event {
    /// The agent has negotiated QMP capabilities.
    Begin,
    /// The power button was pressed.
    PowerDown,
    /// A monitor was given the command `quit`.
    Quit,
    /// The guest ignores the power button from now on.
    IgnorePower,
    /// The guest has done all its steps.
    Idle,
    /// The guest has ended with this exit code.
    Exit(u8),
    /// A step of the guest has failed.
    Failed(anyhow::Error),
}
