//! Peers that break the protocol get the reason.

use sidecar::{End, Role, Settings, proto, wire::Kind};
use tokio::io::AsyncWriteExt;

use crate::pair::{Checked, LIMIT, Script, reply, request, settings, stranger};

/// Sends `said` to this side, and checks that the reason of the goodbye contains `why`.
async fn refused(side: Role, said: Vec<Kind>, why: &str) -> Checked {
    let mut stranger = stranger(settings(side), Script::hang())?;
    for kind in said {
        stranger.say(kind).await?;
    }
    let (end, reason) = stranger.goodbye().await?;
    assert!(reason.contains(why), "`{reason}` tells of `{why}`");
    assert_eq!(end, End::Protocol(reason));
    Ok(())
}

#[tokio::test]
async fn side_8_hello_welcome_and_ready_are_said_once() -> Checked {
    refused(Role::Body, vec![Kind::Hello(proto::Hello::default())], "hello twice").await?;
    refused(Role::Sidecar, vec![Kind::Welcome(proto::Welcome::default())], "welcome twice").await?;
    refused(
        Role::Body,
        vec![Kind::Ready(proto::Ready {}), Kind::Ready(proto::Ready {})],
        "ready twice",
    )
    .await
}

#[tokio::test]
async fn side_8_what_only_the_other_side_says_is_refused() -> Checked {
    let of_sidecars = [
        Kind::Ready(proto::Ready {}),
        Kind::Print(proto::Print::default()),
        Kind::Ask(proto::Ask { id: 1, ..proto::Ask::default() }),
        Kind::Log(proto::Log::default()),
        Kind::Note(proto::Note::default()),
        Kind::Pong(proto::Pong::default()),
    ];
    for kind in of_sidecars {
        refused(Role::Sidecar, vec![kind], "from the wrong side").await?;
    }
    for kind in [Kind::Ping(proto::Ping::default()), Kind::Drain(proto::Drain::default())] {
        refused(Role::Body, vec![kind], "from the wrong side").await?;
    }
    Ok(())
}

#[tokio::test]
async fn side_9_a_number_that_does_not_grow_is_refused() -> Checked {
    refused(Role::Body, vec![request(5, ""), request(5, "")], "request 5 after 5").await?;
    refused(Role::Body, vec![request(5, ""), request(4, "")], "request 4 after 5").await?;
    refused(Role::Sidecar, vec![request(0, "")], "request 0 after 0").await?;
    let ask = Kind::Ask(proto::Ask { id: 5, ..proto::Ask::default() });
    refused(Role::Body, vec![request(5, ""), ask], "request 5 after 5").await
}

#[tokio::test]
async fn side_10_a_reply_to_nothing_is_refused() -> Checked {
    refused(Role::Body, vec![reply(1, "")], "a reply to 1").await?;
    let mut stranger = stranger(settings(Role::Body), Script::hang())?;
    let peer = stranger.peer.clone();
    let call = peer.request("x".into(), 0, None);
    let twice = async {
        stranger.receive().await?;
        stranger.say(reply(1, "once")).await?;
        stranger.say(reply(1, "twice")).await?;
        stranger.goodbye().await
    };
    let (answer, ended) =
        testkit::within(LIMIT, "the end", async { tokio::join!(call, twice) }).await;
    assert_eq!(answer?, "once");
    assert!(ended?.1.contains("a reply to 1"));
    Ok(())
}

#[tokio::test]
async fn side_12_a_cancel_of_nothing_is_refused_and_one_that_comes_too_late_is_not() -> Checked {
    refused(Role::Sidecar, vec![Kind::Cancel(proto::Cancel { id: 1 })], "a cancel of 1").await?;
    let mut stranger = stranger(settings(Role::Sidecar), Script::echo())?;
    stranger.say(request(1, "x")).await?;
    assert_eq!(stranger.receive().await?, reply(1, "x"));
    stranger.say(Kind::Cancel(proto::Cancel { id: 1 })).await?;
    stranger.say(request(2, "y")).await?;
    assert_eq!(stranger.receive().await?, reply(2, "y"));
    Ok(())
}

#[tokio::test]
async fn side_3_what_is_no_frame_is_refused() -> Checked {
    let cases: [(&[u8], &str); 4] = [
        (&[0, 0, 0, 0], "a frame of no bytes"),
        (&[0, 0, 0, 2, 0xff, 0xff], "cannot be read"),
        (&[0, 2, 0, 0], "a frame of 131072 bytes, the limit is 65536"),
        (b"GET / HTTP/1.1\r\n\r\n", "the limit is 65536"),
    ];
    for (bytes, why) in cases {
        let (here, mut there) = tokio::net::UnixStream::pair()?;
        let frames = sidecar::wire::Frames::new(here, 65_536);
        let (_peer, engine) = sidecar::Peer::new(frames, settings(Role::Body), Script::hang());
        there.write_all(bytes).await?;
        let mut frames = sidecar::wire::Frames::new(there, 65_536);
        let (end, last) =
            testkit::within(LIMIT, "the end", async { tokio::join!(engine, frames.read()) }).await;
        let Some(Kind::Goodbye(goodbye)) = last? else { panic!("no goodbye") };
        assert!(goodbye.reason.contains(why), "{}", goodbye.reason);
        assert_eq!(end, End::Protocol(goodbye.reason));
    }
    Ok(())
}

#[tokio::test]
async fn a_side_that_sends_and_never_reads_is_ended() -> Checked {
    let limits = Settings { frame_bytes_max: 1_000, ..settings(Role::Sidecar) };
    let (here, mut there) = tokio::net::UnixStream::pair()?;
    let (inbound, _told) = Script::new(|_, _, _| Box::pin(std::future::pending()));
    let frames = sidecar::wire::Frames::new(here, 65_536);
    let (peer, engine) = sidecar::Peer::new(frames, limits, inbound);
    let flood = async {
        let pong = proto::Pong { nonce: u64::MAX, lag_us: u64::MAX, ..proto::Pong::default() };
        let ping = sidecar::wire::encode(Kind::Ping(proto::Ping { nonce: 1 }));
        loop {
            for _ in 0..1_000 {
                peer.pong(pong);
            }
            if there.write_all(&ping).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let (end, ()) = testkit::within(LIMIT, "the end", async { tokio::join!(engine, flood) }).await;
    assert!(matches!(&end, End::Protocol(reason) if reason.contains("does not read")), "{end}");
    Ok(())
}
