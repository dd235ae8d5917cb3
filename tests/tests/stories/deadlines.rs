//! Time, correlation and trace travel with a call.

use e2e::Fleet;
use serde_json::json;

use crate::stories;

/// Number of milliseconds that a timeout's message reports. The clock of this test would measure
/// how busy the machine is.
fn waited_ms(reported: &str) -> u64 {
    assert!(reported.starts_with("timeout: "), "{reported}");
    let ms =
        reported.split("within ").nth(1).and_then(|rest| rest.split(" ms").next()?.parse().ok());
    ms.unwrap_or_else(|| panic!("it does not say how long: {reported}"))
}

#[tokio::test]
async fn a_caller_waits_as_long_as_it_says() {
    let fleet = Fleet::start().await;
    let _body = fleet.up(&stories("one").cell("story.holds", "timeout: 1m")).await;
    let done = fleet
        .run(&["call", "story.holds", r#"{"hold":true}"#, "--timeout", "300ms"])
        .await
        .with_status(1);
    assert!(waited_ms(&done.stderr) <= 300, "{}", done.stderr);
}

#[tokio::test]
async fn a_steps_timeout_fails_its_flow_unless_it_is_caught() {
    let fleet = Fleet::start().await;
    let step = "id: wait, call: story.holds, with: { hold: true }, timeout: 300ms";
    let body = stories("one")
        .cell("story.holds", "timeout: 1m")
        .flow("strict", &format!("steps: [ {{ {step} }} ]"))
        .flow(
            "lenient",
            &format!("steps: [ {{ {step}, catch: {{ with: '${{ .error.code }}' }} }} ]"),
        );
    let _body = fleet.up(&body).await;
    let done = fleet.run(&["flow", "run", "strict"]).await.with_status(1);
    assert!(waited_ms(&done.stderr) <= 300, "{}", done.stderr);
    assert_eq!(fleet.run(&["flow", "run", "lenient"]).await.with_status(0).stdout, "\"timeout\"\n");
}

#[tokio::test]
async fn a_call_made_for_a_caller_has_the_time_that_is_left_and_its_trace() {
    let fleet = Fleet::start().await;
    let calls = stories("one").cell("story.calls", "timeout: 1m");
    let body = fleet.up(&calls).await;
    let _other = fleet.up(&stories("two").cell("story.tells", "timeout: 1m")).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("00-{trace}-b7ad6b7169203331-01");
    let headers = [("Cbs-Timeout-Ms", "20000"), ("traceparent", traceparent.as_str())];
    let reported = fleet
        .caller()
        .await
        .call_with("story.calls", &headers, &json!({ "cell": "story.tells" }))
        .await
        .json();
    assert_eq!(
        (&reported["body"], &reported["caller"]),
        (&json!("two"), &json!("cell story.calls"))
    );
    let remaining = reported["remaining_ms"].as_u64().unwrap();
    assert!((1..20_000).contains(&remaining), "{reported}");
    let carried = reported["traceparent"].as_str().unwrap();
    assert!(carried.starts_with(&format!("00-{trace}-")) && carried.ends_with("-01"), "{reported}");
    assert_ne!(reported["correlation_id"], reported["id"]);
    drop(body);
}

#[tokio::test]
async fn the_log_line_of_a_cell_has_the_ids_of_its_call() {
    let fleet = Fleet::start().await;
    let mut body = fleet.up(&stories("one").cell("story.calls", "").cell("story.tells", "")).await;
    let reported =
        fleet.caller().await.call("story.calls", &json!({ "cell": "story.tells" })).await.json();
    // An answer does not wait for the log.
    let log = body.until_told("\"told\"").await;
    let line = log.lines().find(|line| line.contains("\"told\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    for field in ["id", "correlation_id"] {
        assert_eq!(line["fields"][field], reported[field], "{line}");
    }
    assert_eq!(line["fields"]["cell"], "story.tells");
}
