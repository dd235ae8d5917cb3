//! What the engine itself says in place of a cell.

use bytes::Bytes;
use cbs::{BusError, CellError, Code, Envelope, Outcome, frame};

pub(super) fn error(error: BusError) -> Bytes {
    frame::encode(&Envelope::error(error))
}

/// Nobody reads this: its caller has gone.
pub(super) fn given_up() -> Bytes {
    let message = "the caller gave up";
    error(BusError::new(CellError::new(Code::Timeout, message), Outcome::Unknown))
}

pub(super) fn overloaded(max: usize) -> Bytes {
    let message = format!("{max} requests run here already, there is no room for another now");
    error(BusError::new(CellError::new(Code::Overloaded, message).retryable(), Outcome::NotRun))
}
