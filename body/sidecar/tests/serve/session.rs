//! From hello to goodbye.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cbs::{Cell, CellContext, CellEnv, CellError, CellName, DynCell, Envelope, frame};
use sidecar::{Connection, End, Error, Options, proto, wire::Kind};
use testkit::within;
use tokio::{io::AsyncReadExt, net::UnixStream, sync::Semaphore};

use crate::{
    body::{CELL, Fails, greet, request, welcome, world, world_with},
    pair::{LIMIT, Script},
};

/// A cell that waits for a permit, and counts its hooks.
#[derive(Clone)]
struct Waiter {
    permits: Arc<Semaphore>,
    started: Arc<AtomicUsize>,
    stopped: Arc<AtomicUsize>,
    start: Result<(), CellError>,
}

impl Waiter {
    fn new() -> Self {
        let permits = Arc::new(Semaphore::new(0));
        Self { permits, started: Arc::default(), stopped: Arc::default(), start: Ok(()) }
    }
}

impl Cell for Waiter {
    async fn call(&self, _: &CellContext, request: Envelope) -> Result<Envelope, CellError> {
        self.permits.acquire().await.unwrap().forget();
        Ok(Envelope::reply(request.payload))
    }

    async fn start(&self, env: &CellEnv) -> Result<(), CellError> {
        self.started.fetch_add(1, Ordering::SeqCst);
        env.console.print("starting".into()).await?;
        self.start.clone()
    }

    async fn stop(&self) {
        self.stopped.fetch_add(1, Ordering::SeqCst);
    }
}

fn quiet() -> (Arc<Script>, tokio::sync::mpsc::Receiver<(sidecar::Notice, sidecar::Hold)>) {
    Script::new(|_, request, _| Box::pin(std::future::ready(request.envelope)))
}

fn hello() -> proto::Hello {
    proto::Hello { cells: vec![CELL.into()], ..proto::Hello::default() }
}

fn cells() -> BTreeMap<CellName, Arc<dyn DynCell>> {
    BTreeMap::from([(CELL.parse().unwrap(), Arc::new(Waiter::new()) as _)])
}

#[tokio::test]
async fn side_5_hello_is_said_first_and_nothing_more_before_welcome() -> Fails<()> {
    let (mut here, there) = UnixStream::pair()?;
    let mut connecting = tokio::task::JoinSet::new();
    connecting.spawn(Connection::greet(there, hello()));
    let length = within(LIMIT, "a length", here.read_u32()).await?;
    let mut frame = vec![0; length as usize];
    within(LIMIT, "a frame", here.read_exact(&mut frame)).await?;
    assert_eq!(frame[0], 1 << 3 | 2, "hello");
    assert!(
        here.try_read(&mut [0; 1])
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    );
    Ok(())
}

#[tokio::test]
async fn side_6_what_makes_it_impossible_to_go_on_is_said_in_goodbye() -> Fails<()> {
    let (here, there) = UnixStream::pair()?;
    let mut wrong = welcome();
    wrong.cells[0].name = "other.cell".into();
    let serve = async {
        Connection::greet(there, hello()).await?.serve_with(cells(), Options::default()).await
    };
    let body = async {
        let (mut frames, _) = greet(here, Kind::Welcome(wrong)).await?;
        Ok::<_, Box<dyn std::error::Error>>(frames.read().await?)
    };
    let (served, last) = within(LIMIT, "the end", async { tokio::join!(serve, body) }).await;
    let reason = "the body wants the cell `other.cell`, this program has `demo.cell`";
    assert_eq!(served.unwrap_err().to_string(), reason);
    assert_eq!(last?, Some(Kind::Goodbye(proto::Goodbye { reason: reason.into() })));

    let (here, there) = UnixStream::pair()?;
    let other = Kind::Welcome(proto::Welcome { protocol: 2, ..welcome() });
    let body = async {
        let (mut frames, _) = greet(here, other).await?;
        Ok::<_, Box<dyn std::error::Error>>(frames.read().await?)
    };
    let (greeted, last) =
        within(LIMIT, "the end", async { tokio::join!(Connection::greet(there, hello()), body) })
            .await;
    let error = greeted.err().ok_or("another version was taken")?;
    assert!(matches!(error, Error::Version(2)), "{error}");
    assert_eq!(last?, Some(Kind::Goodbye(proto::Goodbye { reason: error.to_string() })));

    let (here, there) = UnixStream::pair()?;
    let refused = greet(here, Kind::Goodbye(proto::Goodbye { reason: "no room".into() }));
    let (greeted, _) = within(LIMIT, "the end", async {
        tokio::join!(Connection::greet(there, hello()), refused)
    })
    .await;
    assert!(greeted.err().ok_or("refused")?.to_string().contains("no room"));
    Ok(())
}

