//! The program `cbs` with the cells of the stories linked in: they misbehave, wait and report on
//! request.
#![allow(clippy::panic, reason = "a cell that panics is what a story needs")]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use cbs::{CellContext, CellError, Envelope};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Ends the calls of `story.holds` in this process.
static FREED: Notify = Notify::const_new();
/// Limit of one call of `story.watches`.
const WATCH_LIMIT: Duration = Duration::from_secs(10);
/// Time between two calls of `story.watches`.
const WATCH_EVERY: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let mut cells = body::greeting_cells();
    cells.extend([
        cbs::cell("story.slow", slow),
        cbs::cell("story.holds", holds),
        cbs::cell("story.frees", frees),
        cbs::cell("story.panics", panics),
        cbs::cell("story.big", big),
        cbs::cell("story.calls", calls),
        cbs::cell("story.tells", tells),
        cbs::cell("story.logs", logs),
        cbs::cell("story.watches", watches),
    ]);
    // A story that needs many cells sets their number in the environment.
    let many = std::env::var("STORY_MANY").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    cells.extend((0..many).map(|index: usize| cbs::cell(format!("many.c{index}").as_str(), tells)));
    body::main_with(cells)
}

fn number(input: &Value, field: &str) -> u64 {
    input.get(field).and_then(Value::as_u64).unwrap_or_default()
}

fn word<'a>(input: &'a Value, field: &str) -> &'a str {
    input.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Answers after `ms` with the id of its body.
async fn slow(context: &CellContext, input: Value) -> Result<Value, CellError> {
    // sleep: a slow cell is what the stories need.
    tokio::time::sleep(Duration::from_millis(number(&input, "ms"))).await;
    Ok(json!({ "body": context.env().body }))
}

/// Answers at once; with `hold`, prints `held` and answers only when it is freed.
async fn holds(context: &CellContext, input: Value) -> Result<Value, CellError> {
    if input.get("hold") == Some(&Value::Bool(true)) {
        let mut freed = std::pin::pin!(FREED.notified());
        freed.as_mut().enable();
        context.print("held").await?;
        freed.await;
    }
    Ok(json!({ "body": context.env().body }))
}

/// Logs as many lines as `lines` says, with the text `line`, at the level `debug` where `debug` is
/// set.
async fn logs(context: &CellContext, input: Value) -> Result<Value, CellError> {
    context.span().attribute("lines", number(&input, "lines").to_string());
    for count in 0..number(&input, "lines") {
        match input.get("debug") {
            Some(_) => context.log().debug(format_args!("{} {count}", word(&input, "line"))),
            None => context.log().info(format_args!("{} {count}", word(&input, "line"))),
        }
    }
    Ok(json!({ "body": context.env().body }))
}

/// Frees the calls that `story.holds` holds in this process.
async fn frees(_: &CellContext, _: Value) -> Result<(), CellError> {
    FREED.notify_waiters();
    Ok(())
}

/// Panics with the joined texts of `words`: no message on the wire contains the joined text.
async fn panics(_: &CellContext, input: Value) -> Result<(), CellError> {
    let words = input.get("words").and_then(Value::as_array).cloned().unwrap_or_default();
    panic!("{}", words.iter().filter_map(Value::as_str).collect::<String>());
}

/// Answers with a text of `bytes` bytes.
async fn big(_: &CellContext, input: Value) -> Result<Value, CellError> {
    Ok(json!({ "text": "x".repeat(usize::try_from(number(&input, "bytes")).unwrap_or_default()) }))
}

/// Calls the cell `cell` with `input` and answers with its answer.
async fn calls(context: &CellContext, input: Value) -> Result<Value, CellError> {
    context.call(word(&input, "cell"), input.get("input").unwrap_or(&Value::Null)).await
}

/// Answers with the data of its context, and logs a line.
async fn tells(context: &CellContext, _: Value) -> Result<Value, CellError> {
    context.log().info(format_args!("told"));
    Ok(json!({
        "body": context.env().body,
        "id": context.id().to_string(),
        "correlation_id": context.correlation_id().to_string(),
        "traceparent": context.trace().to_string(),
        "caller": context.caller().cell.as_str(),
        "remaining_ms": u64::try_from(context.remaining().as_millis()).unwrap_or(u64::MAX),
    }))
}

/// Calls the cell `cell` again and again until its own time is up, and prints each change of
/// outcome with the time that this call took.
async fn watches(context: &CellContext, input: Value) -> Result<(), CellError> {
    let mut last = String::new();
    loop {
        let target = word(&input, "cell").parse().map_err(|_| CellError::bad_request("no name"))?;
        let request = Envelope { timeout: Some(WATCH_LIMIT), ..context.request(target, "null") };
        let began = Instant::now();
        let outcome = match context.send(request).await {
            Ok(_) => "answered".to_owned(),
            Err(error) => error.code().to_string(),
        };
        if outcome != last {
            context.print(format!("{outcome} after {} ms", began.elapsed().as_millis())).await?;
            last = outcome;
        }
        // sleep: it watches at a pace.
        tokio::time::sleep(WATCH_EVERY).await;
    }
}
