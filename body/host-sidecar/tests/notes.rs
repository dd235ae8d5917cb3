//! The notes of processes about their calls, in the spans that the body records.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use std::{fs, path::PathBuf, time::Duration};

use cbs::{
    BodyBus, Code, Envelope, SPAN_ENTRIES_MAX, SPAN_ENTRY_BYTES_MAX, Span, SpanEntry, Text, Trace,
    span_of_attempt,
};
use support::{Body, LONG, Tested, request, settings, workers};
use testkit::{eventually, within};

const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Returns a request of a call that is recorded.
fn sampled(name: &str, payload: &str) -> Envelope {
    Envelope { foreign_trace: Trace::parse(SAMPLED), ..request(name, payload) }
}

fn attribute(key: &str, value: &str) -> SpanEntry {
    SpanEntry::Attribute { key: key.into(), value: value.into() }
}

fn said(value: &str) -> SpanEntry {
    attribute("said", value)
}

async fn span_of(body: &Body, asked: Envelope) -> Result<Span, Box<dyn std::error::Error>> {
    let before = body.spans.of("demo.echo").len();
    let answered = within(LONG, "the answer", body.bus.call(asked)).await;
    let spans = body.spans.of("demo.echo");
    assert_eq!(spans.len(), before + 1, "{answered:?}");
    spans.last().cloned().ok_or_else(|| "no span".into())
}

#[tokio::test]
async fn side_25_notes_are_in_the_span_of_their_call_and_of_no_other() -> Tested {
    let body = Body::new(settings())?;
    let running = body.ready("demo.echo", "serve").await?;
    let asked = Envelope { attempt: 2, ..sampled("demo.echo", "note tea") };
    let id = asked.id;
    let span = span_of(&body, asked).await?;
    assert_eq!((span.notes, span.notes_dropped, span.error), (vec![said("tea")], 0, None));
    assert_eq!((span.trace.span_id, span.trace.flags), (span_of_attempt(id, 2), 1));
    assert_eq!(span_of(&body, sampled("demo.echo", "plain")).await?.notes, []);
    // A call that is not sampled and does not fail is not recorded, whatever its notes are.
    assert_eq!(body.call("demo.echo", "note milk").await?, "noted");
    assert_eq!(body.spans.of("demo.echo").len(), 2);
    assert_eq!(running.state().borrow().restarts, 0);
    Ok(())
}

#[tokio::test]
async fn notes_of_a_call_that_is_given_up_are_kept() -> Tested {
    let body = Body::new(settings())?;
    let running = body.ready("demo.echo", "pair").await?;
    for _ in 0..2 {
        // Long enough for a note of the process, on a busy machine too.
        let short = Envelope {
            timeout: Some(Duration::from_millis(1_500)),
            ..request("demo.echo", "note-hold before")
        };
        let span = span_of(&body, short).await?;
        assert_eq!((span.notes, span.error), (vec![said("before")], Some(Code::Timeout)));
    }
    assert_eq!(running.state().borrow().restarts, 0);
    Ok(())
}

#[tokio::test]
async fn side_25_of_many_notes_64_are_kept_and_of_long_ones_1024_bytes() -> Tested {
    let body = Body::new(settings())?;
    let running = body.ready("demo.echo", "serve").await?;
    let span = span_of(&body, sampled("demo.echo", "notes 100")).await?;
    assert!(
        span.notes
            .iter()
            .eq((0..SPAN_ENTRIES_MAX).map(|n| said(&n.to_string())).collect::<Vec<_>>().iter())
    );
    assert_eq!(span.notes_dropped, 100 - 64 + 7, "with those that were not sent");
    let span = span_of(&body, sampled("demo.echo", "notes 1")).await?;
    assert_eq!((span.notes, span.notes_dropped), (vec![said("0")], 7));
    let long = span_of(&body, sampled("demo.echo", &format!("note {}", "é".repeat(5_000)))).await?;
    assert_eq!(long.notes, [said(&"é".repeat(SPAN_ENTRY_BYTES_MAX / 2))]);
    assert_eq!(running.state().borrow().restarts, 0);
    Ok(())
}

#[tokio::test]
async fn a_stranger_that_knows_only_the_page_says_something_about_its_calls() -> Tested {
    let shout = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/sidecars/shout.py");
    let reply = "            say(5, ";
    let note = "            say(15, field(1, said[1]), field(2, field(1, b\"shouted\") + field(2, b\"yes\")))\n            \
         say(15, field(1, said[1]), field(3, field(1, b\"heard\") + field(2, 1700000000000000000)))\n";
    let program = fs::read_to_string(shout)?
        .replace(reply, &format!("{note}{reply}"))
        .replace("demo.shout", "demo.echo");
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("shout.py"), program)?;
    let body = Body::new(settings())?;
    let place = folder.path().display();
    let running =
        body.start("demo.echo", &format!("runtime: exec\ncommand: [python3, {place}/shout.py]"))?;
    within(LONG, "the cell", running.ready(LONG)).await.map_err(|state| format!("{state:?}"))?;
    let span = span_of(&body, sampled("demo.echo", "\"tea\"")).await?;
    let name = Text::from("heard");
    let time_ns = 1_700_000_000_000_000_000;
    assert_eq!(
        span.notes,
        [attribute("shouted", "yes"), SpanEntry::Event { name, time_ns, attributes: vec![] }]
    );
    Ok(())
}

#[tokio::test]
async fn how_much_may_still_be_sent_to_a_process_is_told() -> Tested {
    let body = Body::new(settings())?;
    let unlimited = body.ready("demo.echo", "serve").await?;
    assert_eq!(workers(&unlimited)[0].credit_bytes, None);
    let miser = body.ready("demo.miser", "miser").await?;
    assert_eq!(workers(&miser)[0].credit_bytes, Some(1));
    assert_eq!(body.call("demo.miser", "tea").await?, "tea");
    // The process gives back a little more credit than it took.
    eventually("credit comes back", LONG, async || {
        workers(&miser)[0].credit_bytes.is_some_and(|left| left > 1)
    })
    .await;
    Ok(())
}
