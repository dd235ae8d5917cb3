//! The frames that wait for credit, or for space at the socket: bounded in frames and in bytes.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use tokio::sync::oneshot;

use super::types::CallError;
use crate::wire::Kind;

/// Limit of the requests that may wait. The limits of the cells that send them are far below.
const REQUESTS_MAX: usize = 65_536;
/// Limit of the replies and lines that may wait. One side's limit on requests is below it.
const OTHERS_MAX: usize = 65_536;
/// Limit of the log lines and notes that may wait. Others are dropped and counted.
const LOGS_MAX: usize = 1_024;
/// Limit of the bytes that may wait. Beyond it no request and no print may wait, and no request of
/// the other side is begun. A reply may always wait: its request was begun below this limit.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// A frame that waits and is no request, and the channel for its result.
pub(super) struct Other {
    pub(super) kind: Kind,
    pub(super) sent: Option<oneshot::Sender<Result<(), CallError>>>,
}

/// The frames that wait, in order: requests by their numbers, others as they came.
#[derive(Default)]
pub(super) struct Backlog {
    requests: BTreeMap<u64, Kind>,
    others: VecDeque<Other>,
    replies: usize,
    logs: usize,
    logs_dropped: u64,
    bytes: usize,
}

impl Backlog {
    /// True if so many bytes wait that no new work may begin.
    pub(super) fn is_jammed(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    pub(super) fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    pub(super) fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    /// Returns the number of replies that wait. For the other side their requests are unanswered.
    pub(super) fn replies(&self) -> usize {
        self.replies
    }

    pub(super) fn check_request(&self) -> Result<(), CallError> {
        if self.is_jammed() || self.requests.len() >= REQUESTS_MAX {
            return Err(CallError::Full { waiting: self.requests.len() + self.others.len() });
        }
        Ok(())
    }

    pub(super) fn push_request(&mut self, id: u64, kind: Kind) {
        self.bytes += kind.encoded_len();
        self.requests.insert(id, kind);
    }

    pub(super) fn pop_request(&mut self) -> Option<(u64, Kind)> {
        let (id, kind) = self.requests.pop_first()?;
        self.bytes -= kind.encoded_len();
        Some((id, kind))
    }

    /// Removes a request that no caller waits for any more.
    pub(super) fn remove_request(&mut self, id: u64) {
        let removed = self.requests.remove(&id);
        self.bytes -= removed.map_or(0, |kind| kind.encoded_len());
    }

    /// Adds a reply or a print. Returns the channel that reports when it has been sent.
    pub(super) fn push(
        &mut self,
        kind: Kind,
    ) -> Result<oneshot::Receiver<Result<(), CallError>>, CallError> {
        let is_reply = matches!(kind, Kind::Reply(_));
        if self.others.len() >= OTHERS_MAX || (self.is_jammed() && !is_reply) {
            return Err(CallError::Full { waiting: self.others.len() });
        }
        let (sent, receiver) = oneshot::channel();
        self.replies += usize::from(is_reply);
        self.bytes += kind.encoded_len();
        self.others.push_back(Other { kind, sent: Some(sent) });
        Ok(receiver)
    }

    /// Adds a log line, or counts it as dropped.
    pub(super) fn push_log(&mut self, kind: Kind) {
        if !self.push_note(kind) {
            self.drop_log();
        }
    }

    /// Adds a note, which no caller waits for either. Returns `false` if it does not fit.
    pub(super) fn push_note(&mut self, kind: Kind) -> bool {
        let has_room = self.logs < LOGS_MAX && !self.is_jammed();
        if has_room {
            self.logs += 1;
            self.bytes += kind.encoded_len();
            self.others.push_back(Other { kind, sent: None });
        }
        has_room
    }

    pub(super) fn drop_log(&mut self) {
        self.logs_dropped += 1;
    }

    /// Returns the number of dropped lines that no line has reported yet, and begins again at 0.
    pub(super) fn take_dropped(&mut self) -> u64 {
        mem::take(&mut self.logs_dropped)
    }

    pub(super) fn pop(&mut self) -> Option<Other> {
        let other = self.others.pop_front()?;
        self.bytes -= other.kind.encoded_len();
        self.replies -= usize::from(matches!(other.kind, Kind::Reply(_)));
        self.logs -= usize::from(matches!(other.kind, Kind::Log(_) | Kind::Note(_)));
        Some(other)
    }

    /// Drops all frames, and returns the channels of the callers that wait for a reply or a print
    /// to be sent.
    pub(super) fn clear(
        &mut self,
    ) -> impl Iterator<Item = oneshot::Sender<Result<(), CallError>>> + use<> {
        mem::take(self).others.into_iter().filter_map(|other| other.sent)
    }
}
