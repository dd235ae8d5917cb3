//! A body for the tests: the handshake frame by frame, and then the other end of the protocol.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cbs::{Bytes, Cell, CellName, DynCell, Envelope, Target, frame};
use sidecar::{
    Connection, End, Error, Hold, Notice, Options, Peer, Role, Settings, proto,
    wire::{FRAME_BYTES_MAX, Frames, Kind},
};
use tokio::{net::UnixStream, sync::mpsc, task::JoinSet};

use crate::pair::{LIMIT, Script, settings};

pub(crate) type Fails<T> = Result<T, Box<dyn std::error::Error>>;

pub(crate) const CELL: &str = "demo.cell";

pub(crate) fn welcome() -> proto::Welcome {
    let cell = proto::Cell {
        name: CELL.into(),
        revision: "r1".into(),
        config: Bytes::from_static(br#"{"tea":"green"}"#),
        timeout_ms: 5_000,
        ..proto::Cell::default()
    };
    proto::Welcome {
        protocol: 1,
        body: "body-1".into(),
        namespace: "default".into(),
        cells: vec![cell],
        frame_bytes_max: u32::try_from(FRAME_BYTES_MAX).unwrap(),
        credit: 100_000,
        notes_max: 64,
        ..proto::Welcome::default()
    }
}

/// Receives hello, and answers.
pub(crate) async fn greet(
    stream: UnixStream,
    answer: Kind,
) -> Fails<(Frames<UnixStream>, proto::Hello)> {
    let mut frames = Frames::new(stream, FRAME_BYTES_MAX);
    let first = testkit::within(LIMIT, "hello", frames.read()).await?;
    let Some(Kind::Hello(hello)) = first else {
        return Err(format!("{first:?} instead of hello").into());
    };
    frames.write(answer).await?;
    Ok((frames, hello))
}

/// A body and its sidecar, in one process.
pub(crate) struct World {
    pub(crate) body: Arc<Peer>,
    pub(crate) notices: mpsc::Receiver<(Notice, Hold)>,
    pub(crate) engine: JoinSet<End>,
    pub(crate) sidecar: JoinSet<Result<(), Error>>,
}

/// Serves `cell` to a body that carries calls as `script` says.
pub(crate) async fn world(
    cell: impl Cell,
    script: Arc<Script>,
    notices: mpsc::Receiver<(Notice, Hold)>,
) -> Fails<World> {
    world_with(cell, script, notices, Options::default()).await
}

pub(crate) async fn world_with(
    cell: impl Cell,
    script: Arc<Script>,
    notices: mpsc::Receiver<(Notice, Hold)>,
    options: Options,
) -> Fails<World> {
    world_welcomed(cell, script, notices, options, welcome()).await
}

pub(crate) async fn world_welcomed(
    cell: impl Cell,
    script: Arc<Script>,
    notices: mpsc::Receiver<(Notice, Hold)>,
    options: Options,
    welcome: proto::Welcome,
) -> Fails<World> {
    let (here, there) = UnixStream::pair()?;
    let cells: BTreeMap<CellName, Arc<dyn DynCell>> =
        BTreeMap::from([(CELL.parse()?, Arc::new(cell) as _)]);
    let mut sidecar = JoinSet::new();
    sidecar.spawn(async move {
        let hello = proto::Hello { cells: vec![CELL.into()], ..proto::Hello::default() };
        let connection = Connection::greet(there, hello).await?;
        connection.forward_log();
        connection.serve_with(cells, options).await
    });
    let (frames, hello) = greet(here, Kind::Welcome(welcome)).await?;
    let agreed =
        Settings { credit_granted: 100_000, credit_held: hello.credit, ..settings(Role::Body) };
    let (body, running) = Peer::new(frames, agreed, script);
    let mut engine = JoinSet::new();
    engine.spawn(running);
    Ok(World { body, notices, engine, sidecar })
}

impl World {
    /// Returns the next notice.
    pub(crate) async fn notice(&mut self) -> Fails<Notice> {
        Ok(testkit::within(LIMIT, "something is told", self.notices.recv())
            .await
            .ok_or("nothing more is told")?
            .0)
    }

    pub(crate) async fn ready(&mut self) -> Fails<()> {
        match self.notice().await? {
            Notice::Ready => Ok(()),
            _ => Err("something else than ready".into()),
        }
    }

    /// Calls the cell as a body does.
    pub(crate) async fn call(&self, payload: &'static str) -> Fails<Result<Bytes, cbs::BusError>> {
        Ok(self.send(request(payload)).await?.into_result().map(|reply| reply.payload))
    }

    pub(crate) async fn send(&self, request: Envelope) -> Fails<Envelope> {
        let reply = self.body.request(frame::encode(&request), 0, None);
        Ok(frame::decode(testkit::within(LIMIT, "the reply", reply).await?)?)
    }

    /// Returns the result of serving, and the reason of the end of the body's connection.
    pub(crate) async fn ended(mut self) -> Fails<(Result<(), Error>, End)> {
        let served = testkit::within(LIMIT, "the sidecar's end", self.sidecar.join_next())
            .await
            .ok_or("none")??;
        let end = testkit::within(LIMIT, "the body's end", self.engine.join_next())
            .await
            .ok_or("none")??;
        Ok((served, end))
    }
}

pub(crate) fn request(payload: &'static str) -> Envelope {
    let target = Target::Cell(CELL.parse().unwrap());
    Envelope { timeout: Some(Duration::from_secs(5)), ..Envelope::request(target, payload) }
}
