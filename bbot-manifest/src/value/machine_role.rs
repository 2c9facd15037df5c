//! The roles of machines.

crate::words::words! {
    /// The role of a machine.
    pub enum MachineRole {
        /// It builds packages.
        Build = "build",
        /// It provides something that a build needs, such as a database.
        Auxiliary = "auxiliary",
    }

    /// The text is not the role of a machine.
    pub struct MachineRoleError = "build or auxiliary expected";
}
