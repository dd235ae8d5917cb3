//! Errors as data: the part that crosses languages, and the part that a bus adds.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Target, Text, frame};

/// The most bytes that message and details of an error have together on the wire: a frame's header,
/// less the other fields of the header.
pub const ERROR_BYTES_MAX: usize = frame::HEADER_BYTES_MAX - 2 * 1024;

/// Kind of an error. The first ten are the project's own; a cell's own errors are [`Code::Domain`],
/// a text of the form `domain.code`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request makes no sense to the callee: 400.
    BadRequest,
    /// The caller may not do this: 403.
    Refused,
    /// Nobody serves the target, or what was asked for is not there: 404.
    NotFound,
    /// The state is not what the caller thought: 409.
    Conflict,
    /// The payload is larger than the bus or the cell takes: 413.
    TooLarge,
    /// No capacity to run or to wait: 429. The cell did not run.
    Overloaded,
    /// The cell panicked, crashed or raised what is no `CellError`: 500.
    CellFailed,
    /// CBS itself is at fault: 500.
    Internal,
    /// The target cannot be reached now: 503.
    Unavailable,
    /// No outcome within the deadline; the cell may have run: 504.
    Timeout,
    /// A cell's own error, `domain.code`: 422.
    Domain(Text),
}

/// The project's own codes, each with its text and its status. [`Code::CellFailed`] is before
/// [`Code::Internal`]: it is what 500 stands for in the error of a service that is no cell.
static OWN: [(Code, &str, u16); 10] = [
    (Code::BadRequest, "bad-request", 400),
    (Code::Refused, "refused", 403),
    (Code::NotFound, "not-found", 404),
    (Code::Conflict, "conflict", 409),
    (Code::TooLarge, "too-large", 413),
    (Code::Overloaded, "overloaded", 429),
    (Code::CellFailed, "cell-failed", 500),
    (Code::Internal, "internal", 500),
    (Code::Unavailable, "unavailable", 503),
    (Code::Timeout, "timeout", 504),
];

/// Status of a cell's own error.
const DOMAIN_STATUS: u16 = 422;

impl Code {
    /// Number of kinds of codes: the project's own, and one for all codes of cells.
    pub const KINDS: usize = OWN.len() + 1;

    /// Texts of all kinds of codes, in the order of [`Self::kind`]; `domain` stands for all codes
    /// of cells.
    pub fn kinds() -> impl Iterator<Item = &'static str> {
        OWN.iter().map(|(_, text, _)| *text).chain(["domain"])
    }

    /// The place of its kind in [`Self::kinds`].
    #[must_use]
    pub fn kind(&self) -> usize {
        OWN.iter().position(|(code, ..)| code == self).unwrap_or(OWN.len())
    }

    /// The code as it crosses the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Domain(code) => code,
            own => OWN.get(own.kind()).map_or("", |(_, text, _)| text),
        }
    }

    /// The number for `Nats-Service-Error-Code`; HTTP's meaning.
    #[must_use]
    pub fn status(&self) -> u16 {
        OWN.get(self.kind()).map_or(DOMAIN_STATUS, |(.., status)| *status)
    }

    /// Returns the code for the status of a service that is no cell; `None` if no code of the
    /// project has this status.
    #[must_use]
    pub fn of_status(status: u16) -> Option<Self> {
        // Without credentials (401) a caller may as little as with those of another (403).
        let status = if status == 401 { 403 } else { status };
        OWN.iter().find(|(.., of)| *of == status).map(|(code, ..)| code.clone())
    }
}

impl From<&str> for Code {
    /// Reads a code. Any text is a code: a text that is none of the project's codes is a domain's,
    /// and the empty text is [`Code::Internal`].
    fn from(text: &str) -> Self {
        if text.is_empty() {
            return Self::Internal;
        }
        let own = OWN.iter().find(|(_, own, _)| *own == text);
        own.map_or_else(|| Self::Domain(text.into()), |(code, ..)| code.clone())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::from(text.as_str()))
    }
}

/// Error as data, the same in every language: a cell answers it instead of a payload.
///
/// ```
/// use cbs::{CellError, Code};
/// let error = CellError::new(Code::Domain("stock.empty".into()), "no more tea").retryable();
/// assert_eq!(error.code.status(), 422);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CellError {
    /// Code of the error; callers branch on it.
    pub code: Code,
    /// One line for a person. It leaves the body: no secrets, no traceback.
    pub message: String,
    /// True if the same call may succeed a little later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
    /// Anything more, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

