//! Credit in both directions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cbs::Bytes;
use futures::future::join_all;
use sidecar::{
    CallError, Notice, Role, Settings, proto,
    wire::{self, Kind},
};
use testkit::{eventually, within};

use crate::pair::{Checked, LIMIT, Script, pair, reply, request, settings, stranger};

#[tokio::test]
async fn side_18_windows_far_smaller_than_the_load_hold_nothing_up() -> Checked {
    // Each request is answered after two calls back, all larger than the windows.
    let (inbound, _told) = Script::new(|peer, request, _| {
        let peer = peer.clone();
        Box::pin(async move {
            let again = peer.request(request.envelope, request.id, None).await.unwrap();
            peer.request(again, request.id, None).await.unwrap()
        })
    });
    let windows = Settings { credit_granted: 300, credit_held: 200, ..settings(Role::Body) };
    let pair = pair(windows, Script::echo(), inbound)?;
    let payload = Bytes::from(vec![7; 2_000]);
    let calls = (0..500).map(|_| pair.body.request(payload.clone(), 0, None));
    for answer in within(LIMIT, "all calls", join_all(calls)).await {
        assert_eq!(answer?, payload);
    }
    Ok(())
}

#[tokio::test]
async fn side_17_without_credit_nothing_is_sent_that_costs_any() -> Checked {
    let held = Settings { credit_held: 50, ..settings(Role::Sidecar) };
    let mut stranger = stranger(held, Script::echo())?;
    let peer = stranger.peer.clone();
    let mut calls = Vec::new();
    let first = "first, and over the limit already, by this frame";
    let spent = wire::encode(request(1, first)).len() as u64;
    for text in [first, "second", "third"] {
        let mut call = Box::pin(peer.request(text.into(), 0, None));
        assert!(futures::poll!(&mut call).is_pending());
        calls.push(call);
    }
    assert!(matches!(stranger.receive().await?, Kind::Request(sent) if sent.id == 1));
    stranger.say(request(1, "answered without credit?")).await?;
    // Frames that cost nothing go out: side_19.
    stranger.say(Kind::Ping(proto::Ping { nonce: 1 })).await?;
    peer.pong(proto::Pong { nonce: 1, ..proto::Pong::default() });
    assert!(
        matches!(stranger.receive().await?, Kind::Pong(_)),
        "and no request, no reply before it"
    );
    // A credit of 0 is one too few.
    stranger.say(Kind::Credit(proto::Credit { bytes: spent - 50 })).await?;
    peer.pong(proto::Pong { nonce: 2, ..proto::Pong::default() });
    assert!(matches!(stranger.receive().await?, Kind::Pong(_)));
    stranger.say(Kind::Credit(proto::Credit { bytes: 1 })).await?;
    assert_eq!(stranger.receive().await?, reply(1, "answered without credit?"), "one frame more");
    stranger.say(Kind::Credit(proto::Credit { bytes: 1_000 })).await?;
    assert_eq!(stranger.receive().await?, request(2, "second"));
    assert_eq!(stranger.receive().await?, request(3, "third"));
    Ok(())
}

#[tokio::test]
async fn side_17_who_sends_without_credit_is_told_so() -> Checked {
    // The handler keeps the credit of its lines for ever.
    let (script, notices) = Script::new(|_, _, _| Box::pin(std::future::pending()));
    let mut stranger = stranger(Settings { credit_granted: 100, ..settings(Role::Body) }, script)?;
    for _ in 0..4 {
        stranger.say(Kind::Print(proto::Print { line: "x".repeat(40), within: 0 })).await?;
    }
    let (end, reason) = stranger.goodbye().await?;
    assert!(reason.contains("without credit"), "{reason}");
    assert_eq!(end, sidecar::End::Protocol(reason));
    drop(notices);
    Ok(())
}

#[tokio::test]
async fn side_18_credit_for_a_line_goes_back_when_it_was_written() -> Checked {
    let (body, mut notices) =
        Script::new(|_, request, _| Box::pin(std::future::ready(request.envelope)));
    let pair =
        pair(Settings { credit_granted: 1_000, ..settings(Role::Body) }, body, Script::echo())?;
    let printed = Arc::new(AtomicU64::new(0));
    let count = printed.clone();
    let peer = pair.sidecar.clone();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        for n in 0..200 {
            peer.print(format!("{n:>100}"), 0).await?;
            count.fetch_add(1, Ordering::SeqCst);
        }
        Ok::<(), CallError>(())
    });
    eventually("the window is used up", LIMIT, async || printed.load(Ordering::SeqCst) >= 9).await;
    for n in 0..200 {
        assert!(printed.load(Ordering::SeqCst) <= n + 12, "a window holds ten lines");
        let (notice, hold) =
            within(LIMIT, "the next line", notices.recv()).await.ok_or("no line")?;
        let Notice::Print(print, _) = notice else { panic!("no line") };
        assert_eq!(print.line.trim(), n.to_string());
        drop(hold);
    }
    within(LIMIT, "the printer", tasks.join_all()).await.into_iter().collect::<Result<(), _>>()?;
    Ok(())
}

