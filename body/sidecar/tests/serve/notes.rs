//! The notes of a cell in a process of its own about its calls.

use std::{sync::Arc, time::Duration};

use cbs::{Cell, CellContext, CellError, Code, Envelope, SpanEntry, frame};
use sidecar::{Notice, Options, proto};
use tokio::sync::Semaphore;

use crate::{
    body::{Fails, World, request, welcome, world_welcomed},
    pair::Script,
};

/// A cell whose payload is the note that it makes.
struct Noter(Arc<Semaphore>);

impl Cell for Noter {
    async fn call(&self, context: &CellContext, request: Envelope) -> Result<Envelope, CellError> {
        let span = context.span();
        match &request.payload[..] {
            b"both" => {
                span.attribute("order.id", "4711");
                span.event("cache miss", [("key", "orders/4711")]);
            }
            b"wait" => {
                span.attribute("step", "before");
                // The test gives no permit.
                let _never = self.0.acquire().await;
                span.attribute("step", "after");
            }
            b"panic" => {
                span.attribute("step", "before");
                panic!("a secret");
            }
            b"many and wait" => {
                (0..100).for_each(|n| span.attribute("n", n.to_string()));
                // The test gives no permit.
                let _never = self.0.acquire().await;
            }
            b"many" => (0..100).for_each(|n| span.attribute("n", n.to_string())),
            b"many at intervals" => {
                for n in 0..10 {
                    (0..10).for_each(|m| span.attribute("n", (n * 10 + m).to_string()));
                    tokio::task::yield_now().await;
                }
            }
            _ => {}
        }
        Ok(Envelope::reply(if span.is_sampled() { "sampled" } else { "not sampled" }))
    }
}

async fn noted(notes_max: u32) -> Fails<World> {
    let (script, notices) =
        Script::new(|_, request, _| Box::pin(std::future::ready(request.envelope)));
    let cell = Noter(Arc::new(Semaphore::new(0)));
    let welcome = proto::Welcome { notes_max, ..welcome() };
    let mut world = world_welcomed(cell, script, notices, Options::default(), welcome).await?;
    world.ready().await?;
    Ok(world)
}

impl World {
    /// Returns the next note, as the contract has it, and the request that it is about.
    async fn note(&mut self) -> Fails<(u64, Vec<SpanEntry>)> {
        match self.notice().await? {
            Notice::Note(note, None) => Ok((note.within, note.notes().collect())),
            _ => Err("something else than a note".into()),
        }
    }

    /// Returns all notes that have come so far.
    fn all(&mut self) -> Vec<proto::Note> {
        let mut all = Vec::new();
        while let Ok((Notice::Note(note, _), _)) = self.notices.try_recv() {
            all.push(note);
        }
        all
    }
}

fn attribute(key: &str, value: &str) -> SpanEntry {
    SpanEntry::Attribute { key: key.into(), value: value.into() }
}

#[tokio::test]
async fn side_24_notes_go_out_within_their_request_and_before_its_reply() -> Fails<()> {
    let mut world = noted(64).await?;
    let before = cbs::now_ns();
    assert_eq!(world.call("both").await??, "not sampled");
    assert_eq!(world.call("nothing").await??, "not sampled");
    let all = world.all();
    let said: Vec<_> = all.iter().cloned().flat_map(proto::Note::notes).collect();
    assert!(all.iter().all(|note| note.within == 1), "{all:?}");
    let [first, SpanEntry::Event { name, time_ns, attributes }] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!((first, name.as_str()), (&attribute("order.id", "4711"), "cache miss"));
    assert_eq!(attributes[..], [("key".into(), "orders/4711".into())]);
    assert!((before..=cbs::now_ns()).contains(time_ns), "{time_ns}");
    Ok(())
}

#[tokio::test]
async fn side_24_a_call_that_waits_has_told_what_it_could() -> Fails<()> {
    let mut world = noted(64).await?;
    let mut waiting = Box::pin(world.body.request(frame::encode(&request("wait")), 0, None));
    assert!(futures::poll!(&mut waiting).is_pending());
    assert_eq!(world.note().await?, (1, vec![attribute("step", "before")]));
    drop(waiting);
    assert!(world.call("panic").await?.is_err());
    assert_eq!(
        world.note().await?,
        (2, vec![attribute("step", "before")]),
        "also of one that panics"
    );
    Ok(())
}

#[tokio::test]
async fn side_24_of_many_notes_so_many_go_out_as_the_body_takes_and_the_number_of_the_others()
-> Fails<()> {
    for (notes_max, payload, sent) in
        [(64, "many", 64), (64, "many at intervals", 64), (5, "many at intervals", 5)]
    {
        let mut world = noted(notes_max).await?;
        world.call(payload).await??;
        let all = world.all();
        let attributes = all.iter().filter_map(|note| note.attribute.as_ref());
        assert!(
            attributes.map(|field| field.value.clone()).eq((0..sent).map(|n| n.to_string())),
            "{all:?}"
        );
        assert_eq!(
            (all.len(), all.last().map(|note| note.dropped)),
            (sent as usize + 1, Some(100 - sent)),
            "{payload}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn side_24_a_call_that_is_out_of_time_has_told_how_many_were_not_sent() -> Fails<()> {
    let mut world = noted(5).await?;
    let short = Envelope { timeout: Some(Duration::from_millis(50)), ..request("many and wait") };
    let answer = world.send(short).await?.into_result();
    assert_eq!(answer.err().map(|error| error.code().clone()), Some(Code::Timeout));
    let all = world.all();
    assert_eq!((all.len(), all.last().map(|note| note.dropped)), (6, Some(95)), "before the reply");
    Ok(())
}

#[tokio::test]
async fn side_24_a_body_that_knows_no_notes_gets_none() -> Fails<()> {
    let mut world = noted(0).await?;
    for payload in ["both", "many"] {
        world.call(payload).await??;
    }
    assert!(world.notices.try_recv().is_err(), "nothing was told");
    Ok(())
}

#[tokio::test]
async fn a_cell_knows_whether_its_call_is_sampled() -> Fails<()> {
    let world = noted(64).await?;
    for (flags, expected) in [("01", "sampled"), ("00", "not sampled"), ("03", "sampled")] {
        let trace = cbs::Trace::parse(&format!(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"
        ));
        let asked = Envelope { foreign_trace: trace, ..request("") };
        assert_eq!(world.send(asked).await?.payload, expected, "{flags}");
    }
    Ok(())
}
