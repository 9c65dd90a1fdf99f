//! What a command leaves behind: text and an exit status, or a sentence and an exit status.

use std::error::Error;

use super::ExitCode;

/// What a command prints when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// For stdout.
    pub text: String,
    /// A sentence for stderr.
    pub note: Option<String>,
    /// The exit status: not always 0, since an answer may be `{error, _}`.
    pub code: ExitCode,
}

impl Printed {
    /// Text alone.
    #[must_use]
    pub const fn text(text: String) -> Self {
        Self { text, note: None, code: ExitCode::Done }
    }
}

/// Why a command came to nothing: what is wrong, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit status.
    pub code: ExitCode,
    /// The sentence.
    pub message: String,
}

impl<E: Error> From<E> for Failure
where
    for<'a> ExitCode: From<&'a E>,
{
    fn from(error: E) -> Self {
        Self { code: ExitCode::from(&error), message: error.to_string() }
    }
}
