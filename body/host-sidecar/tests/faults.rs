//! Processes that misbehave on purpose: each costs its own callers an error at once, and affects
//! nobody else.
#![allow(clippy::panic, reason = "a test fails loudly")]

mod support;

use std::time::{Duration, Instant};

use cbs::{BodyBus, Code, Outcome};
use host::Running;
use host_sidecar::Settings;
use model::Phase;
use support::{
    Body, LONG, Logged, Tested, exists, pid, reason, request, runs, scripted, settings, timed,
};
use testkit::{eventually, within};

/// Far less than the calls' deadline, and far more than a fault takes.
const AT_ONCE: Duration = Duration::from_secs(15);

/// Settings under which an unresponsive process is given up soon.
fn impatient() -> Settings {
    let mut settings = settings();
    // Enough for a healthy process, on a busy machine too.
    settings.times.hello = Duration::from_secs(3);
    settings.times.ready = Duration::from_secs(3);
    settings.times.ping = Duration::from_millis(100);
    settings.times.pong = Duration::from_secs(3);
    settings.times.cancel = Duration::from_millis(300);
    settings
}

/// Starts a cell whose process never comes to serve. Returns the reason, and the log.
async fn not_started(
    script: &str,
    fields: &str,
) -> Result<(String, String), Box<dyn std::error::Error>> {
    let (logged, _guard) = Logged::listen();
    let settings = if ["silent", "half-hello", "unready"].contains(&script) {
        impatient()
    } else {
        settings()
    };
    let body = Body::new(settings)?;
    let good = body.ready("demo.good", "serve").await?;
    let bad = body.start("demo.bad", &scripted(script, "demo.bad", fields))?;
    let mut state = bad.state();
    let state =
        within(LONG, "the failure", state.wait_for(|state| state.reason.is_some())).await?.clone();
    let error = body.call("demo.bad", "echo").await.err().ok_or("it was answered")?;
    assert!(matches!(error.code(), Code::NotFound | Code::Unavailable), "{error}");
    assert_eq!(error.outcome(), Outcome::NotRun);
    assert_eq!(body.call("demo.good", "echo").await?, "echo");
    assert_eq!(good.state().borrow().restarts, 0);
    within(LONG, "the stop of what never started", bad.stop()).await;
    Ok((reason(&state).to_owned(), logged.text()))
}

/// Row of a table for a process that never comes to serve.
macro_rules! never_starts {
    ($($name:ident: $script:literal => $reason:literal;)*) => {$(
        #[tokio::test]
        async fn $name() -> Tested {
            let (reason, log) = not_started($script, "").await?;
            assert!(reason.contains($reason), "{reason}\n{log}");
            assert!(reason.starts_with("the program `") && reason.contains("`demo.bad` (specs.yaml:1)"), "{reason}");
            Ok(())
        }
    )*};
}

never_starts! {
    a_process_that_never_says_hello_is_killed: "silent" => "did not say hello within 3 s: a cell's program";
    a_process_that_says_half_a_hello_is_killed: "half-hello" => "did not say hello within 3 s";
    a_process_that_speaks_another_version_is_refused: "version" => "spoke version 2 of the sidecar protocol in its hello, this body speaks version 1: take";
    a_process_that_serves_another_cell_is_refused: "stranger" => "serves `demo.other`, not `demo.bad`: give the cell this name";
    a_process_that_says_garbage_instead_of_hello_is_refused: "garbage" => "sent something that is no hello: a frame of 1213486160 bytes, the limit is 65536";
    a_process_that_says_ready_before_hello_is_refused: "early" => "sent `ready` before hello";
    a_process_that_says_hello_twice_is_ended: "twice" => "protocol: hello twice";
    a_process_that_exits_at_once_is_told_so: "exit" => "exited with 0 before it said hello: a cell's program stays in the foreground";
    a_process_whose_start_hook_fails_is_told_so: "quitter" => "exited with 1 before it said ready";
    a_process_that_is_never_ready_is_killed: "unready" => "did not say ready within 3 s";
}

#[tokio::test]
async fn a_refused_process_learns_why() -> Tested {
    let (_, log) = not_started("version", "").await?;
    assert!(log.contains("told goodbye: refused: the process spoke version 2"), "{log}");
    Ok(())
}

#[tokio::test]
async fn what_a_process_that_exits_leaves_behind_is_killed() -> Tested {
    let (reason, log) = not_started("orphans", "").await?;
    assert!(reason.contains("exited with 0 before it said hello"), "{reason}");
    let child = log.split("child ").nth(1).ok_or_else(|| format!("no child: {log}"))?;
    let child: i32 =
        child.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse()?;
    eventually("the child has gone", LONG, async || !runs(child)).await;
    Ok(())
}

