//! The frames to be sent, the frames that wait, and the requests under way. All of it is behind one
//! lock that is held for a moment: nothing in here waits.

use std::{collections::HashMap, sync::Arc, time::Instant};

use bytes::Bytes;
use cbs::CellContext;
use tokio::sync::oneshot;

use super::{
    backlog::{Backlog, Other},
    credit::{ReceiveCredit, SendCredit},
    types::{Abandoned, CallError, End, Settings},
};
use crate::{
    proto,
    wire::{self, Kind},
};

/// Size of the outbox, in bytes, beyond which frames wait as they wait for credit. If credit has no
/// limit, this is the limit.
const OUTBOX_BYTES: usize = 1024 * 1024;
/// Number of bytes beyond that for frames which only answer the other side's own frames (credit,
/// pongs, cancels). A side that causes more of them and reads none is ended.
const OUTBOX_BYTES_BEYOND: usize = 4 * 1024 * 1024;

pub(super) type Answer = Result<Bytes, CallError>;

/// A request of this side that has no reply yet.
pub(super) struct Pending {
    reply: oneshot::Sender<Answer>,
    context: Option<Arc<CellContext>>,
    sent: bool,
    abandoned: Option<Instant>,
}

pub(super) struct State {
    /// Frames on their way to the socket.
    pub(super) outbox: Vec<u8>,
    pub(super) window: ReceiveCredit,
    /// The reason of this side's goodbye. After it this side sends nothing more.
    pub(super) goodbye: Option<String>,
    send_credit: SendCredit,
    settings: Settings,
    backlog: Backlog,
    /// Set if a reply could not be sent and could not even wait.
    overrun: bool,
    pending: HashMap<u64, Pending>,
    /// Number of pending requests that have been sent.
    unanswered: usize,
    last_id: u64,
    end: Option<End>,
}

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            outbox: Vec::new(),
            window: ReceiveCredit::new(settings.credit_granted),
            goodbye: None,
            send_credit: SendCredit::new(settings.credit_held),
            settings,
            backlog: Backlog::default(),
            overrun: false,
            pending: HashMap::new(),
            unanswered: 0,
            last_id: 0,
            end: None,
        }
    }

    pub(super) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Returns the error for a new frame if this side may not send any more.
    fn closed(&self) -> Option<CallError> {
        let end = match (&self.end, &self.goodbye) {
            (Some(end), _) => end.clone(),
            (None, Some(reason)) => End::Ours(reason.clone()),
            (None, None) => return None,
        };
        Some(CallError::Ended { end, sent: false })
    }

    /// True if a frame that costs credit may be put into the outbox now.
    fn has_room(&self) -> bool {
        self.send_credit.may_send() && self.outbox.len() < OUTBOX_BYTES
    }

    fn may_request(&self) -> bool {
        self.has_room() && (self.settings.sent_max == 0 || self.unanswered < self.settings.sent_max)
    }

    fn put(&mut self, kind: &Kind) {
        let cost = wire::put(kind, &mut self.outbox);
        self.send_credit.spend(cost);
    }

    fn fits(&self, kind: &Kind) -> Result<(), CallError> {
        let bytes = kind.encoded_len();
        let limit = self.settings.frame_bytes_max;
        if bytes <= limit { Ok(()) } else { Err(CallError::TooLarge { bytes, limit }) }
    }

    /// Begins a request or a question. `make` gets its number.
    pub(super) fn request(
        &mut self,
        context: Option<Arc<CellContext>>,
        make: impl FnOnce(u64) -> Kind,
    ) -> Result<(u64, oneshot::Receiver<Answer>), CallError> {
        if let Some(closed) = self.closed() {
            return Err(closed);
        }
        let id = self.last_id + 1;
        let kind = make(id);
        self.fits(&kind)?;
        let sent = !self.backlog.has_requests() && self.may_request();
        if !sent {
            self.backlog.check_request()?;
        }
        self.last_id = id;
        let (reply, receiver) = oneshot::channel();
        self.pending.insert(id, Pending { reply, context, sent, abandoned: None });
        if sent {
            self.unanswered += 1;
            self.put(&kind);
        } else {
            self.backlog.push_request(id, kind);
        }
        Ok((id, receiver))
    }

    /// Abandons a request whose caller has gone. A request that was sent is cancelled, and stays
    /// pending until its reply comes. A request that still waits is taken back.
    pub(super) fn abandon(&mut self, id: u64) {
        match self.pending.get_mut(&id) {
            Some(pending) if pending.sent => {
                pending.abandoned = Some(Instant::now());
                self.notify(&Kind::Cancel(proto::Cancel { id }));
            }
            Some(_) => {
                self.pending.remove(&id);
                self.backlog.remove_request(id);
            }
            None => {}
        }
    }

    /// Returns the channel of the caller that waits for this reply; `None` if the number belongs to
    /// no request that was sent and not answered.
    pub(super) fn answered(&mut self, id: u64) -> Option<oneshot::Sender<Answer>> {
        if !self.pending.get(&id)?.sent {
            return None;
        }
        let pending = self.pending.remove(&id)?;
        self.unanswered -= 1;
        // The next request may wait for the capacity that is free now.
        self.pump();
        Some(pending.reply)
    }

    pub(super) fn context(&self, within: u64) -> Option<Arc<CellContext>> {
        if within == 0 { None } else { self.pending.get(&within)?.context.clone() }
    }

    /// Sends a frame that costs no credit and does not wait.
    pub(super) fn notify(&mut self, kind: &Kind) {
        if self.closed().is_none() {
            wire::put(kind, &mut self.outbox);
        }
    }

    /// Sends a reply or a line, or lets it wait. Returns a channel if it waits.
    pub(super) fn send(
        &mut self,
        kind: Kind,
    ) -> Result<Option<oneshot::Receiver<Result<(), CallError>>>, CallError> {
        if let Some(closed) = self.closed() {
            return Err(closed);
        }
        self.fits(&kind)?;
        if !self.backlog.has_others() && self.has_room() {
            self.put(&kind);
            return Ok(None);
        }
        self.backlog.push(kind).map(Some)
    }

    /// True if another request of the other side may be begun while `running` requests run. A
    /// request whose reply waits still counts.
    pub(super) fn may_begin(&self, running: usize, max: usize) -> bool {
        running + self.backlog.replies() < max && !self.backlog.is_jammed()
    }

    /// Records that a reply could not even wait, nor an error in its place.
    pub(super) fn overrun(&mut self) {
        self.overrun = true;
    }

    pub(super) fn log(&mut self, line: proto::Log) {
        if self.closed().is_some() {
            return;
        }
        let kind = Kind::Log(line);
        if self.fits(&kind).is_err() {
            self.backlog.drop_log();
        } else if !self.backlog.has_others() && self.has_room() {
            self.tell_dropped();
            self.put(&kind);
        } else {
            self.backlog.push_log(kind);
        }
    }

    /// Sends a note, or lets it wait for credit. Returns `false` if it does not fit.
    pub(super) fn note(&mut self, note: proto::Note) -> bool {
        let kind = Kind::Note(note);
        if self.closed().is_some() || self.fits(&kind).is_err() {
            return false;
        }
        if self.backlog.has_others() || !self.has_room() {
            return self.backlog.push_note(kind);
        }
        self.put(&kind);
        true
    }

    /// Puts a line into the outbox that reports the number of dropped lines, if there are any.
    fn tell_dropped(&mut self) {
        let dropped = self.backlog.take_dropped();
        if dropped > 0 {
            let message = format!(
                "{dropped} lines of this process were dropped: they came faster than the body took them"
            );
            self.put(&Kind::Log(proto::Log {
                level: proto::Level::Warn.into(),
                message,
                ..proto::Log::default()
            }));
        }
    }

    /// Puts all waiting frames into the outbox that may be sent now.
    pub(super) fn pump(&mut self) {
        while self.has_room() {
            let Some(Other { kind, sent }) = self.backlog.pop() else { break };
            match kind {
                Kind::Log(_) => self.tell_dropped(),
                // The caller that wanted it printed has gone.
                Kind::Print(_) if sent.as_ref().is_some_and(oneshot::Sender::is_closed) => continue,
                _ => {}
            }
            self.put(&kind);
            // The receiver may have gone.
            sent.map(|sent| sent.send(Ok(())));
        }
        while self.may_request() {
            let Some((id, kind)) = self.backlog.pop_request() else { break };
            if let Some(pending) = self.pending.get_mut(&id) {
                pending.sent = true;
                self.unanswered += 1;
                self.put(&kind);
            }
        }
    }

    pub(super) fn credit_left(&self) -> Option<u64> {
        self.send_credit.left()
    }

    pub(super) fn credit(&mut self, bytes: u64) {
        self.send_credit.earn(bytes);
        self.pump();
    }

    /// Gives the other side its credit for a frame back after the frame was handed on.
    pub(super) fn give_back(&mut self, cost: u64) -> bool {
        let portion = self.window.give_back(cost);
        if let Some(bytes) = portion {
            self.notify(&Kind::Credit(proto::Credit { bytes }));
        }
        portion.is_some()
    }

    /// True if the other side causes more frames than it reads.
    pub(super) fn is_flooded(&self) -> bool {
        self.overrun
            || self.outbox.len()
                > OUTBOX_BYTES + self.settings.frame_bytes_max + OUTBOX_BYTES_BEYOND
    }

    /// True if all frames that must be sent before goodbye are in the outbox.
    pub(super) fn may_part(&self) -> bool {
        !self.backlog.has_others()
    }

    /// Sends goodbye, the last frame of all.
    pub(super) fn part(&mut self, reason: String) {
        wire::put(&Kind::Goodbye(proto::Goodbye { reason }), &mut self.outbox);
    }

    /// Ends the connection: every request that waits fails with the reason, and the outbox is
    /// dropped.
    pub(super) fn finish(&mut self, end: &End) {
        self.fail(end);
        self.outbox = Vec::new();
    }

    /// Lets every request and line that waits fail with the reason. Only the first call counts.
    pub(super) fn fail(&mut self, end: &End) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(end.clone());
        for sent in self.backlog.clear() {
            // The receiver may have gone.
            let _ = sent.send(Err(CallError::Ended { end: end.clone(), sent: false }));
        }
        for (_, pending) in self.pending.drain() {
            // The receiver may have gone.
            let _ =
                pending.reply.send(Err(CallError::Ended { end: end.clone(), sent: pending.sent }));
        }
    }

    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    pub(super) fn abandoned(&self) -> Abandoned {
        let since = self.pending.values().filter_map(|pending| pending.abandoned);
        since.fold(Abandoned::default(), |found, since| Abandoned {
            count: found.count + 1,
            since: Some(found.since.map_or(since, |oldest| oldest.min(since))),
        })
    }
}
