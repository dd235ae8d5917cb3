//! Sidecars that are processes: a Rust cell, and one in another language that is written after the
//! page alone.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use cbs::{Cell, CellContext, CellError, Code, Envelope, frame};
use sidecar::{
    End, Notice, Peer, Role, SOCKET_VARIABLE, Settings, proto,
    wire::{FRAME_BYTES_MAX, Frames, Kind},
};
use testkit::within;
use tokio::{
    net::UnixListener,
    process::{Child, Command},
    task::JoinSet,
};

use crate::{
    body::{Fails, welcome},
    pair::{LIMIT, Script, settings},
};

/// A body with one process.
struct Started {
    peer: Arc<Peer>,
    notices: tokio::sync::mpsc::Receiver<(Notice, sidecar::Hold)>,
    engine: JoinSet<End>,
    process: Child,
    _folder: tempfile::TempDir,
}

async fn start(cell: &str, program: &Path, arguments: &[&str]) -> Fails<Started> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("body");
    let listener = UnixListener::bind(&socket)?;
    let mut command = Command::new(program);
    command.args(arguments).env(SOCKET_VARIABLE, &socket).stdin(Stdio::null()).kill_on_drop(true);
    let process = command.spawn()?;
    let (stream, _) = within(LIMIT, "the process connects", listener.accept()).await?;
    let mut frames = Frames::new(stream, FRAME_BYTES_MAX);
    let first = within(LIMIT, "hello", frames.read()).await?;
    let Some(Kind::Hello(hello)) = first else {
        return Err(format!("{first:?} instead of hello").into());
    };
    assert_eq!((hello.protocol, &hello.cells[..]), (1, &[cell.to_owned()][..]));
    let mut welcome = welcome();
    welcome.cells.iter_mut().for_each(|wanted| wanted.name = cell.to_owned());
    frames.write(Kind::Welcome(welcome)).await?;
    let agreed =
        Settings { credit_granted: 100_000, credit_held: hello.credit, ..settings(Role::Body) };
    let (script, mut notices) =
        Script::new(|_, request, _| Box::pin(std::future::ready(request.envelope)));
    let (peer, running) = Peer::new(frames, agreed, script);
    let mut engine = JoinSet::new();
    engine.spawn(running);
    let first = within(LIMIT, "ready", notices.recv()).await.ok_or("it ended")?;
    assert!(matches!(first.0, Notice::Ready));
    Ok(Started { peer, notices, engine, process, _folder: folder })
}

impl Started {
    async fn call(&self, cell: &str, payload: &str) -> Fails<Envelope> {
        let request = frame::encode(&Envelope::request(cell.parse()?, payload.to_owned()));
        let reply = within(LIMIT, "a reply", self.peer.request(request, 0, None)).await?;
        Ok(if frame::is_frame(&reply) { frame::decode(reply)? } else { Envelope::reply(reply) })
    }

    async fn drain(mut self) -> Fails<()> {
        self.peer.ping(5);
        let pong = within(LIMIT, "a pong", self.notices.recv()).await.ok_or("it ended")?;
        assert!(matches!(pong.0, Notice::Pong(proto::Pong { nonce: 5, .. })));
        self.peer.drain(LIMIT);
        let end = within(LIMIT, "the end", self.engine.join_next()).await.ok_or("no engine")??;
        assert_eq!(end, End::Goodbye(String::new()));
        let status = within(LIMIT, "the process ends", self.process.wait()).await?;
        assert!(status.success(), "{status}");
        Ok(())
    }
}

struct Echo;

impl Cell for Echo {
    async fn call(&self, _: &CellContext, request: Envelope) -> Result<Envelope, CellError> {
        Ok(Envelope::reply(request.payload))
    }
}

#[test]
#[ignore = "started by a_rust_cell_is_a_process_of_its_own"]
fn echo() -> Result<(), sidecar::Error> {
    sidecar::serve_blocking(vec![cbs::NativeCell::new("demo.echo", Echo)])
}

#[tokio::test]
async fn a_rust_cell_is_a_process_of_its_own() -> Fails<()> {
    let program = std::env::current_exe()?;
    let arguments = ["--ignored", "--exact", "process::echo", "--nocapture"];
    let started = start("demo.echo", &program, &arguments).await?;
    for n in 0..50 {
        assert_eq!(started.call("demo.echo", &n.to_string()).await?.payload, n.to_string());
    }
    started.drain().await
}

#[tokio::test]
async fn a_stranger_that_knows_only_the_page_serves() -> Fails<()> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/sidecars/shout.py");
    let started =
        start("demo.shout", Path::new("python3"), &[&script.display().to_string()]).await?;
    assert_eq!(started.call("demo.shout", "\"hello\"").await?.payload, "\"HELLO!\"");
    let long = "x".repeat(70_000);
    assert_eq!(
        started.call("demo.shout", &format!("\"{long}\"")).await?.payload.len(),
        long.len() + 3
    );
    let error = started.call("demo.shout", "7").await?.into_result().unwrap_err();
    assert_eq!(
        (error.code(), error.error().message.as_str()),
        (&Code::BadRequest, "the input is no JSON string")
    );
    started.drain().await
}

#[test]
fn a_program_that_a_person_starts_says_what_it_is() {
    // This process was not started by a body.
    let error = sidecar::serve_blocking(vec![cbs::NativeCell::new("demo.echo", Echo)]).unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains("runtime: exec") && text.contains(SOCKET_VARIABLE), "{text}");
    let twice =
        vec![cbs::NativeCell::new("demo.echo", Echo), cbs::NativeCell::new("demo.echo", Echo)];
    assert!(matches!(sidecar::serve_blocking(twice), Err(sidecar::Error::Duplicate(_))));
    assert!(matches!(
        sidecar::serve_blocking(vec![cbs::NativeCell::new("Echo", Echo)]),
        Err(sidecar::Error::BadName(_))
    ));
}
