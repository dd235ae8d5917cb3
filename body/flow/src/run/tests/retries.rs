//! Retries and their waits.

use super::*;

#[test]
fn a_call_that_waits_for_its_retry_keeps_its_place() {
    let fan = Step { each: each("${ .input }", 1), retry: retry(1, 10), ..step("a") };
    let mut run = run(flow(vec![fan]));
    assert_eq!(run.begin(json!([1, 2])), ["a[0](null)"]);
    assert_eq!(run.fail("a[0]", crash()), ["wait a[0]#1"]);
    assert_eq!(run.wakes("a[0]#1"), ["a[0]#1(null)"]);
    assert_eq!(run.answer("a[0]#1", json!("x")), ["a[1](null)"]);
    assert_eq!(run.answer("a[1]", json!("y")), ["finish [\"x\",\"y\"]"]);
}

#[test]
fn a_failed_call_is_tried_again_as_often_as_the_step_says() {
    let mut run = run(flow(vec![Step { retry: retry(2, 100), ..with("a", "${ .input }") }]));
    assert_eq!(run.begin(json!(7)), ["a(7)"]);
    assert_eq!(run.fail("a", crash()), ["wait a#1"]);
    assert_eq!(run.wakes("a#1"), ["a#1(7)"]);
    assert_eq!(run.fail("a#1", crash()), ["wait a#2"]);
    assert_eq!(run.wakes("a#2"), ["a#2(7)"]);
    assert_eq!(run.fail("a#2", crash()), ["fail cell-failed: step `a` failed: the cell failed"]);
}

#[test]
fn what_is_tried_again_is_what_may_be() {
    let error = |code: &str| CellError::new(Code::from(code), "no");
    for (error, not_run, again) in [
        (error("cell-failed"), false, true),
        (error("unavailable"), true, true),
        (error("not-found"), true, true),
        (error("stock.busy").retryable(), false, true),
        (error("timeout").retryable(), false, true),
        (error("timeout"), false, false),
        (error("unavailable"), false, false),
        (error("bad-request"), false, false),
        (error("stock.empty"), false, false),
    ] {
        let mut run = run(flow(vec![Step { retry: retry(1, 100), ..step("a") }]));
        run.begin(json!(null));
        let decisions =
            if not_run { run.not_run("a", error.clone()) } else { run.fail("a", error.clone()) };
        assert_eq!(decisions == ["wait a#1"], again, "{error} {not_run}: {decisions:?}");
    }
}

#[test]
fn retries_wait_longer_each_time_and_not_all_alike() {
    let plan =
        Arc::new(Plan::new(flow(vec![Step { retry: retry(40, 100), ..step("a") }])).unwrap());
    let delays = |seed: u128| {
        let mut run = Run::new(Arc::clone(&plan), Uuid::from_u128(seed));
        run.begin(json!(null));
        let mut delays = Vec::new();
        for attempt in 0..40 {
            let call = CallId::attempt_of(&"a".into(), None, attempt).to_string();
            match run.handle(failed(&call, crash(), false)).as_slice() {
                [Decision::Wait { call, due_ms }] => {
                    delays.push(Duration::from_millis(due_ms - AT_MS));
                    run.handle(waited(&call.to_string()));
                }
                other => panic!("{other:?}"),
            }
        }
        delays
    };
    for (n, delay) in delays(7).into_iter().enumerate() {
        let longest = Duration::from_millis(100 << n.min(10)).min(Duration::from_secs(2));
        assert!(delay >= longest / 2 && delay <= longest, "{n}: {delay:?}");
    }
    assert_eq!(delays(7), delays(7));
    assert_ne!(delays(7), delays(8));
}

#[test]
fn a_retry_without_backoff_calls_at_once() {
    let mut run = run(flow(vec![Step { retry: retry(1, 0), ..step("a") }]));
    run.begin(json!(null));
    assert_eq!(run.fail("a", crash()), ["a#1(null)"]);
    assert_eq!(run.answer("a#1", json!(1)), ["finish 1"]);
}
