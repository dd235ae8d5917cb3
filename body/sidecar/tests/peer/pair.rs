//! Both ends on a real socket, and one end against a scripted peer.

use std::{sync::Arc, time::Duration};

use cbs::{BoxFuture, Bytes, CellContext};
use sidecar::{
    End, Hold, Inbound, Notice, Peer, Role, Settings, proto,
    wire::{FRAME_BYTES_MAX, Frames, Kind},
};
use tokio::{net::UnixStream, sync::mpsc, task::JoinSet};

pub(crate) type Checked = Result<(), Box<dyn std::error::Error>>;
/// Limit of the time for anything here.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

type Answer = Box<
    dyn Fn(&Arc<Peer>, proto::Request, Option<Arc<CellContext>>) -> BoxFuture<'static, Bytes>
        + Send
        + Sync,
>;

/// Handler that answers as a test says, and hands on the notices.
pub(crate) struct Script {
    answer: Answer,
    notices: mpsc::Sender<(Notice, Hold)>,
}

impl Script {
    pub(crate) fn new(
        answer: impl Fn(
            &Arc<Peer>,
            proto::Request,
            Option<Arc<CellContext>>,
        ) -> BoxFuture<'static, Bytes>
        + Send
        + Sync
        + 'static,
    ) -> (Arc<Self>, mpsc::Receiver<(Notice, Hold)>) {
        let (notices, received) = mpsc::channel(100_000);
        (Arc::new(Self { answer: Box::new(answer), notices }), received)
    }

    /// Returns a handler that echoes at once.
    pub(crate) fn echo() -> Arc<Self> {
        Self::new(|_, request, _| Box::pin(async move { request.envelope })).0
    }

    /// Returns a handler that never answers.
    pub(crate) fn hang() -> Arc<Self> {
        Self::new(|_, _, _| Box::pin(std::future::pending())).0
    }
}

impl Inbound for Script {
    fn request(
        &self,
        peer: &Arc<Peer>,
        request: proto::Request,
        context: Option<Arc<CellContext>>,
    ) -> BoxFuture<'static, Bytes> {
        (self.answer)(peer, request, context)
    }

    fn ask(
        &self,
        _: &Arc<Peer>,
        ask: proto::Ask,
        _: Option<Arc<CellContext>>,
    ) -> BoxFuture<'static, Bytes> {
        Box::pin(async move { format!("\"no idea: {}\"", ask.question).into() })
    }

    fn notify(&self, _: &Arc<Peer>, notice: Notice, hold: Hold) {
        // If a test does not receive notices, they are dropped.
        let _ = self.notices.try_send((notice, hold));
    }
}

/// Returns settings without any limits.
pub(crate) fn settings(side: Role) -> Settings {
    Settings {
        side,
        frame_bytes_max: FRAME_BYTES_MAX,
        credit_granted: 0,
        credit_held: 0,
        accepted_max: 0,
        sent_max: 0,
    }
}

/// Returns the same settings for the other end.
pub(crate) fn mirrored(settings: &Settings) -> Settings {
    Settings {
        side: if settings.side == Role::Body { Role::Sidecar } else { Role::Body },
        frame_bytes_max: settings.frame_bytes_max,
        credit_granted: settings.credit_held,
        credit_held: settings.credit_granted,
        accepted_max: settings.sent_max,
        sent_max: settings.accepted_max,
    }
}

/// Two ends that are connected. Their engines end with it.
pub(crate) struct Pair {
    pub(crate) body: Arc<Peer>,
    pub(crate) sidecar: Arc<Peer>,
    pub(crate) engines: JoinSet<(Role, End)>,
}

pub(crate) fn pair(
    body: Settings,
    in_body: Arc<dyn Inbound>,
    in_sidecar: Arc<dyn Inbound>,
) -> std::io::Result<Pair> {
    let (here, there) = UnixStream::pair()?;
    let sidecar = mirrored(&body);
    let (body, body_engine) = Peer::new(Frames::new(here, FRAME_BYTES_MAX), body, in_body);
    let (sidecar, sidecar_engine) =
        Peer::new(Frames::new(there, FRAME_BYTES_MAX), sidecar, in_sidecar);
    let mut engines = JoinSet::new();
    engines.spawn(async move { (Role::Body, body_engine.await) });
    engines.spawn(async move { (Role::Sidecar, sidecar_engine.await) });
    Ok(Pair { body, sidecar, engines })
}

/// One end, and a peer that writes and reads frames directly.
pub(crate) struct Stranger {
    pub(crate) peer: Arc<Peer>,
    pub(crate) frames: Frames<UnixStream>,
    pub(crate) engine: JoinSet<End>,
}

pub(crate) fn stranger(settings: Settings, inbound: Arc<dyn Inbound>) -> std::io::Result<Stranger> {
    let (here, there) = UnixStream::pair()?;
    let (peer, running) = Peer::new(Frames::new(here, 64 * 1024), settings, inbound);
    let mut engine = JoinSet::new();
    engine.spawn(running);
    Ok(Stranger { peer, frames: Frames::new(there, FRAME_BYTES_MAX), engine })
}

impl Stranger {
    pub(crate) async fn say(&mut self, kind: Kind) -> Checked {
        Ok(testkit::within(LIMIT, "a frame is taken", self.frames.write(kind)).await?)
    }

    pub(crate) async fn receive(&mut self) -> Result<Kind, Box<dyn std::error::Error>> {
        let kind = testkit::within(LIMIT, "a frame comes", self.frames.read()).await?;
        kind.ok_or_else(|| "the connection ended".into())
    }

    /// Returns the end, and the reason of the goodbye that came before the socket's end.
    pub(crate) async fn goodbye(mut self) -> Result<(End, String), Box<dyn std::error::Error>> {
        let mut last = None;
        while let Some(kind) =
            testkit::within(LIMIT, "the last frame comes", self.frames.read()).await?
        {
            last = Some(kind);
        }
        let end = self.engine.join_next().await.ok_or("no engine")??;
        match last {
            Some(Kind::Goodbye(goodbye)) => Ok((end, goodbye.reason)),
            other => Err(format!("the last frame is {other:?}").into()),
        }
    }
}

pub(crate) fn request(id: u64, envelope: impl Into<Bytes>) -> Kind {
    Kind::Request(proto::Request { id, envelope: envelope.into(), within: 0 })
}

pub(crate) fn reply(id: u64, envelope: impl Into<Bytes>) -> Kind {
    Kind::Reply(proto::Reply { id, envelope: envelope.into() })
}
