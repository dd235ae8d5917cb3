//! A flood of large messages for a Dart cell: the most memory of its body and its process.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::ConnectOptions;
use cbs::{Subject, Target};
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::{
    abroad::Abroad,
    cells,
    guests::{self, DART},
    memory::Memory,
    program::Program,
    report::Line,
    rows::guest::ASKED,
    stage::Bench,
};

const MESSAGES: usize = 100_000;
const SIZE: usize = 16 * 1024;
/// Limit of the flood.
const TIME: Duration = Duration::from_secs(120);
/// Memory limit of the body: 15 MB when idle, the 64 MiB of calls that may wait for one cell, and
/// the messages in the client and the sockets that are being refused.
const BODY: f64 = 256.0;
/// Memory limit of the process: 15 MB when idle, 64 calls of 16 KiB as bytes, text and bytes again,
/// and Dart's young generation.
const PROCESS: f64 = 64.0;

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let [cell, _] = DART;
    let abroad =
        Abroad::start(bench, &Program::cbs()?, &guests::dart(cell), &[(cell, ASKED)]).await?;
    let [answered, refused] = flood(bench, &abroad).await?;
    let body = Memory::of(abroad.up.pid()?)?;
    let children = abroad.up.children()?;
    let process = Memory::of(*children.first().context("the Dart process has ended")?)?;
    abroad.stop().await?;
    let note = format!(
        "10⁶ bytes, the most since the start; {MESSAGES} requests of 16 KiB as fast as they can be published: {answered} \
         answered, {refused} refused as overloaded, none lost"
    );
    Ok(vec![
        Line::new(
            "flood of a Dart cell: the most that the body held, Rss",
            "MB",
            vec![body.peak / 1e6],
        )
        .at_most(BODY)
        .note(note.clone()),
        Line::new(
            "flood of a Dart cell: the most that its process held, Rss",
            "MB",
            vec![process.peak / 1e6],
        )
        .at_most(PROCESS)
        .note(note),
    ])
}

/// Sends the flood; returns the number of answered requests, and of refused ones.
async fn flood(bench: &Bench, abroad: &Abroad) -> anyhow::Result<[usize; 2]> {
    let [cell, _] = DART;
    let subject = String::from(Subject::of(&abroad.namespace, &cell.parse::<Target>()?));
    // The subscription has capacity for all answers, however late they are read.
    let client =
        ConnectOptions::new().subscription_capacity(2 * MESSAGES).connect(&bench.url).await?;
    let (inbox, payload) = (client.new_inbox(), cells::payload(SIZE));
    let mut replies = client.subscribe(inbox.clone()).await?;
    let publish = async {
        for _ in 0..MESSAGES {
            client.publish_with_reply(subject.clone(), inbox.clone(), payload.clone()).await?;
        }
        anyhow::Ok(())
    };
    let read = async {
        let mut answered = 0;
        let mut refused = 0;
        while answered + refused < MESSAGES {
            let reply = replies.next().await.context("the connection has ended")?;
            match reply
                .headers
                .and_then(|headers| headers.get("Nats-Service-Error-Code").map(ToString::to_string))
            {
                None => answered += 1,
                Some(code) if code == "429" => refused += 1,
                Some(code) => ensure!(false, "the cell answers with the error {code}"),
            }
        }
        Ok([answered, refused])
    };
    let both = async { tokio::try_join!(publish, read) };
    let ((), counts) =
        timeout(TIME, both).await.context("not all were answered within two minutes")??;
    Ok(counts)
}
