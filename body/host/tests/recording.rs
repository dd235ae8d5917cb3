//! Recording of calls: which are recorded, and with which fields.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails loudly"
)]

mod support;

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use bus::InProcess;
use cbs::{
    BodyBus, CellContext, CellError, Code, Envelope, Serving, Side, Span, SpanEntry, SpanSink,
    Trace, Transport, Uuid, span_of, span_of_attempt,
};
use host::{CallLimits, CellHandler, Schemas};
use support::{bus, env, limits, target};

/// A sink that samples the traces whose id ends in an even byte.
#[derive(Default)]
struct Kept {
    spans: Mutex<Vec<Span>>,
    /// Duration above which a call is slow. `None`: no call is slow, however busy the machine is.
    slow: Option<Duration>,
}

impl SpanSink for Kept {
    fn samples(&self, trace_id: [u8; 16]) -> bool {
        trace_id[15].is_multiple_of(2)
    }
    fn slow(&self) -> Duration {
        self.slow.unwrap_or(Duration::MAX)
    }
    fn record(&self, span: Span) {
        self.spans.lock().unwrap().push(span);
    }
}

impl Kept {
    fn take(&self) -> Vec<Span> {
        std::mem::take(&mut self.spans.lock().unwrap())
    }
}

async fn inner(context: &CellContext, wish: String) -> Result<String, CellError> {
    context.span().attribute("wish", wish.as_str());
    match wish.as_str() {
        "fail" => Err(CellError::domain("demo.wish", "no")),
        "dawdle" => {
            // sleep: the time that the call takes is what is recorded
            tokio::time::sleep(Duration::from_millis(30)).await;
            Ok(wish)
        }
        _ => Ok(wish),
    }
}

async fn outer(context: &CellContext, wish: String) -> Result<String, CellError> {
    context.span().event("asks", [("whom", "demo.inner")]);
    context.call("demo.inner", &wish).await
}

type Two = (Arc<InProcess>, Vec<(Arc<CellHandler>, Box<dyn Serving>)>);

/// Serves two cells with a recorder.
async fn two(kept: &Arc<Kept>) -> Two {
    two_within(kept, Duration::from_secs(60)).await
}

/// Serves the two cells with this timeout.
async fn two_within(kept: &Arc<Kept>, timeout: Duration) -> Two {
    let bus = bus();
    let mut serving = Vec::new();
    for cell in [cbs::cell("demo.inner", inner), cbs::cell("demo.outer", outer)] {
        let mut env = env(bus.clone(), cell.name()).with_span_sink(Some(kept.clone()));
        env.language = "rust".into();
        let cell_handler =
            CellHandler::new(Arc::new(env), cell.cell(), limits(1, 4, timeout), Schemas::default());
        serving.push((
            cell_handler.clone(),
            bus.serve(cell_handler.service(Arc::default())).await.unwrap(),
        ));
    }
    (bus, serving)
}

/// Returns a request whose trace is sampled, or is not.
fn request(name: &str, wish: &str, sampled: bool) -> Envelope {
    let mut request = Envelope::request(target(name), format!("{wish:?}"));
    let mut id = request.id.into_bytes();
    id[15] = (id[15] & 0xfe) | u8::from(!sampled);
    request.id = Uuid::from_bytes(id);
    request
}

