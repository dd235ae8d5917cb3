//! The ends of connections.

use std::time::Duration;

use cbs::Bytes;
use sidecar::{
    CallError, End, Role, Settings, proto,
    wire::{Frames, Kind},
};
use testkit::within;

use crate::pair::{Checked, LIMIT, Script, pair, reply, request, settings, stranger};

#[tokio::test]
async fn side_23_the_end_fails_what_is_under_way_at_once_with_the_reason() -> Checked {
    let mut pair =
        pair(Settings { sent_max: 1, ..settings(Role::Body) }, Script::echo(), Script::hang())?;
    let sent = pair.body.request("sent".into(), 0, None);
    let waiting = pair.body.request("waits".into(), 0, None);
    let calls = async { tokio::join!(sent, waiting) };
    let end = async {
        testkit::eventually("the request arrives", LIMIT, async || pair.sidecar.accepted() == 1)
            .await;
        pair.sidecar.goodbye("out of tea");
    };
    let ((sent, waiting), ()) = within(LIMIT, "the end", async { tokio::join!(calls, end) }).await;
    let goodbye = End::Goodbye("out of tea".into());
    assert_eq!(sent, Err(CallError::Ended { end: goodbye.clone(), sent: true }));
    assert_eq!(waiting, Err(CallError::Ended { end: goodbye.clone(), sent: false }));
    assert_eq!(
        pair.body.request("late".into(), 0, None).await,
        Err(CallError::Ended { end: goodbye.clone(), sent: false })
    );
    assert_eq!(pair.body.end(), Some(goodbye.clone()));
    let mut ends = Vec::new();
    while let Some(ended) = within(LIMIT, "both ends", pair.engines.join_next()).await {
        ends.push(ended?);
    }
    assert!(
        ends.contains(&(Role::Body, goodbye))
            && ends.contains(&(Role::Sidecar, End::Ours("out of tea".into())))
    );
    Ok(())
}

#[tokio::test]
async fn side_22_a_goodbye_comes_behind_replies_that_wait_and_before_nothing() -> Checked {
    let mut stranger =
        stranger(Settings { credit_held: 1, ..settings(Role::Sidecar) }, Script::echo())?;
    for id in 1..=3 {
        stranger.say(request(id, id.to_string())).await?;
    }
    assert_eq!(stranger.receive().await?, reply(1, "1"));
    stranger.peer.goodbye("");
    stranger.peer.pong(proto::Pong::default());
    stranger.say(Kind::Credit(proto::Credit { bytes: 100 })).await?;
    assert_eq!(stranger.receive().await?, reply(2, "2"));
    assert_eq!(stranger.receive().await?, reply(3, "3"));
    let (end, reason) = stranger.goodbye().await?;
    assert_eq!((end, reason.as_str()), (End::Ours(String::new()), ""));
    Ok(())
}

#[tokio::test]
async fn a_goodbye_that_nobody_reads_does_not_take_for_ever() -> Checked {
    let mut stranger =
        stranger(Settings { credit_held: 1, ..settings(Role::Sidecar) }, Script::echo())?;
    let peer = stranger.peer.clone();
    let _first = peer.print("x".into(), 0).await;
    let waits = peer.print("never".into(), 0);
    let parting = async { peer.goodbye("") };
    let (waits, ()) = within(LIMIT, "the end", async { tokio::join!(waits, parting) }).await;
    assert!(matches!(waits, Err(CallError::Ended { end: End::Ours(_), sent: false })), "{waits:?}");
    let end =
        within(LIMIT, "the engine", stranger.engine.join_next()).await.ok_or("no engine")??;
    assert_eq!(end, End::Ours(String::new()));
    Ok(())
}

