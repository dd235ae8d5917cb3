//! The memory that a flood costs the body. The test is alone in its process, so that nothing else
//! is measured.
#![allow(clippy::panic, reason = "a test fails loudly")]

mod support;

use cbs::{BodyBus, Code};
use futures::{StreamExt, stream::FuturesUnordered};
use support::{Body, LONG, Tested, request, settings};
use testkit::within;

/// Limit of the growth of the body's memory, as the crate's documentation gives it.
const BOUND_KIB: u64 = 32 * 1024;
/// Number of messages of 16 KiB, each way: ten times the bound.
const MESSAGES: usize = 20_000;

/// Returns the most memory that this process ever held, in KiB.
fn peak_kib() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[tokio::test]
async fn a_flood_of_large_messages_is_held_up_and_not_held() -> Tested {
    let body = Body::new(settings())?;
    let _echo = body.ready_with("demo.echo", "miser", "timeout: 60s").await?;
    let _prints = body.ready_with("demo.prints", "serve", "timeout: 60s").await?;
    // The memory that a body has in any case, after its first call.
    body.call("demo.echo", "echo").await?;
    body.call("demo.prints", "flood 100").await?;
    let before = peak_kib()?;

    // The process takes one message at a time, the callers send as many as they can.
    let payload = "x".repeat(16 * 1024);
    let mut sent = 0;
    let mut answered = 0;
    let mut shed = 0;
    let mut calls = FuturesUnordered::new();
    while answered < MESSAGES {
        while calls.len() < 400 {
            calls.push(body.bus.call(request("demo.echo", &payload)));
            sent += 1;
        }
        match within(LONG, "an answer", calls.next()).await {
            Some(Ok(reply)) => {
                assert_eq!(reply.payload.len(), payload.len());
                answered += 1;
            }
            Some(Err(error)) => {
                assert_eq!(error.code(), &Code::Overloaded, "{error}");
                shed += 1;
                // It calls again only after others have had their turn.
                tokio::task::yield_now().await;
            }
            None => return Err("no call is left".into()),
        }
    }
    drop(calls);
    let calls_kib = peak_kib()? - before;
    println!("{sent} calls sent, {answered} answered, {shed} refused: {calls_kib} KiB more");

    // The process prints as fast as it may.
    let before = peak_kib()?;
    within(LONG * 2, "the lines", body.call("demo.prints", &format!("flood {MESSAGES}"))).await?;
    let prints_kib = peak_kib()? - before;
    println!("{} lines printed: {prints_kib} KiB more", body.terminal.count());
    assert!(body.terminal.count() >= MESSAGES);
    assert!(calls_kib <= BOUND_KIB && prints_kib <= BOUND_KIB, "{calls_kib} and {prints_kib} KiB");
    Ok(())
}