#[tokio::test]
async fn a_process_that_takes_more_memory_than_its_limit_ends_alone() -> Tested {
    let (reason, _) = not_started("hog", "limits: { memory: 64MiB }").await?;
    assert!(
        reason.contains("killed by SIGABRT (its `limits.memory` is 64 MiB) before it said hello"),
        "{reason}"
    );
    Ok(())
}

/// Result of a table's row for a process that serves at first.
struct Broke {
    reason: String,
    log: String,
    /// Answer to the call that broke the process.
    answer: Result<String, cbs::BusError>,
}

/// Starts a process that breaks when it gets this payload, while it holds one more call.
async fn breaks(payload: &str) -> Result<Broke, Box<dyn std::error::Error>> {
    let (logged, _guard) = Logged::listen();
    let body = Body::new(impatient())?;
    let good = body.ready("demo.good", "serve").await?;
    let bad = body.ready("demo.bad", "serve").await?;
    let first = pid(&bad).ok_or("no process")?;
    let mut state = bad.state();
    let held = request("demo.bad", "hold");
    let id = held.id;
    let ((held, took), (answer, _)) =
        tokio::join!(timed(body.bus.call(held)), timed(body.call("demo.bad", payload)));
    let held = held.err().ok_or("the held call was answered")?;
    assert_eq!((held.code(), held.outcome()), (&Code::CellFailed, Outcome::Ran), "{held}");
    assert_eq!(held.error(), &cbs::CellError::cell_failed(id), "the reason stays inside");
    assert!(took < AT_ONCE, "{took:?}");
    let failed =
        within(LONG, "the failure", state.wait_for(|state| state.reason.is_some())).await?.clone();
    assert_eq!(body.call("demo.good", "echo").await?, "echo");
    assert_eq!(good.state().borrow().restarts, 0);
    within(LONG, "the restart", state.wait_for(|state| state.phase == Phase::Ready)).await?;
    assert_eq!(body.call("demo.bad", "echo").await?, "echo");
    assert!(!exists(first), "nothing is left of the first process");
    stop(bad).await;
    Ok(Broke { reason: reason(&failed).to_owned(), log: logged.text(), answer })
}

async fn stop(running: Running) {
    within(LONG, "the stop", running.stop()).await;
}

macro_rules! breaks {
    ($($name:ident: $payload:literal => $reason:literal;)*) => {$(
        #[tokio::test]
        async fn $name() -> Tested {
            let broke = breaks($payload).await?;
            assert_eq!(broke.reason, $reason, "{}", broke.log);
            let error = broke.answer.err().ok_or("it was answered")?;
            assert_eq!((error.code(), error.outcome()), (&Code::CellFailed, Outcome::Ran), "{error}");
            Ok(())
        }
    )*};
}

breaks! {
    a_process_that_sends_too_large_a_frame_is_ended: "huge" => "protocol: a frame of 2147483647 bytes, the limit is 1114112";
    a_process_that_sends_garbage_is_ended: "garbage" => "protocol: a frame of 1213486160 bytes, the limit is 1114112";
    a_process_that_stops_in_mid_frame_is_killed: "half" => "hangs: it has not answered a ping for 3 s";
    a_process_that_is_frozen_is_killed: "freeze" => "hangs: it has not answered a ping for 3 s";
    a_process_that_closes_its_socket_in_mid_call_is_killed: "close" => "closed its socket";
    a_process_that_exits_in_mid_call_is_told_so: "die" => "exited with 3";
    a_process_that_is_killed_in_mid_call_is_told_so: "kill" => "killed by SIGKILL";
}

#[tokio::test]
async fn a_process_that_replies_twice_is_ended_after_its_first_reply() -> Tested {
    let broke = breaks("double").await?;
    assert_eq!(broke.answer.as_deref(), Ok("first"));
    assert!(
        broke.reason.starts_with("protocol: a reply to 2, which is no request"),
        "{}",
        broke.reason
    );
    Ok(())
}

/// Starts a process that breaks by itself right after it was ready.
async fn breaks_at_once(
    script: &str,
) -> Result<(Phase, String, String), Box<dyn std::error::Error>> {
    let (logged, _guard) = Logged::listen();
    let body = Body::new(settings())?;
    let good = body.ready("demo.good", "serve").await?;
    let bad = body.start("demo.bad", &scripted(script, "demo.bad", ""))?;
    let mut state = bad.state();
    let failed = within(LONG, "the failure", state.wait_for(|state| state.phase == Phase::Failed))
        .await?
        .clone();
    assert_eq!(failed.restarts, 5);
    assert_eq!(body.call("demo.good", "echo").await?, "echo");
    assert_eq!(good.state().borrow().restarts, 0);
    stop(bad).await;
    Ok((failed.phase, reason(&failed).to_owned(), logged.text()))
}