#[tokio::test]
async fn a_socket_that_closes_is_an_end_and_so_is_an_engine_that_is_dropped() -> Checked {
    let mut closed = stranger(settings(Role::Body), Script::hang())?;
    let peer = closed.peer.clone();
    let call = peer.request("x".into(), 0, None);
    let close = async {
        let received = closed.receive().await.is_ok();
        drop(std::mem::replace(
            &mut closed.frames,
            Frames::new(tokio::net::UnixStream::pair()?.0, 1),
        ));
        Ok::<bool, std::io::Error>(received)
    };
    let (answer, received) = within(LIMIT, "the end", async { tokio::join!(call, close) }).await;
    assert!(received?);
    assert_eq!(answer, Err(CallError::Ended { end: End::Closed, sent: true }));

    let mut dropped = stranger(settings(Role::Body), Script::hang())?;
    let peer = dropped.peer.clone();
    let call = peer.request("x".into(), 0, None);
    let drop = async {
        dropped.receive().await.is_ok() && {
            dropped.engine.shutdown().await;
            true
        }
    };
    let (answer, _) = within(LIMIT, "the end", async { tokio::join!(call, drop) }).await;
    assert!(
        matches!(answer, Err(CallError::Ended { end: End::Ours(_), sent: true })),
        "{answer:?}"
    );
    assert!(matches!(dropped.frames.read().await, Ok(None)), "the socket was closed");
    Ok(())
}

#[tokio::test]
async fn side_3_half_a_frame_is_an_end() -> Checked {
    use tokio::io::AsyncWriteExt;
    let (here, mut there) = tokio::net::UnixStream::pair()?;
    let frames = Frames::new(here, 1_000);
    let (_peer, engine) = sidecar::Peer::new(frames, settings(Role::Body), Script::hang());
    there.write_all(&[0, 0, 0, 9, 1]).await?;
    drop(there);
    let end = within(LIMIT, "the end", engine).await;
    assert!(
        matches!(&end, End::Io(reason) if reason.contains("middle of a frame: 5 bytes")),
        "{end}"
    );
    Ok(())
}

#[tokio::test]
async fn side_21_drain_under_load_loses_nothing() -> Checked {
    let (inbound, mut notices) = Script::new(|_, request, _| {
        Box::pin(async move {
            // sleep: a cell that takes its time
            tokio::time::sleep(Duration::from_millis(request.id % 7)).await;
            request.envelope
        })
    });
    let windows = Settings { credit_granted: 2_000, credit_held: 2_000, ..settings(Role::Body) };
    let mut pair = pair(windows, Script::echo(), inbound)?;
    let payload = Bytes::from(vec![1; 300]);
    let calls =
        futures::future::join_all((0..2_000).map(|_| pair.body.request(payload.clone(), 0, None)));
    let drain = async {
        testkit::eventually("calls run", LIMIT, async || pair.sidecar.accepted() > 0).await;
        // The body drains when its last request has been sent; here, when all have.
        testkit::eventually("all were sent", LIMIT, async || pair.body.unanswered() < 7).await;
        pair.body.drain(LIMIT);
    };
    let goodbye = async {
        let (notice, _) = notices.recv().await.ok_or("nothing was told")?;
        assert!(matches!(notice, sidecar::Notice::Drain(LIMIT)));
        pair.sidecar.idle().await;
        pair.sidecar.goodbye("");
        Ok::<(), &str>(())
    };
    let (answers, (), parted) =
        within(LIMIT, "the drain", async { tokio::join!(calls, drain, goodbye) }).await;
    parted?;
    assert_eq!(answers.iter().filter(|answer| answer.as_ref() == Ok(&payload)).count(), 2_000);
    let mut ends = 0;
    while let Some(ended) = within(LIMIT, "both ends", pair.engines.join_next()).await {
        assert!(matches!(ended?, (Role::Body, End::Goodbye(_)) | (Role::Sidecar, End::Ours(_))));
        ends += 1;
    }
    assert_eq!(ends, 2);
    Ok(())
}

#[tokio::test]
async fn side_23_what_is_under_way_fails_at_once_although_the_goodbye_is_not_read() -> Checked {
    let mut stranger = stranger(settings(Role::Body), Script::echo())?;
    // More than the socket takes, so that the goodbye waits behind it.
    let mut call = Box::pin(stranger.peer.request(vec![0; 4 * 1024 * 1024].into(), 0, None));
    assert!(futures::poll!(&mut call).is_pending());
    stranger.say(reply(7, "to nobody")).await?;
    // The limit for goodbye itself is two seconds.
    let failed = within(Duration::from_millis(1_500), "the call's end", call).await;
    assert!(
        matches!(failed, Err(CallError::Ended { end: End::Protocol(_), sent: true })),
        "{failed:?}"
    );
    Ok(())
}
