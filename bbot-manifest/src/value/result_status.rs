//! Statuses of build results.

use std::fmt;
use std::str::FromStr;

use crate::text_value::serde_as_text;

/// The status of a build or of one of its operations; a worse one is greater.
///
/// ```
/// use bbot_manifest::ResultStatus;
///
/// let operations = [ResultStatus::Success, ResultStatus::Error, ResultStatus::Warning];
/// assert_eq!(operations.into_iter().max(), Some(ResultStatus::Error));
/// assert!(ResultStatus::Error.is_bad());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResultStatus {
    /// Nothing was to be done.
    Skip,
    /// It worked.
    Success,
    /// It worked, with warnings.
    Warning,
    /// It failed.
    Error,
    /// It was not completed.
    Abort,
    /// It ended abnormally.
    Abnormal,
    /// It was interrupted by something more important.
    Interrupt,
}

/// The text is not a result status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultStatusError;

impl fmt::Display for ResultStatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("result status expected")
    }
}

impl std::error::Error for ResultStatusError {}

impl ResultStatus {
    /// Whether the build failed: from error on.
    pub fn is_bad(self) -> bool {
        self >= Self::Error
    }
}

impl FromStr for ResultStatus {
    type Err = ResultStatusError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "skip" => Ok(Self::Skip),
            "success" => Ok(Self::Success),
            "warning" => Ok(Self::Warning),
            "error" => Ok(Self::Error),
            "abort" => Ok(Self::Abort),
            "abnormal" => Ok(Self::Abnormal),
            "interrupt" => Ok(Self::Interrupt),
            _ => Err(ResultStatusError),
        }
    }
}

impl fmt::Display for ResultStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Skip => "skip",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Abort => "abort",
            Self::Abnormal => "abnormal",
            Self::Interrupt => "interrupt",
        })
    }
}

serde_as_text!(ResultStatus);
