//! Requests and replies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cbs::{Bytes, Code, frame};
use futures::future::join_all;
use sidecar::{CallError, Notice, Role, Settings, proto, wire::Kind};
use testkit::{eventually, within};
use tokio::sync::Semaphore;

use crate::pair::{Checked, LIMIT, Script, pair, reply, request, settings, stranger};

#[tokio::test]
async fn side_9_calls_go_both_ways_at_once_and_numbers_grow() -> Checked {
    let numbers = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = numbers.clone();
    let (inbound, _told) = Script::new(move |_, request, _| {
        seen.lock().unwrap().push(request.id);
        Box::pin(async move { request.envelope })
    });
    let pair = pair(settings(Role::Body), Script::echo(), inbound)?;
    let calls = (0..5_000u32).map(|n| {
        let peer = if n % 2 == 0 { &pair.body } else { &pair.sidecar };
        let text = Bytes::from(n.to_string());
        async move { (peer.request(text.clone(), 0, None).await, text) }
    });
    for (answer, text) in within(LIMIT, "all calls", join_all(calls)).await {
        assert_eq!(answer?, text);
    }
    assert_eq!(*numbers.lock().unwrap(), (1..=2_500).collect::<Vec<u64>>());
    assert_eq!((pair.body.unanswered(), pair.sidecar.accepted()), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_request_is_answered_while_others_run_and_calls_back() -> Checked {
    let (inbound, _told) = Script::new(|peer, request, _| {
        let peer = peer.clone();
        Box::pin(async move { peer.request(request.envelope, request.id, None).await.unwrap() })
    });
    let (body, _told) = Script::new(|_, request, context| {
        let within = context.map(|context| context.id().to_string());
        Box::pin(async move { format!("{} {within:?}", request.within).into() })
    });
    let pair = pair(settings(Role::Body), body, inbound)?;
    let context =
        Arc::new(cbs::CellContext::new(env(), &cbs::Envelope::request("demo.cell".parse()?, "")));
    let answer =
        within(LIMIT, "the answer", pair.body.request("x".into(), 0, Some(context.clone())))
            .await?;
    let expected = format!("1 {:?}", Some(context.id().to_string()));
    assert_eq!(answer, expected, "the context of the request that a call back is made within");
    Ok(())
}

fn env() -> Arc<cbs::CellEnv> {
    struct Nothing;
    impl cbs::Console for Nothing {
        fn print(&self, _: String) -> cbs::BoxFuture<'_, Result<(), cbs::CellError>> {
            Box::pin(async { Ok(()) })
        }
        fn ask(&self, _: String) -> cbs::BoxFuture<'_, Result<Option<String>, cbs::CellError>> {
            Box::pin(async { Ok(None) })
        }
    }
    let (bus, _world) = testkit::peer();
    Arc::new(cbs::CellEnv::new(
        "demo.cell".parse().unwrap(),
        "body-1".parse().unwrap(),
        bus,
        Arc::new(Nothing),
    ))
}

#[tokio::test]
async fn side_12_a_call_that_is_dropped_is_cancelled_and_its_reply_is_thrown_away() -> Checked {
    let ended = Arc::new(AtomicUsize::new(0));
    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let count = ended.clone();
    let (inbound, _told) = Script::new(move |_, _, _| {
        let count = Count(count.clone());
        Box::pin(async move {
            let _count = count;
            std::future::pending().await
        })
    });
    let pair = pair(settings(Role::Body), Script::echo(), inbound)?;
    let call =
        tokio::time::timeout(Duration::from_millis(20), pair.body.request("x".into(), 0, None));
    assert!(call.await.is_err());
    eventually("the handling is dropped", LIMIT, async || ended.load(Ordering::SeqCst) == 1).await;
    eventually("and answered", LIMIT, async || {
        pair.body.unanswered() == 0 && pair.sidecar.accepted() == 0
    })
    .await;
    assert_eq!(pair.body.abandoned().count, 0);
    assert_eq!(pair.body.end(), None);
    Ok(())
}

#[tokio::test]
async fn side_10_a_cancelled_request_keeps_its_place_until_it_is_answered() -> Checked {
    let sent_max = Settings { sent_max: 1, ..settings(Role::Body) };
    let mut stranger = stranger(sent_max, Script::echo())?;
    let before = Instant::now();
    let call = tokio::time::timeout(
        Duration::from_millis(20),
        stranger.peer.request("one".into(), 0, None),
    );
    assert!(call.await.is_err());
    assert_eq!(stranger.receive().await?, request(1, "one"));
    assert_eq!(stranger.receive().await?, Kind::Cancel(proto::Cancel { id: 1 }));
    let abandoned = stranger.peer.abandoned();
    assert_eq!(abandoned.count, 1);
    assert!(abandoned.since.is_some_and(|since| since >= before));
    let peer = stranger.peer.clone();
    let second =
        tokio::task::JoinSet::from_iter([async move { peer.request("two".into(), 0, None).await }]);
    // The pong would come behind the frame of the second call.
    stranger.peer.ping(7);
    assert_eq!(stranger.receive().await?, Kind::Ping(proto::Ping { nonce: 7 }));
    stranger.say(reply(1, "too late")).await?;
    assert_eq!(stranger.receive().await?, request(2, "two"));
    stranger.say(reply(2, "in time")).await?;
    let answers = within(LIMIT, "the second answer", second.join_all()).await;
    assert_eq!(answers, [Ok(Bytes::from("in time"))]);
    assert_eq!(stranger.peer.abandoned(), sidecar::Abandoned::default());
    Ok(())
}

