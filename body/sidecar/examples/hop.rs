//! Measures a call from a body to a process of its own and back:
//! `cargo run --release -p sidecar --example hop`.
//!
//! It starts itself as the sidecar. A call is an envelope with a payload of 128 bytes, encoded and
//! decoded on both sides, through a cell that echoes. It prints the median and the range of several
//! rounds.
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::{
    error::Error,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use cbs::{BoxFuture, Bytes, Cell, CellContext, CellError, Envelope, NativeCell, frame};
use futures::{StreamExt, stream::FuturesUnordered};
use sidecar::{
    Hold, Inbound, Notice, PROTOCOL, Peer, Role, SOCKET_VARIABLE, Settings, proto,
    wire::{FRAME_BYTES_MAX, Frames, Kind},
};
use tokio::{net::UnixListener, task::JoinSet};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(700);
const CREDIT: u64 = 4 * 1024 * 1024;

struct Echo;

impl Cell for Echo {
    async fn call(&self, _: &CellContext, request: Envelope) -> Result<Envelope, CellError> {
        Ok(Envelope::reply(request.payload))
    }
}

/// Handler of a body whose process sends no requests.
struct Deaf;

impl Inbound for Deaf {
    fn request(
        &self,
        _: &Arc<Peer>,
        _: proto::Request,
        _: Option<Arc<CellContext>>,
    ) -> BoxFuture<'static, Bytes> {
        Box::pin(std::future::ready(Bytes::new()))
    }
    fn ask(
        &self,
        _: &Arc<Peer>,
        _: proto::Ask,
        _: Option<Arc<CellContext>>,
    ) -> BoxFuture<'static, Bytes> {
        Box::pin(std::future::ready(Bytes::new()))
    }
    fn notify(&self, _: &Arc<Peer>, _: Notice, _: Hold) {}
}

async fn call(peer: &Arc<Peer>, payload: &Bytes) -> Result<(), Box<dyn Error>> {
    let request = Envelope::request("demo.echo".parse()?, payload.clone());
    let reply =
        frame::decode(peer.request(frame::encode(&request), 0, None).await?)?.into_result()?;
    if reply.payload == *payload { Ok(()) } else { Err("not what was sent".into()) }
}

/// Makes the calls of one round, with `under_way` calls at a time.
async fn round(peer: &Arc<Peer>, payload: &Bytes, under_way: usize) -> Result<f64, Box<dyn Error>> {
    let mut calls: FuturesUnordered<_> = (0..under_way).map(|_| call(peer, payload)).collect();
    let started = Instant::now();
    let mut done = 0u32;
    while started.elapsed() < ROUND {
        calls.next().await.ok_or("no calls")??;
        done += 1;
        calls.push(call(peer, payload));
    }
    let rate = f64::from(done) / started.elapsed().as_secs_f64();
    while let Some(answer) = calls.next().await {
        answer?;
    }
    Ok(rate)
}

/// The sidecar's process, which is killed with the body.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn greet(
    listener: UnixListener,
    engines: &mut JoinSet<sidecar::End>,
) -> Result<Arc<Peer>, Box<dyn Error>> {
    let (stream, _) = listener.accept().await?;
    let mut frames = Frames::new(stream, FRAME_BYTES_MAX);
    let Some(Kind::Hello(hello)) = frames.read().await? else { return Err("no hello".into()) };
    let cell =
        proto::Cell { name: "demo.echo".into(), timeout_ms: 5_000, ..proto::Cell::default() };
    let frame_bytes_max = u32::try_from(FRAME_BYTES_MAX)?;
    frames
        .write(Kind::Welcome(proto::Welcome {
            protocol: PROTOCOL,
            body: "body-1".into(),
            cells: vec![cell],
            frame_bytes_max,
            credit: CREDIT,
            ..proto::Welcome::default()
        }))
        .await?;
    let Some(Kind::Ready(_)) = frames.read().await? else { return Err("not ready".into()) };
    let settings = Settings {
        side: Role::Body,
        frame_bytes_max: FRAME_BYTES_MAX,
        credit_granted: CREDIT,
        credit_held: hello.credit,
        accepted_max: 0,
        sent_max: 0,
    };
    let (peer, engine) = Peer::new(frames, settings, Arc::new(Deaf));
    engines.spawn(engine);
    Ok(peer)
}

async fn measure() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("body");
    let listener = UnixListener::bind(&socket)?;
    let mut command = Command::new(std::env::current_exe()?);
    let _sidecar = Started(command.env(SOCKET_VARIABLE, &socket).stdin(Stdio::null()).spawn()?);
    let mut engines = JoinSet::new();
    let peer = greet(listener, &mut engines).await?;
    let payload = Bytes::from(vec![b'x'; 128]);
    for under_way in [1, 64] {
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            rates.push(Box::pin(round(&peer, &payload, under_way)).await?);
        }
        rates.sort_by(f64::total_cmp);
        let (low, median, high) = match rates.as_slice() {
            [low, .., high] => (*low, rates.get(rates.len() / 2).copied().unwrap_or(*low), *high),
            _ => return Err("too few rounds".into()),
        };
        println!(
            "n={under_way:<3} {median:>9.0} calls/s ({low:.0} to {high:.0}), {:.1} µs a call",
            1e6 / median * f64::from(u32::try_from(under_way)?)
        );
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::var_os(SOCKET_VARIABLE).is_some() {
        return Ok(sidecar::serve_blocking(vec![NativeCell::new("demo.echo", Echo)])?);
    }
    let measured: Result<(), String> =
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
            // The calls run on a worker of the runtime, as in a body.
            let mut measuring = JoinSet::new();
            measuring.spawn(async { measure().await.map_err(|error| error.to_string()) });
            let measured =
                measuring.join_next().await.map(|joined| joined.map_err(|error| error.to_string()));
            measured.unwrap_or_else(|| Err("nothing was measured".to_owned()))?
        });
    Ok(measured?)
}