#[tokio::test]
async fn log_lines_beyond_the_backlog_are_dropped_counted_and_told() -> Checked {
    let mut stranger =
        stranger(Settings { credit_held: 1, ..settings(Role::Sidecar) }, Script::echo())?;
    for n in 0..1_500 {
        stranger.peer.log(proto::Log { message: n.to_string(), ..proto::Log::default() });
    }
    stranger.say(Kind::Credit(proto::Credit { bytes: 1_000_000 })).await?;
    let mut lines = Vec::new();
    while lines.len() < 1_026 {
        let Kind::Log(line) = stranger.receive().await? else { panic!("no line") };
        lines.push(line.message);
    }
    let dropped: Vec<_> = lines.iter().filter(|line| line.contains("dropped")).collect();
    assert_eq!(dropped.len(), 1, "{dropped:?}");
    assert!(dropped[0].starts_with("475 lines"), "one was sent, 1024 waited: {}", dropped[0]);
    assert_eq!(lines.iter().filter(|line| line.parse::<u32>().is_ok()).count(), 1_025);
    Ok(())
}

#[tokio::test]
async fn side_19_a_reply_comes_although_the_sidecar_may_send_nothing_itself() -> Checked {
    // The sidecar's window is used up by a line that is never taken. Pings are still answered.
    let (body, mut notices) =
        Script::new(|_, request, _| Box::pin(std::future::ready(request.envelope)));
    let (inbound, mut asked) =
        Script::new(|_, request, _| Box::pin(std::future::ready(request.envelope)));
    let pair = pair(Settings { credit_granted: 10, ..settings(Role::Body) }, body, inbound)?;
    pair.sidecar.print("a line that is longer than the window".into(), 0).await?;
    let kept = within(LIMIT, "the line", notices.recv()).await.ok_or("no line")?;
    let waiting = pair.sidecar.print("waits".into(), 0);
    assert!(tokio::time::timeout(Duration::from_millis(20), waiting).await.is_err());
    pair.body.ping(9);
    let (Notice::Ping(ping), _) = within(LIMIT, "the ping", asked.recv()).await.ok_or("none")?
    else {
        panic!("no ping")
    };
    pair.sidecar.pong(proto::Pong { nonce: ping.nonce, ..proto::Pong::default() });
    assert!(
        matches!(within(LIMIT, "the pong", notices.recv()).await, Some((Notice::Pong(pong), _)) if pong.nonce == 9)
    );
    drop(kept);
    within(LIMIT, "another line", pair.sidecar.print("now".into(), 0)).await?;
    Ok(())
}

#[tokio::test]
async fn side_15_a_request_whose_reply_waits_for_credit_has_its_place_still() -> Checked {
    let limits = Settings { credit_held: 1, accepted_max: 3, ..settings(Role::Body) };
    let mut stranger = stranger(limits, Script::echo())?;
    for id in 1..=6 {
        stranger.say(request(id, "taken")).await?;
    }
    assert_eq!(stranger.receive().await?, reply(1, "taken"));
    stranger.say(Kind::Credit(proto::Credit { bytes: 10_000 })).await?;
    for id in 2..=4 {
        assert_eq!(stranger.receive().await?, reply(id, "taken"));
    }
    for id in 5..=6 {
        let Kind::Reply(refused) = stranger.receive().await? else { panic!("no reply") };
        let error = cbs::frame::decode(refused.envelope)?.into_result().err().ok_or("taken")?;
        assert_eq!((refused.id, error.code()), (id, &cbs::Code::Overloaded));
    }
    Ok(())
}

#[tokio::test]
async fn replies_that_nobody_takes_are_bounded_in_bytes() -> Checked {
    const REPLY: usize = 8 * 1024 * 1024;
    let (large, _told) =
        Script::new(|_, _, _| Box::pin(std::future::ready(Bytes::from_static(&[0; REPLY]))));
    let mut stranger = stranger(Settings { credit_held: 1, ..settings(Role::Body) }, large)?;
    for id in 1..=20 {
        stranger.say(request(id, "")).await?;
    }
    stranger.say(Kind::Credit(proto::Credit { bytes: 1 << 40 })).await?;
    let mut taken = 0;
    for id in 1..=20 {
        let Kind::Reply(answer) = stranger.receive().await? else { panic!("no reply") };
        assert_eq!(answer.id, id, "each request has its reply");
        taken += usize::from(answer.envelope.len() == REPLY);
    }
    assert!((2..=10).contains(&taken), "one is sent, 64 MiB wait: {taken}");
    Ok(())
}

