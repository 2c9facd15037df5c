//! The types of machines.

crate::words::words! {
    /// The type of a machine.
    pub enum MachineType {
        /// A virtual machine.
        Kvm = "kvm",
        /// A container.
        Nspawn = "nspawn",
    }

    /// The text is not the type of a machine.
    pub struct MachineTypeError = "kvm or nspawn expected";
}
