//! BUS-2, BUS-5: the receiver gets exactly what the sender sent.

use cbs::{BusError, CellError, Code, Envelope, Kind, Outcome};

use super::{
    Stage,
    exchange::{errors, plain_request, play, replies},
    parts::{CELL, assert_fails, call, request, serve},
};

/// **BUS-2**
pub async fn bus_2_a_reply_carries_its_requests_ids_and_what_the_handler_gave_it(stage: Stage) {
    let exchanges = replies();
    for (exchange, seen) in exchanges.iter().zip(play(&stage, &exchanges).await) {
        let name = &exchange.name;
        let request = &exchange.request;
        let given = exchange.answer.as_ref().expect("a reply");
        let got = seen.answer.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(got.kind, Kind::Reply, "{name}");
        assert_eq!(
            (got.id, got.correlation()),
            (request.id, request.correlation()),
            "{name}: the ids"
        );
        assert_eq!(got.causation_id, request.causation_id, "{name}");
        assert_eq!(got.payload, given.payload, "{name}");
        assert_eq!(
            (&got.schema, got.content_type()),
            (&given.schema, given.content_type()),
            "{name}"
        );
        assert_eq!(got.attributes, given.attributes, "{name}: the attributes");
        assert_eq!(got.error, None, "{name}");
    }
}

/// **BUS-2**
pub async fn bus_2_a_handler_sees_the_request_as_it_was_sent(stage: Stage) {
    let exchanges = replies();
    for (exchange, seen) in exchanges.iter().zip(play(&stage, &exchanges).await) {
        let sent = plain_request(exchange.request.clone(), &exchange.request);
        assert_eq!(seen.request, sent, "{}", exchange.name);
    }
}

/// **BUS-5**
pub async fn bus_5_a_handlers_error_reaches_the_caller_unchanged(stage: Stage) {
    let exchanges = errors();
    for (exchange, seen) in exchanges.iter().zip(play(&stage, &exchanges).await) {
        assert_eq!(seen.answer, exchange.answer, "{}", exchange.name);
    }
}

/// **BUS-5**
pub async fn bus_5_an_error_envelope_is_an_error(stage: Stage) {
    let _serving = serve(&stage.callee(), CELL, |_| async {
        let error = CellError::domain("stock.empty", "no more tea");
        Ok(Envelope::error(BusError::new(error, Outcome::Ran)))
    })
    .await;
    let answer = call(&stage.caller, request(CELL, "{}")).await;
    assert_fails(&answer, &Code::Domain("stock.empty".into()), Outcome::Ran);
}