#[tokio::test]
async fn side_7_ready_is_said_after_the_start_hooks() -> Fails<()> {
    let (script, notices) = quiet();
    let cell = Waiter::new();
    let mut world = world(cell.clone(), script, notices).await?;
    assert!(
        matches!(world.notice().await?, sidecar::Notice::Print(line, _) if line.line == "starting")
    );
    world.ready().await?;
    assert_eq!(cell.started.load(Ordering::SeqCst), 1);
    Ok(())
}

#[tokio::test]
async fn a_start_hook_that_fails_is_told_and_nothing_is_served() -> Fails<()> {
    let (script, notices) = quiet();
    let cell =
        Waiter { start: Err(CellError::domain("tea.empty", "no more tea")), ..Waiter::new() };
    let world = world(cell.clone(), script, notices).await?;
    let (served, end) = world.ended().await?;
    let reason = "the start hook of `demo.cell` failed: tea.empty: no more tea";
    assert_eq!(format!("{:?}", served.unwrap_err()), reason, "its Debug is its text");
    assert_eq!(end, End::Goodbye(reason.into()));
    assert_eq!(cell.stopped.load(Ordering::SeqCst), 0);
    Ok(())
}

#[tokio::test]
async fn side_21_drain_answers_what_is_there_and_stops_and_says_goodbye() -> Fails<()> {
    let (script, notices) = quiet();
    let cell = Waiter::new();
    let mut world = world(cell.clone(), script, notices).await?;
    world.notice().await?;
    world.ready().await?;
    let calls = (0..100).map(|_| world.body.request(frame::encode(&request("x")), 0, None));
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    for call in &mut calls {
        assert!(futures::poll!(call).is_pending());
    }
    world.body.drain(LIMIT);
    world.body.ping(1);
    // The pong comes after the drain was received: 100 calls run, and nothing has been stopped.
    assert!(matches!(world.notice().await?, sidecar::Notice::Pong(pong) if pong.in_flight == 100));
    assert_eq!(cell.stopped.load(Ordering::SeqCst), 0);
    cell.permits.add_permits(100);
    for call in calls {
        let reply = within(LIMIT, "a reply", call).await?;
        assert_eq!(frame::decode(reply)?.into_result()?.payload, "x");
    }
    let (served, end) = world.ended().await?;
    assert_eq!(end, End::Goodbye(String::new()));
    served?;
    assert_eq!(cell.stopped.load(Ordering::SeqCst), 1);
    Ok(())
}

#[tokio::test]
async fn a_drain_whose_time_is_too_short_says_what_was_not_done() -> Fails<()> {
    let (script, notices) = quiet();
    let mut world = world(Waiter::new(), script, notices).await?;
    world.notice().await?;
    world.ready().await?;
    let mut call = Box::pin(world.body.request(frame::encode(&request("x")), 0, None));
    assert!(futures::poll!(&mut call).is_pending());
    world.body.drain(Duration::from_millis(100));
    assert!(within(LIMIT, "the call fails", call).await.is_err());
    let (served, end) = world.ended().await?;
    assert_eq!(end, End::Goodbye("1 requests were not done in time".into()));
    served?;
    Ok(())
}

#[tokio::test]
async fn side_23_when_the_body_has_gone_stop_hooks_run_and_serving_ends() -> Fails<()> {
    let (script, notices) = quiet();
    let cell = Waiter::new();
    let mut world = world(cell.clone(), script, notices).await?;
    world.notice().await?;
    world.ready().await?;
    world.engine.shutdown().await;
    let served =
        within(LIMIT, "the sidecar's end", world.sidecar.join_next()).await.ok_or("none")??;
    assert!(matches!(served, Err(Error::Ended(End::Closed))), "{served:?}");
    assert_eq!(cell.stopped.load(Ordering::SeqCst), 1);
    Ok(())
}

#[tokio::test]
async fn a_process_can_end_itself_with_a_reason_and_tell_how_it_fares() -> Fails<()> {
    let (script, notices) = quiet();
    let (end, ended) = tokio::sync::oneshot::channel::<String>();
    let options = Options {
        health: Arc::new(|| proto::Pong { lag_us: 40, queued: 2, ..proto::Pong::default() }),
        stop: Box::pin(async move { ended.await.unwrap_or_default() }),
    };
    let mut world = world_with(Waiter::new(), script, notices, options).await?;
    world.notice().await?;
    world.ready().await?;
    world.body.ping(3);
    assert!(
        matches!(world.notice().await?, sidecar::Notice::Pong(pong) if (pong.nonce, pong.lag_us, pong.queued) == (3, 40, 2))
    );
    end.send("the interpreter hangs".into())?;
    let (served, end) = world.ended().await?;
    assert_eq!(end, End::Goodbye("the interpreter hangs".into()));
    assert!(matches!(served, Err(Error::Ended(End::Ours(_)))), "{served:?}");
    Ok(())
}
