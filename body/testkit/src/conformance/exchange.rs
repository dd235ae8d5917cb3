//! A list of calls with their answers, the same for every bus.

use std::sync::{Arc, Mutex};

use cbs::{BusError, Bytes, CellError, Code, Envelope, Outcome, Source, Trace, Transport, Uuid};

use super::{
    Stage,
    parts::{Answer, CELL, call, request, serve, stop},
};

/// The attribute by which the handler knows the exchange.
const WHICH: &str = "exchange";

/// One call: its request and the handler's answer.
pub(super) struct Exchange {
    pub(super) name: String,
    pub(super) request: Envelope,
    pub(super) answer: Answer,
}

/// Result of an exchange: the request as the handler saw it and the answer as the caller got it.
/// Fields that may differ are left out (the distance, the body that answered, the time that
/// remains).
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) request: Envelope,
    pub(super) answer: Answer,
}

/// Runs the exchanges one after the other.
pub(super) async fn play(stage: &Stage, exchanges: &[Exchange]) -> Vec<Seen> {
    let answers: Vec<Answer> = exchanges.iter().map(|exchange| exchange.answer.clone()).collect();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let record = requests.clone();
    let serving = serve(&stage.callee(), CELL, move |request: Envelope| {
        let which: usize =
            request.attribute(WHICH).and_then(|which| which.parse().ok()).expect("the attribute");
        let answer = answers.get(which).cloned().expect("a known exchange");
        record.lock().unwrap().push(request);
        async move { answer }
    })
    .await;
    let mut seen = Vec::new();
    for exchange in exchanges {
        let answer = call(&stage.caller, exchange.request.clone()).await;
        if let Ok(reply) = &answer {
            assert_eq!(reply.via, stage.via.unwrap_or(reply.via), "{}", exchange.name);
        }
        let request = requests.lock().unwrap().pop();
        let request = request
            .unwrap_or_else(|| panic!("{}: the handler saw nothing: {answer:?}", exchange.name));
        seen.push(Seen {
            request: plain_request(request, &exchange.request),
            answer: answer.map(plain_reply),
        });
    }
    stop(serving).await;
    seen
}

/// Returns a request as a handler sees it, without the fields that may differ.
pub(super) fn plain_request(seen: Envelope, sent: &Envelope) -> Envelope {
    // A bus may name itself as the source for a caller that names none.
    let source =
        if sent.source == Source::default() { Source::default() } else { seen.source.clone() };
    Envelope { timeout: None, idempotent: false, via: Transport::default(), source, ..seen }
}

/// Returns a reply as a caller gets it, without the fields that may differ.
pub(super) fn plain_reply(reply: Envelope) -> Envelope {
    Envelope { via: Transport::default(), source: Source::default(), ..reply }
}

/// Returns exchanges with requests and replies of all kinds.
pub(super) fn replies() -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    let mut add = |name: &str, request: Envelope, reply: Envelope| {
        push(&mut exchanges, name, request, Ok(reply));
    };
    for (name, payload) in payloads() {
        add(name, request(CELL, payload.clone()), Envelope::reply(payload));
    }
    let reply = Envelope::reply("<a/>");
    add(
        "content type",
        request(CELL, "{}"),
        Envelope { content_type: "application/xml".into(), ..reply.clone() },
    );
    add(
        "schema",
        request(CELL, "{}"),
        Envelope { schema: "demo/v1/Greeting".into(), ..reply.clone() },
    );
    let attributes = vec![
        ("tenant".into(), "Zoë & Søn".into()),
        ("空".into(), "".into()),
        ("a.b-c_D".into(), "=\r\n".into()),
    ];
    add("attributes", request(CELL, "{}"), Envelope { attributes, ..reply.clone() });
    let attributes =
        (0..31).map(|number| (format!("key-{number}").into(), "v".repeat(200).into())).collect();
    add("31 attributes", Envelope { attributes, ..request(CELL, "{}") }, reply.clone());
    add("every field", whole_request(), reply);
    exchanges
}

/// Returns exchanges with errors of all codes and kinds.
pub(super) fn errors() -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    let mut add = |error: CellError, outcome: Outcome| {
        let name = format!("{error}, {outcome:?}");
        push(&mut exchanges, &name, request(CELL, "{}"), Err(BusError::new(error, outcome)));
    };
    let codes = [
        Code::BadRequest,
        Code::Refused,
        Code::NotFound,
        Code::Conflict,
        Code::TooLarge,
        Code::CellFailed,
        Code::Internal,
        Code::Domain("stock.empty".into()),
        Code::Domain("no-dot".into()),
    ];
    for code in codes {
        add(CellError::new(code, "said by the handler"), Outcome::Ran);
    }
    for code in [Code::Refused, Code::Overloaded, Code::Unavailable] {
        add(CellError::new(code, "before it ran").retryable(), Outcome::NotRun);
    }
    add(CellError::new(Code::Timeout, "an inner call"), Outcome::Unknown);
    add(CellError::new(Code::Conflict, ""), Outcome::Ran);
    add(CellError::new(Code::Conflict, "ein Fehler – „später“ 🦀\nsecond line\t"), Outcome::Ran);
    add(CellError::new(Code::Conflict, "long ".repeat(2_000)), Outcome::Ran);
    let details = [
        serde_json::json!(null),
        serde_json::json!({ "path": ".items[3].name", "of": ["a", 1, 2.5, null, { "ü": true }] }),
        serde_json::json!("x".repeat(10_000)),
    ];
    for details in details {
        add(
            CellError::domain("stock.empty", "with details").retryable().with_details(details),
            Outcome::Ran,
        );
    }
    exchanges
}

fn push(exchanges: &mut Vec<Exchange>, name: &str, mut request: Envelope, answer: Answer) {
    request.attributes.push((WHICH.into(), exchanges.len().to_string().into()));
    exchanges.push(Exchange { name: name.to_owned(), request, answer });
}

/// Returns payloads of all sizes and kinds.
pub(super) fn payloads() -> Vec<(&'static str, Bytes)> {
    vec![
        ("no payload", Bytes::new()),
        ("one byte", Bytes::from_static(b"7")),
        ("every byte", (0..=255).collect()),
        ("a frame's mark", Bytes::from_static(&[cbs::frame::MARK, cbs::frame::VERSION, 0])),
        ("64 KiB", (0..65_536u32).map(|number| ((number * 31) >> 3) as u8).collect()),
        ("unicode", Bytes::from_static("{\"name\":\"Zoë 🦀\"}".as_bytes())),
    ]
}

/// Returns a request in which every field is set that a caller may set.
fn whole_request() -> Envelope {
    let id = |last: u128| Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0000 | last);
    Envelope {
        attempt: 3,
        correlation_id: Some(id(1)),
        causation_id: Some(id(2)),
        source: Source {
            body: "web1-7f3a91".into(),
            cell: "cell shop.cart".into(),
            revision: "a1b2c3".into(),
        },
        schema: "demo/v1/Name".into(),
        content_type: "application/json; charset=utf-8".into(),
        time_ms: cbs::now_ms(),
        foreign_trace: Some(Trace { trace_id: [7; 16], span_id: [9; 8], flags: 1 }),
        tracestate: "vendor=1,other=2".into(),
        idempotency_key: "order-4711".into(),
        idempotent: true,
        attributes: vec![("tenant".into(), "blue".into())],
        ..request(CELL, "{}")
    }
}
