//! The statuses of build results.

crate::words::words! {
    /// The status of a build or of one of its operations; a worse one is greater (D10).
    ///
    /// ```
    /// use bbot_manifest::ResultStatus;
    ///
    /// let operations = [ResultStatus::Success, ResultStatus::Error, ResultStatus::Warning];
    /// assert_eq!(operations.into_iter().max(), Some(ResultStatus::Error));
    /// assert!(ResultStatus::Error.is_failure());
    /// ```
    pub enum ResultStatus {
        /// There was nothing to do.
        Skip = "skip",
        /// The operation succeeded.
        Success = "success",
        /// The operation succeeded, with warnings.
        Warning = "warning",
        /// The operation failed.
        Error = "error",
        /// The operation was not completed.
        Abort = "abort",
        /// The operation terminated abnormally.
        Abnormal = "abnormal",
        /// The operation was interrupted in favor of a task of higher priority.
        Interrupt = "interrupt",
    }

    /// The text is not a result status.
    pub struct ResultStatusError = "result status expected";
}

impl ResultStatus {
    /// Whether the build failed: [`Error`](Self::Error) or worse (D10).
    pub fn is_failure(self) -> bool {
        self >= Self::Error
    }
}