#[tokio::test]
async fn a_crash_loop_ends_as_failed_and_touches_no_other_cell() -> Tested {
    let (_, reason, log) = breaks_at_once("crashes").await?;
    assert!(reason.contains("exited with 1"), "{reason}");
    assert!(log.contains("stderr=\"on purpose\""), "the last words stand beside the reason: {log}");
    Ok(())
}

#[tokio::test]
async fn a_process_that_replies_to_what_nobody_asked_is_ended() -> Tested {
    let (_, reason, _) = breaks_at_once("unasked").await?;
    assert!(reason.contains("protocol: a reply to 4711, which is no request"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn a_process_that_ignores_its_credit_is_ended() -> Tested {
    let (_, reason, _) = breaks_at_once("greedy").await?;
    assert!(
        reason.contains("protocol: a frame of 16") && reason.contains("without credit"),
        "{reason}"
    );
    Ok(())
}

#[tokio::test]
async fn a_process_that_does_not_answer_pings_is_killed() -> Tested {
    let body = Body::new(impatient())?;
    let bad = body.ready("demo.bad", "deaf").await?;
    let mut state = bad.state();
    let failed =
        within(LONG, "the failure", state.wait_for(|state| state.reason.is_some())).await?.clone();
    assert_eq!(reason(&failed), "hangs: it has not answered a ping for 3 s");
    Ok(())
}

#[tokio::test]
async fn a_process_that_floods_its_log_is_served_and_told_of() -> Tested {
    let (logged, _guard) = Logged::listen();
    let body = Body::new(settings())?;
    let began = Instant::now();
    // It writes before it answers.
    let bad = body.ready_with("demo.bad", "chatter", "timeout: 1m").await?;
    assert_eq!(body.call("demo.bad", "echo").await?, "echo");
    stop(bad).await;
    // A thousand at once, and two hundred a second.
    let most = 1_000 + 200 * (1 + usize::try_from(began.elapsed().as_secs())?);
    let log = logged.text();
    let lines = log
        .lines()
        .filter(|line| line.contains("stream=\"stderr\"") && line.contains("chatter "))
        .count();
    let dropped: usize = log
        .lines()
        .filter_map(|line| line.split("dropped=").nth(1)?.split(' ').next()?.parse::<usize>().ok())
        .sum();
    assert!((1_000..=most).contains(&lines), "{lines} of {most}");
    assert_eq!(lines + dropped, 100_000, "none is dropped in silence");
    Ok(())
}

#[tokio::test]
async fn a_process_that_ignores_drain_and_sigterm_is_killed_at_its_time() -> Tested {
    let (logged, _guard) = Logged::listen();
    let mut settings = settings();
    (settings.times.drain, settings.times.term) =
        (Duration::from_millis(300), Duration::from_millis(300));
    let body = Body::new(settings)?;
    let bad = body.ready("demo.bad", "stubborn").await?;
    let process = pid(&bad).ok_or("no process")?;
    let ((), took) = timed(stop(bad)).await;
    assert!(took >= Duration::from_millis(600) && took < AT_ONCE, "{took:?}");
    assert!(!exists(process), "it is gone, and no zombie");
    assert!(logged.text().contains("did not stop in time and is killed"), "{}", logged.text());
    Ok(())
}

#[tokio::test]
async fn a_process_all_of_whose_room_is_taken_by_given_up_calls_is_killed() -> Tested {
    let body = Body::new(impatient())?;
    let bad = body.ready("demo.bad", "narrow").await?;
    let mut state = bad.state();
    for _ in 0..2 {
        let short = cbs::Envelope {
            timeout: Some(Duration::from_millis(50)),
            ..request("demo.bad", "hold")
        };
        let error = body.bus.call(short).await.err().ok_or("it was answered")?;
        assert_eq!(error.code(), &Code::Timeout);
    }
    // The call waits for capacity that never comes. It was never sent, so it may be tried again.
    let (error, took) = timed(body.call("demo.bad", "echo")).await;
    let error = error.err().ok_or("it was answered")?;
    assert_eq!((error.code(), error.outcome()), (&Code::Unavailable, Outcome::NotRun), "{error}");
    assert!(error.error().retryable && took < AT_ONCE, "{took:?}");
    let failed =
        within(LONG, "the failure", state.wait_for(|state| state.reason.is_some())).await?.clone();
    assert_eq!(
        reason(&failed),
        "hangs: all 2 calls that it has were given up, and it answers none"
    );
    Ok(())
}
