//! What waits for credit, or for room at the socket: bounded in frames and in bytes.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use tokio::sync::oneshot;

use super::types::CallError;
use crate::wire::Kind;

/// As many requests may wait; the bounds of the cells that send them are far below.
const REQUESTS_MAX: usize = 65_536;
/// As many replies and lines may wait. One side's limit on requests is below.
const OTHERS_MAX: usize = 65_536;
/// As many log lines and notes may wait; others are dropped and counted.
const LOGS_MAX: usize = 1_024;
/// While so many bytes wait, no request and no print may wait besides, and no request of the other
/// side is begun. A reply always may: what ran before was let in below this.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// What waits besides requests, and who waits until it is sent.
pub(super) struct Other {
    pub(super) kind: Kind,
    pub(super) sent: Option<oneshot::Sender<Result<(), CallError>>>,
}

/// The frames that wait, in order: requests by their numbers, everything else as it came.
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
    /// Whether so many bytes wait that nothing may be begun which makes for more.
    pub(super) fn is_jammed(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    pub(super) fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    pub(super) fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    /// Replies that wait: to the other side their requests are unanswered.
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

    /// Nobody waits for this request any more.
    pub(super) fn remove_request(&mut self, id: u64) {
        let removed = self.requests.remove(&id);
        self.bytes -= removed.map_or(0, |kind| kind.encoded_len());
    }

    /// A reply or a print; what tells that it was sent.
    pub(super) fn push(&mut self, kind: Kind) -> Result<oneshot::Receiver<Result<(), CallError>>, CallError> {
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

    /// A log line, or one more that was dropped.
    pub(super) fn push_log(&mut self, kind: Kind) {
        if !self.push_note(kind) {
            self.drop_log();
        }
    }

    /// A note, which nobody waits for either: whether there is room for it.
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

    /// How many lines were dropped and not told of; they count as told from here on.
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

    /// Nothing of this is sent any more; who waits for a line.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = oneshot::Sender<Result<(), CallError>>> + use<> {
        mem::take(self).others.into_iter().filter_map(|other| other.sent)
    }
}