#[tokio::test]
async fn a_request_that_waits_and_is_dropped_is_never_sent() -> Checked {
    let sent_max = Settings { sent_max: 1, ..settings(Role::Body) };
    let mut stranger = stranger(sent_max, Script::echo())?;
    let peer = stranger.peer.clone();
    let first = peer.request("one".into(), 0, None);
    let mut first = Box::pin(first);
    assert!(futures::poll!(&mut first).is_pending());
    let dropped =
        tokio::time::timeout(Duration::from_millis(5), peer.request("two".into(), 0, None)).await;
    assert!(dropped.is_err());
    let mut third = Box::pin(peer.request("three".into(), 0, None));
    assert!(futures::poll!(&mut third).is_pending());
    assert_eq!(stranger.receive().await?, request(1, "one"));
    stranger.say(reply(1, "")).await?;
    assert_eq!(stranger.receive().await?, request(3, "three"));
    stranger.say(reply(3, "3")).await?;
    assert_eq!(within(LIMIT, "the third", third).await?, "3");
    assert_eq!(within(LIMIT, "the first", first).await?, "");
    Ok(())
}

#[tokio::test]
async fn side_15_requests_beyond_the_limit_are_answered_with_overloaded() -> Checked {
    let gate = Arc::new(Semaphore::new(0));
    let wait = gate.clone();
    let (inbound, _told) = Script::new(move |_, request, _| {
        let wait = wait.clone();
        Box::pin(async move {
            wait.acquire().await.unwrap().forget();
            request.envelope
        })
    });
    let mut stranger = stranger(Settings { accepted_max: 2, ..settings(Role::Sidecar) }, inbound)?;
    for id in 1..=3 {
        stranger.say(request(id, id.to_string())).await?;
    }
    let Kind::Reply(third) = stranger.receive().await? else { panic!("no reply") };
    assert_eq!(third.id, 3);
    let error = frame::decode(third.envelope)?.into_result().unwrap_err();
    assert_eq!((error.code(), error.outcome()), (&Code::Overloaded, cbs::Outcome::NotRun));
    gate.add_permits(2);
    assert_eq!(stranger.receive().await?, reply(1, "1"));
    assert_eq!(stranger.receive().await?, reply(2, "2"));
    within(LIMIT, "nothing runs", stranger.peer.idle()).await;
    Ok(())
}

#[tokio::test]
async fn side_2_nothing_is_sent_that_the_other_side_does_not_read() -> Checked {
    let big = Bytes::from(vec![b'x'; 5_000]);
    let small = Bytes::from("x");
    let answer = big.clone();
    let (inbound, _told) = Script::new(move |_, _, _| Box::pin(std::future::ready(answer.clone())));
    let limit = Settings { frame_bytes_max: 1_000, ..settings(Role::Body) };
    let pair = pair(limit, Script::echo(), inbound)?;
    let gone = within(LIMIT, "a refusal", pair.body.request(big.clone(), 0, None)).await;
    assert!(matches!(gone, Err(CallError::TooLarge { bytes: 5_001.., limit: 1_000 })), "{gone:?}");
    let answer = within(LIMIT, "an answer", pair.body.request(small, 0, None)).await?;
    let error = frame::decode(answer)?.into_result().unwrap_err();
    assert_eq!((error.code(), error.outcome()), (&Code::TooLarge, cbs::Outcome::Ran));
    let line = within(LIMIT, "a refusal", pair.sidecar.print("x".repeat(1_001), 0)).await;
    assert!(matches!(line, Err(CallError::TooLarge { .. })), "{line:?}");
    Ok(())
}

#[tokio::test]
async fn questions_are_answered_and_lines_are_handed_on() -> Checked {
    let (body, mut notices) =
        Script::new(|_, request, _| Box::pin(std::future::ready(request.envelope)));
    let pair = pair(settings(Role::Body), body, Script::echo())?;
    let answer = within(LIMIT, "an answer", pair.sidecar.ask("your name?".into(), 0)).await?;
    assert_eq!(answer, "\"no idea: your name?\"");
    pair.sidecar.print("a line".into(), 3).await?;
    pair.sidecar.log(proto::Log { message: "logged".into(), ..proto::Log::default() });
    pair.sidecar.ready();
    let (Notice::Print(print, None), _) = notices.recv().await.ok_or("nothing")? else {
        panic!("no print")
    };
    assert_eq!((print.line.as_str(), print.within), ("a line", 3));
    let (Notice::Log(log, None), _) = notices.recv().await.ok_or("nothing")? else {
        panic!("no log")
    };
    assert_eq!(log.message, "logged");
    assert!(matches!(notices.recv().await, Some((Notice::Ready, _))));
    Ok(())
}
