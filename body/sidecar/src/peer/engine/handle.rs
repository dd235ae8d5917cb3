//! The handling of each kind of frame of the other side.

use std::{
    collections::hash_map::Entry,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use cbs::{BoxFuture, CellError, Code};
use futures::{
    FutureExt,
    future::{AbortHandle, Abortable},
};

use super::{ACCEPTED_MAX, Engine, Running, Stop};
use crate::{
    peer::{
        Hold, Peer,
        errors::{error, overloaded},
        types::{CallError, End, Inbound, Notice, Role},
    },
    proto,
    wire::{Kind, name},
};

fn breach<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Breach(reason.into()))
}

impl<S> Engine<S> {
    pub(super) fn handle(
        &mut self,
        kind: Kind,
        cost: u64,
        cx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        match (kind, self.settings.side) {
            (Kind::Request(request), _) => {
                self.take(cost)?;
                self.number(request.id)?;
                let context = self.peer.state().context(request.within);
                let id = request.id;
                self.run(id, cx, |inbound, peer| inbound.request(peer, request, context));
                self.peer.give_back(cost);
            }
            (Kind::Ask(ask), Role::Body) => {
                self.take(cost)?;
                self.number(ask.id)?;
                let context = self.peer.state().context(ask.within);
                let id = ask.id;
                self.run(id, cx, |inbound, peer| inbound.ask(peer, ask, context));
                self.peer.give_back(cost);
            }
            (Kind::Reply(reply), _) => {
                self.take(cost)?;
                let Some(caller) = self.peer.state().answered(reply.id) else {
                    return breach(format!(
                        "a reply to {}, which is no request without a reply",
                        reply.id
                    ));
                };
                // A caller that has gone gets nothing.
                let _ = caller.send(Ok(reply.envelope));
                self.peer.give_back(cost);
            }
            (Kind::Cancel(proto::Cancel { id }), _) => {
                if id == 0 || id > self.last_id {
                    return breach(format!("a cancel of {id}, which is no request"));
                }
                if let Some(handle) = self.cancel.get(&id) {
                    handle.abort();
                }
            }
            (Kind::Credit(credit), _) => self.peer.state().credit(credit.bytes),
            (Kind::Goodbye(goodbye), _) => return Err(Stop::End(End::Goodbye(goodbye.reason))),
            (Kind::Hello(_), _) => return breach("hello twice"),
            (Kind::Welcome(_), _) => return breach("welcome twice"),
            (kind, _) => return self.receive(kind, cost),
        }
        Ok(())
    }

    /// Handles the kinds that only one side sends, and that need no answer.
    fn receive(&mut self, kind: Kind, cost: u64) -> Result<(), Stop> {
        let costs = matches!(kind, Kind::Print(_) | Kind::Log(_) | Kind::Note(_));
        if costs {
            self.take(cost)?;
        }
        let notice = match (kind, self.settings.side) {
            (Kind::Print(print), Role::Body) => {
                let context = self.peer.state().context(print.within);
                Notice::Print(print, context)
            }
            (Kind::Log(log), Role::Body) => {
                let context = self.peer.state().context(log.within);
                Notice::Log(log, context)
            }
            (Kind::Note(note), Role::Body) => {
                let context = self.peer.state().context(note.within);
                Notice::Note(note, context)
            }
            (Kind::Ready(_), Role::Body) if self.ready => return breach("ready twice"),
            (Kind::Ready(_), Role::Body) => {
                self.ready = true;
                Notice::Ready
            }
            (Kind::Pong(pong), Role::Body) => Notice::Pong(pong),
            (Kind::Ping(ping), Role::Sidecar) => Notice::Ping(ping),
            (Kind::Drain(drain), Role::Sidecar) => {
                Notice::Drain(Duration::from_millis(drain.timeout_ms))
            }
            (kind, _) => return breach(format!("{} from the wrong side", name(&kind))),
        };
        let hold = Hold { peer: self.peer.clone(), cost: if costs { cost } else { 0 } };
        self.inbound.notify(&self.peer, notice, hold);
        Ok(())
    }

    fn take(&self, cost: u64) -> Result<(), Stop> {
        if self.peer.state().window.take(cost) {
            return Ok(());
        }
        breach(format!(
            "a frame of {cost} bytes was sent without credit: wait for credit when it is 0 or less"
        ))
    }

    fn number(&mut self, id: u64) -> Result<(), Stop> {
        if id <= self.last_id {
            return breach(format!(
                "request {id} after {}: numbers only grow, from 1",
                self.last_id
            ));
        }
        self.last_id = id;
        Ok(())
    }

    /// Begins to answer a request. It is answered at once if that is possible.
    fn run(
        &mut self,
        id: u64,
        cx: &mut Context<'_>,
        begin: impl FnOnce(&dyn Inbound, &Arc<Peer>) -> BoxFuture<'static, Bytes>,
    ) {
        let max =
            if self.settings.accepted_max == 0 { ACCEPTED_MAX } else { self.settings.accepted_max };
        if !self.peer.state().may_begin(self.cancel.len(), max) {
            return self.reply(id, overloaded());
        }
        let mut work = begin(&*self.inbound, &self.peer);
        if let Poll::Ready(answer) = work.poll_unpin(cx) {
            return self.reply(id, answer);
        }
        if let Entry::Vacant(place) = self.cancel.entry(id) {
            let (handle, registration) = AbortHandle::new_pair();
            place.insert(handle);
            self.running.push(Running { id, work: Abortable::new(work, registration) });
            self.peer.set_accepted(self.cancel.len());
        }
    }

    pub(super) fn reply(&self, id: u64, envelope: Bytes) {
        let mut state = self.peer.state();
        let reply = |envelope| Kind::Reply(proto::Reply { id, envelope });
        let failure = match state.send(reply(envelope)) {
            Ok(_) | Err(CallError::Ended { .. }) => return,
            Err(CallError::TooLarge { bytes, limit }) => {
                let message = format!("the reply has {bytes} bytes, the limit is {limit}");
                CellError::new(Code::TooLarge, message)
            }
            Err(CallError::Full { waiting }) => {
                let message = format!("{waiting} replies wait to be taken already");
                CellError::new(Code::Overloaded, message)
            }
        };
        if let Err(CallError::Full { .. }) = state.send(reply(error(failure.into()))) {
            state.overrun();
        }
    }
}