#[tokio::test]
async fn a_side_that_never_takes_a_reply_is_ended() -> Checked {
    let limits = Settings { credit_held: 1, accepted_max: 3, ..settings(Role::Body) };
    let mut stranger = stranger(limits, Script::echo())?;
    for id in 1..=70_000 {
        if stranger.frames.write(request(id, "")).await.is_err() {
            break;
        }
    }
    let end = within(LIMIT, "the end", stranger.engine.join_next()).await.ok_or("no engine")??;
    assert!(
        matches!(&end, sidecar::End::Protocol(reason) if reason.contains("does not read")),
        "{end}"
    );
    Ok(())
}

#[tokio::test]
async fn requests_that_wait_are_bounded_in_bytes_and_those_given_up_are_forgotten() -> Checked {
    let stranger = stranger(Settings { credit_held: 1, ..settings(Role::Body) }, Script::echo())?;
    let mut sent = Box::pin(stranger.peer.request("sent".into(), 0, None));
    assert!(futures::poll!(&mut sent).is_pending());
    let large = Bytes::from(vec![0; 8 * 1024 * 1024]);
    for _ in 0..20 {
        let mut given_up = Box::pin(stranger.peer.request(large.clone(), 0, None));
        assert!(futures::poll!(&mut given_up).is_pending());
    }
    let mut kept = Vec::new();
    for _ in 0..8 {
        let mut waits = Box::pin(stranger.peer.request(large.clone(), 0, None));
        assert!(futures::poll!(&mut waits).is_pending());
        kept.push(waits);
    }
    let refused = within(LIMIT, "a refusal", stranger.peer.request(large, 0, None)).await;
    assert_eq!(refused, Err(CallError::Full { waiting: 8 }));
    Ok(())
}

#[tokio::test]
async fn side_24_notes_cost_and_do_not_wait_and_keep_their_place_before_the_reply() -> Checked {
    let note = |n: u64| proto::Note {
        within: 1,
        attribute: Some(proto::Field { key: "n".into(), value: n.to_string() }),
        ..proto::Note::default()
    };
    let cost = wire::encode(Kind::Note(note(0))).len() as u64;
    let held = Settings { credit_held: cost, ..settings(Role::Sidecar) };
    let (inbound, _told) = Script::new(move |peer, _, _| {
        // One is sent, as many wait as may, and the others do not fit.
        let taken = (0..2_000).filter(|n| peer.note(note(*n))).count();
        Box::pin(std::future::ready(taken.to_string().into()))
    });
    let mut stranger = stranger(held, inbound)?;
    assert_eq!(stranger.peer.credit(), Some(cost));
    stranger.say(request(1, "go")).await?;
    assert!(matches!(stranger.receive().await?, Kind::Note(first) if first == note(0)));
    assert_eq!(stranger.peer.credit(), Some(0), "it costs");
    stranger.say(Kind::Credit(proto::Credit { bytes: 1_000_000 })).await?;
    for n in 1..=1_024 {
        assert!(matches!(stranger.receive().await?, Kind::Note(next) if next.within == 1), "{n}");
    }
    assert!(matches!(stranger.receive().await?, Kind::Reply(reply) if reply.envelope == "1025"));
    let unlimited = pair(settings(Role::Body), Script::echo(), Script::echo())?;
    assert_eq!((unlimited.body.credit(), unlimited.sidecar.credit()), (None, None));
    Ok(())
}

#[tokio::test]
async fn side_24_a_note_that_was_not_paid_for_ends_the_connection() -> Checked {
    let granted = Settings { credit_granted: 10, ..settings(Role::Body) };
    let (inbound, _told) = Script::new(|_, _, _| Box::pin(std::future::pending()));
    let mut stranger = stranger(granted, inbound)?;
    for _ in 0..2 {
        let attribute = Some(proto::Field { key: "long enough".into(), value: "x".repeat(20) });
        stranger.say(Kind::Note(proto::Note { attribute, ..proto::Note::default() })).await?;
    }
    let (_, reason) = stranger.goodbye().await?;
    assert!(reason.contains("without credit"), "{reason}");
    Ok(())
}
