//! The replies that the engine itself sends in place of a cell.

use bytes::Bytes;
use cbs::{BusError, CellError, Code, Envelope, Outcome, frame};

pub(super) fn error(error: BusError) -> Bytes {
    frame::encode(&Envelope::error(error.shortened()))
}

/// Returns the reply to a cancelled request. Its caller has gone, so it is not read.
pub(super) fn given_up() -> Bytes {
    let message = "the caller gave up";
    error(BusError::new(CellError::new(Code::Timeout, message), Outcome::Unknown))
}

pub(super) fn overloaded() -> Bytes {
    let message =
        "too many requests are unanswered here: the limit is reached, try again a little later";
    error(BusError::new(CellError::new(Code::Overloaded, message).retryable(), Outcome::NotRun))
}