impl CellError {
    /// An error that is not retryable and has no details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false, details: None }
    }

    /// The request makes no sense: `bad-request`.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// A cell's own error; `code` is of the form `domain.code`.
    pub fn domain(code: &str, message: impl Into<String>) -> Self {
        Self::new(Code::Domain(code.into()), message)
    }

    /// Returns the error `cell-failed` for a failure whose reason callers do not learn. The message
    /// names the id under which the body's log has the reason.
    #[must_use]
    pub fn cell_failed(id: uuid::Uuid) -> Self {
        Self::new(
            Code::CellFailed,
            format!("the cell failed; its body's log has the reason under id {id}"),
        )
    }

    /// The same error, marked as worth a retry.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// The same error with details for programs.
    #[must_use]
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        self.details = Some(details);
        self
    }
}

/// State of the cell after a failed call: whether it ran. It decides what may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The cell never started: trying again is always safe.
    NotRun,
    /// It is unknown whether the cell ran: trying again is safe only for idempotent calls.
    Unknown,
    /// The cell ran and answered with this error.
    Ran,
}

/// Reason why a call through a bus gave no reply: the error as data, and whether the cell ran.
///
/// ```
/// use cbs::{BusError, Code, Outcome};
/// let error = BusError::timeout(&"logic.greet".parse()?, std::time::Duration::from_secs(5));
/// assert_eq!((error.code(), error.outcome()), (&Code::Timeout, Outcome::Unknown));
/// # Ok::<(), cbs::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{error}")]
pub struct BusError {
    error: Box<CellError>,
    outcome: Outcome,
}

impl BusError {
    /// An error with its outcome.
    #[must_use]
    pub fn new(error: CellError, outcome: Outcome) -> Self {
        Self { error: Box::new(error), outcome }
    }

    /// Returns the same error in a size that a frame's header holds. If message and details have
    /// more than [`ERROR_BYTES_MAX`] bytes together, the details are removed, and the message is
    /// cut if it is still too long.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        let details = self.error.details.as_ref().map_or(0, |details| details.to_string().len());
        if self.error.message.len().saturating_add(details) <= ERROR_BYTES_MAX {
            return self;
        }
        self.error.details = None;
        let message = &mut self.error.message;
        if message.len() > ERROR_BYTES_MAX {
            message.truncate(message.floor_char_boundary(ERROR_BYTES_MAX));
            message.push_str(" … (cut)");
        }
        self
    }

    /// Nobody serves the target.
    #[must_use]
    pub fn not_found(target: &Target) -> Self {
        let hint = "`cbs ls` shows what runs";
        Self::new(
            CellError::new(Code::NotFound, format!("nobody serves {target}; {hint}")),
            Outcome::NotRun,
        )
    }

    /// The target cannot be reached now, for this reason; the cell did not run.
    #[must_use]
    pub fn unavailable(target: &Target, reason: impl fmt::Display) -> Self {
        let error =
            CellError::new(Code::Unavailable, format!("{target} cannot be reached: {reason}"));
        Self::new(error.retryable(), Outcome::NotRun)
    }

    /// No answer in time; the cell may have run.
    #[must_use]
    pub fn timeout(target: &Target, after: Duration) -> Self {
        let error = CellError::new(
            Code::Timeout,
            format!("{target} gave no answer within {} ms", after.as_millis()),
        );
        Self::new(error, Outcome::Unknown)
    }

    /// No capacity to run or to wait; the cell did not run.
    #[must_use]
    pub fn overloaded(target: &Target) -> Self {
        let error = CellError::new(
            Code::Overloaded,
            format!("{target} has no capacity for another call now"),
        );
        Self::new(error.retryable(), Outcome::NotRun)
    }

    /// More bytes than the limit; the cell did not run.
    #[must_use]
    pub fn too_large(target: &Target, bytes: usize, limit: usize) -> Self {
        let message = format!("the message to {target} has {bytes} bytes, the limit is {limit}");
        Self::new(CellError::new(Code::TooLarge, message), Outcome::NotRun)
    }

    /// The message makes no sense; the cell did not run.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(CellError::bad_request(message), Outcome::NotRun)
    }

    /// The error's code.
    #[must_use]
    pub fn code(&self) -> &Code {
        &self.error.code
    }

    /// Outcome of the call: whether the cell ran.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The error as data.
    #[must_use]
    pub fn error(&self) -> &CellError {
        &self.error
    }

    /// The error as data, owned.
    #[must_use]
    pub fn into_error(self) -> CellError {
        *self.error
    }
}

impl From<CellError> for BusError {
    /// The cell ran, and this is its answer.
    fn from(error: CellError) -> Self {
        Self::new(error, Outcome::Ran)
    }
}

impl From<BusError> for CellError {
    fn from(error: BusError) -> Self {
        error.into_error()
    }
}

#[cfg(test)]
mod tests;
