//! A process that behaves well: calls, requests to its body, its environment, its stop.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use std::time::Duration;

use cbs::{
    BodyBus, CellContext, CellError, Code, Delivery, Envelope, Outcome, Subscription, Trace,
    Transport, Uuid,
};
use support::{Body, LONG, Logged, Tested, exists, pid, request, settings};
use testkit::{eventually, within};

#[tokio::test]
async fn a_call_is_answered_from_another_process_and_says_so() -> Tested {
    let body = Body::new(settings())?;
    let _running = body.ready("demo.echo", "serve").await?;
    let request = request("demo.echo", "hello");
    let id = request.id;
    let reply = within(LONG, "the reply", body.bus.call(request)).await?;
    assert_eq!((reply.payload.as_ref(), reply.via, reply.id), (&b"hello"[..], Transport::Ipc, id));
    assert_eq!(reply.source.body.as_str(), "web1");
    Ok(())
}

#[tokio::test]
async fn a_bare_reply_is_its_payload() -> Tested {
    let body = Body::new(settings())?;
    let _running = body.ready("demo.echo", "serve").await?;
    assert_eq!(body.call("demo.echo", "plain {\"x\":1}").await?, "{\"x\":1}");
    Ok(())
}

#[tokio::test]
async fn an_error_is_its_callers_but_what_failed_inside_stays_inside() -> Tested {
    let (logged, _guard) = Logged::listen();
    let body = Body::new(settings())?;
    let _running = body.ready("demo.echo", "serve").await?;
    let error = body.call("demo.echo", "fail demo.empty").await.err().ok_or("it was answered")?;
    assert_eq!(
        (error.error(), error.outcome()),
        (&CellError::domain("demo.empty", "my secret"), Outcome::Ran)
    );
    let request = request("demo.echo", "fail cell-failed");
    let id = request.id;
    assert_eq!(body.bus.call(request).await, Err(CellError::cell_failed(id).into()));
    let log = logged.text();
    assert!(log.contains("my secret") && log.contains(&id.to_string()), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_reply_that_is_none_costs_its_caller_an_error() -> Tested {
    let (logged, _guard) = Logged::listen();
    let body = Body::new(settings())?;
    let running = body.ready("demo.echo", "serve").await?;
    let error = body.call("demo.echo", "nonsense").await.err().ok_or("it was answered")?;
    assert_eq!((error.code(), error.outcome()), (&Code::CellFailed, Outcome::Ran));
    assert!(logged.text().contains("sent what is no reply: frame version 9"), "{}", logged.text());
    assert_eq!(body.call("demo.echo", "echo").await?, "echo");
    assert_eq!(running.state().borrow().restarts, 0);
    Ok(())
}

#[tokio::test]
async fn a_call_that_is_larger_than_the_process_takes_is_refused_before_it_is_sent() -> Tested {
    let body = Body::new(settings())?;
    let running = body.ready("demo.echo", "small").await?;
    let error = body.call("demo.echo", &"x".repeat(1_000)).await.err().ok_or("it was answered")?;
    assert_eq!((error.code(), error.outcome()), (&Code::TooLarge, Outcome::NotRun));
    assert!(error.error().message.ends_with("the limit is 1000"), "{error}");
    assert_eq!(body.call("demo.echo", "echo").await?, "echo");
    assert_eq!(running.state().borrow().restarts, 0);
    Ok(())
}

#[tokio::test]
async fn at_the_deadline_the_process_is_told_and_takes_the_next_call() -> Tested {
    let body = Body::new(settings())?;
    let running = body.ready("demo.echo", "pair").await?;
    for _ in 0..4 {
        let short =
            Envelope { timeout: Some(Duration::from_millis(20)), ..request("demo.echo", "hold") };
        let error = body.bus.call(short).await.err().ok_or("it was answered")?;
        assert_eq!((error.code(), error.outcome()), (&Code::Timeout, Outcome::Unknown));
    }
    // It takes two at once: calls that were given up hold no slot.
    assert_eq!(body.call("demo.echo", "echo").await?, "echo");
    assert_eq!(running.state().borrow().restarts, 0);
    Ok(())
}

/// Returns what the process knows about the call that it is in.
async fn known_of_the_call(
    context: &CellContext,
    _: serde_json::Value,
) -> Result<serde_json::Value, CellError> {
    Ok(serde_json::json!({
        "id": context.id().to_string(),
        "correlation": context.correlation_id().to_string(),
        "caller": context.caller().cell.as_str(),
        "body": context.caller().body.as_str(),
        "trace": context.trace().to_string(),
        "remaining": context.remaining().as_millis() as u64,
    }))
}

#[tokio::test]
async fn a_call_within_a_call_follows_from_it() -> Tested {
    let body = Body::with_cells(settings(), [cbs::cell("demo.tell", known_of_the_call)])?;
    let reported = body.start("demo.tell", "runtime: rust\ntimeout: 20s")?;
    within(LONG, "the cell", reported.ready(LONG)).await.map_err(|state| format!("{state:?}"))?;
    let _running = body.ready_with("demo.echo", "serve", "timeout: 20s").await?;
    let trace = Trace::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let correlation_id = Some(Uuid::from_u128(7));
    let outer = Envelope {
        correlation_id,
        foreign_trace: trace,
        timeout: Some(Duration::from_secs(10)),
        ..request("demo.echo", "call demo.tell 1")
    };
    let id = outer.id;
    let reply = within(LONG, "the reply", body.bus.call(outer)).await?;
    let seen: serde_json::Value = serde_json::from_slice(&reply.payload)?;
    assert_eq!(seen["correlation"], Uuid::from_u128(7).to_string());
    assert_eq!((&seen["caller"], &seen["body"]), (&"cell demo.echo".into(), &"web1".into()));
    assert_ne!(seen["id"], id.to_string());
    assert!(
        seen["trace"]
            .as_str()
            .is_some_and(|trace| trace.starts_with("00-0af7651916cd43dd8448eb211c80319c-"))
    );
    assert!(
        seen["remaining"].as_u64().is_some_and(|left| left <= 10_000 && left > 5_000),
        "{seen}"
    );

    let alone =
        within(LONG, "the reply", body.bus.call(request("demo.echo", "call-alone demo.tell 1")))
            .await?;
    let seen: serde_json::Value = serde_json::from_slice(&alone.payload)?;
    assert_eq!(
        (&seen["caller"], &seen["correlation"]),
        (&"cell demo.echo".into(), &seen["id"]),
        "a chain of its own"
    );
    assert!(seen["remaining"].as_u64().is_some_and(|left| left <= 5_000), "{seen}");

    let nobody =
        body.call("demo.echo", "call demo.nobody 1").await.err().ok_or("it was answered")?;
    assert_eq!(nobody.code(), &Code::NotFound);
    Ok(())
}

#[tokio::test]
async fn an_event_goes_out_with_the_ids_of_its_call() -> Tested {
    let body = Body::new(settings())?;
    let _running = body.ready("demo.echo", "serve").await?;
    let mut events =
        body.bus.subscribe(Subscription { filter: "order.*".parse()?, group: None }).await?;
    let outer = request("demo.echo", "publish order.placed 42");
    let id = outer.id;
    within(LONG, "the reply", body.bus.call(outer)).await?;
    let Some(Delivery::Event(event)) = within(LONG, "the event", events.next()).await else {
        return Err("no event".into());
    };
    assert_eq!(
        (event.payload.as_ref(), event.causation_id, event.source.cell.as_str()),
        (&b"42"[..], Some(id), "cell demo.echo")
    );
    Ok(())
}

#[tokio::test]
async fn what_is_printed_stands_there_before_the_reply() -> Tested {
    let body = Body::new(settings())?;
    let _running = body.ready("demo.echo", "serve").await?;
    for number in 1..=20 {
        assert_eq!(body.call("demo.echo", &format!("print line {number}")).await?, "printed");
        assert_eq!(body.terminal.lines().len(), number);
    }
    assert_eq!(body.terminal.lines().last().map(String::as_str), Some("line 20"));
    Ok(())
}

#[tokio::test]
async fn a_question_is_answered_with_json() -> Tested {
    let body = Body::new(settings())?;
    let _running = body.ready("demo.echo", "serve").await?;
    assert_eq!(body.call("demo.echo", "ask sure?").await?, "\"sure? yes\"");
    assert_eq!(body.call("demo.echo", "ask nobody?").await?, "null");
    Ok(())
}

#[tokio::test]
async fn a_line_of_the_log_has_the_ids_of_its_call() -> Tested {
    let (logged, _guard) = Logged::listen();
    let body = Body::new(settings())?;
    let _running = body.ready("demo.echo", "serve").await?;
    let outer = request("demo.echo", "log so it is");
    let (id, trace) = (outer.id.to_string(), format!("trace_id={}", outer.id.simple()));
    within(LONG, "the reply", body.bus.call(outer)).await?;
    let log = logged.text();
    let line = log.lines().find(|line| line.contains("so it is")).ok_or("no line")?;
    for part in [
        "WARN",
        "cbs::cell",
        "cell=demo.echo",
        &id,
        &trace,
        "logger=scripted",
        "{\"colour\":\"green\"}",
    ] {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_process_runs_where_its_spec_stands_and_within_its_limits() -> Tested {
    let folder = tempfile::tempdir()?;
    let program = env!("CARGO_BIN_EXE_scripted-sidecar");
    let yaml = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.echo }\nspec:\n  runtime: exec\n  \
                command: [sh, ./run.sh]\n  limits: { memory: 256MiB, files: 40 }\n  env: { MODE: quick }\n";
    std::fs::write(folder.path().join("run.sh"), format!("exec {program} serve demo.echo\n"))?;
    std::fs::write(folder.path().join("cell.yaml"), yaml)?;
    let specs = spec::load(&[folder.path().join("cell.yaml")], &spec::Options::default())?;
    let spec = specs.cells().next().ok_or("no cell")?.clone();
    let body = Body::new(settings())?;
    let running = body.start_spec(spec)?;
    within(LONG, "the cell", running.ready(LONG)).await.map_err(|state| format!("{state:?}"))?;
    let place = std::fs::canonicalize(folder.path())?.display().to_string();
    assert_eq!(body.call("demo.echo", "folder").await?, place);
    assert_eq!(body.call("demo.echo", "allocate 128").await?, "allocated");
    let open: usize = body.call("demo.echo", "open 100").await?.parse()?;
    assert!((20..40).contains(&open), "{open}");
    assert!(body.call("demo.echo", "environment").await?.lines().any(|line| line == "MODE=quick"));
    Ok(())
}

#[tokio::test]
async fn a_cell_that_cannot_be_hosted_is_told_before_anything_starts() -> Tested {
    let body = Body::new(settings())?;
    let error = body
        .start("demo.echo", "runtime: exec\ncommand: [cbs-no-such-program]")
        .err()
        .ok_or("it was started")?;
    let said = "cell `demo.echo` (specs.yaml:1): there is no program `cbs-no-such-program` in PATH: install it, or write its path";
    assert_eq!(error.to_string(), said);
    Ok(())
}

#[tokio::test]
async fn a_stop_answers_what_runs_and_leaves_nothing_behind() -> Tested {
    let body = Body::new(settings())?;
    let running = body.ready("demo.echo", "serve").await?;
    let process = pid(&running).ok_or("no process")?;
    within(Duration::from_secs(5), "the stop", running.stop()).await;
    assert!(!exists(process));
    let running = body.ready("demo.echo", "serve").await?;
    let process = pid(&running).ok_or("no process")?;
    drop(running);
    eventually("a dropped cell's process has gone", LONG, async || !exists(process)).await;
    Ok(())
}