#[tokio::test(start_paused = true)]
async fn what_is_not_sampled_and_goes_well_leaves_nothing() {
    let kept = Arc::<Kept>::default();
    let (bus, served) = two(&kept).await;
    bus.call(request("demo.outer", "fine", false)).await.unwrap();
    assert_eq!(kept.take(), []);
    let stats = served[0].0.stats();
    assert_eq!((stats.calls.load(Ordering::Relaxed), stats.latency.read().calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_sampled_root_is_recorded_with_all_that_follows() {
    let kept = Arc::<Kept>::default();
    let (bus, _served) = two(&kept).await;
    let root = request("demo.outer", "fine", true);
    bus.call(root.clone()).await.unwrap();
    let [inner, outer] = &kept.take()[..] else { panic!("two spans") };
    assert_eq!((outer.parent, outer.trace.span_id), (None, span_of(root.id)));
    assert_eq!(inner.parent, Some(outer.trace.span_id));
    assert_eq!([inner.trace.trace_id, outer.trace.trace_id], [root.id.into_bytes(); 2]);
    assert!(inner.trace.is_sampled() && outer.trace.is_sampled());
    assert_eq!(
        (inner.target.to_string(), inner.peer.cell.as_str()),
        ("cell demo.inner".to_owned(), "cell demo.outer")
    );
    assert_eq!(
        (outer.side, outer.via, outer.language.as_str(), &outer.error),
        (Side::Server, Transport::InProcess, "rust", &None)
    );
    assert_eq!(inner.notes, [SpanEntry::Attribute { key: "wish".into(), value: "fine".into() }]);
    assert!(
        matches!(&outer.notes[..], [SpanEntry::Event { name, attributes, .. }] if name.as_str() == "asks" && attributes.len() == 1)
    );
}

#[tokio::test]
async fn errors_and_slow_calls_are_recorded_unsampled_and_still_fit_together() {
    let kept = Arc::new(Kept { slow: Some(Duration::from_millis(20)), ..Kept::default() });
    let (bus, _served) = two(&kept).await;
    let root = request("demo.outer", "fail", false);
    bus.call(root.clone()).await.unwrap_err();
    let [inner, outer] = &kept.take()[..] else { panic!("two spans") };
    assert_eq!(inner.error, Some(Code::Domain("demo.wish".into())));
    assert_eq!((inner.parent, outer.parent), (Some(span_of(root.id)), None));
    assert_eq!(outer.trace.span_id, span_of(root.id));
    assert!(!inner.trace.is_sampled());

    bus.call(request("demo.inner", "dawdle", false)).await.unwrap();
    let [slow] = &kept.take()[..] else { panic!("one span") };
    assert_eq!(slow.error, None);
}

#[tokio::test(start_paused = true)]
async fn who_sampled_it_elsewhere_decides() {
    let kept = Arc::<Kept>::default();
    let (bus, _served) = two(&kept).await;
    for sampled in [true, false] {
        let trace = Trace { trace_id: [8; 16], span_id: [9; 8], flags: u8::from(sampled) };
        bus.call(Envelope {
            foreign_trace: Some(trace),
            ..request("demo.inner", "fine", !sampled)
        })
        .await
        .unwrap();
        let spans = kept.take();
        assert_eq!(spans.len(), usize::from(sampled));
        assert!(
            spans.iter().all(|span| span.parent == Some([9; 8]) && span.trace.trace_id == [8; 16])
        );
    }
    // A call that follows from a call whose trace is not sampled does not begin one.
    let caused =
        Envelope { causation_id: Some(Uuid::now_v7()), ..request("demo.inner", "fine", true) };
    bus.call(caused).await.unwrap();
    assert_eq!(kept.take(), []);
}

#[tokio::test(start_paused = true)]
async fn waiting_and_being_turned_away_are_recorded() {
    let kept = Arc::<Kept>::default();
    let (bus, _served) = two_within(&kept, Duration::from_millis(75)).await;
    let calls = (0..7).map(|_| bus.call(request("demo.inner", "dawdle", true)));
    let answers = futures::future::join_all(calls).await;
    let spans = kept.take();
    assert_eq!((answers.len(), spans.len()), (7, 7));
    let code = |code: Code| spans.iter().filter(|span| span.error.as_ref() == Some(&code)).count();
    // One runs, four wait, two are refused; within 75 ms two can end.
    let turned_away = code(Code::Overloaded);
    let late = code(Code::Timeout);
    assert!(turned_away >= 2 && late >= 1 && turned_away + late == 5, "{spans:#?}");
    assert!(
        spans
            .iter()
            .any(|span| span.waited >= Duration::from_millis(30) && span.elapsed > span.waited)
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_a_span_of_its_own() {
    let kept = Arc::<Kept>::default();
    let (bus, _served) = two(&kept).await;
    let first = request("demo.inner", "fine", true);
    for attempt in 0..2 {
        bus.call(Envelope { attempt, ..first.clone() }).await.unwrap();
    }
    let ids: Vec<_> = kept.take().iter().map(|span| span.trace.span_id).collect();
    assert_eq!(ids, [span_of(first.id), span_of_attempt(first.id, 1)]);
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test(start_paused = true)]
async fn without_a_recorder_nothing_is_timed() {
    let bus = bus();
    let served = support::serve(
        &bus,
        &cbs::cell("demo.inner", inner),
        CallLimits::default(),
        Schemas::default(),
    )
    .await;
    bus.call(request("demo.inner", "fine", true)).await.unwrap();
    assert_eq!(served.cell_handler.stats().latency.read().calls(), 0);
}
