use std::{collections::BTreeMap, time::Duration};

use bus_nats::Counters;
use cbs::Text;

use super::*;

fn endpoint(
    body: &str,
    state: &str,
    micros: &[u64],
    errors: u64,
) -> Result<Endpoint, cbs::NameError> {
    let mut latency = LatencyBuckets::default();
    let calls = micros.len() as u64 + errors;
    micros.iter().for_each(|one| latency.count(*one));
    let busy: u64 = micros.iter().sum();
    Ok(Endpoint {
        target: "logic.greet".parse()?,
        body: body.into(),
        subject: String::new(),
        language: Text::default(),
        version: Text::default(),
        revision: "abc".into(),
        description: Text::default(),
        input: Text::default(),
        output: Text::default(),
        calls,
        errors,
        shed: 0,
        in_flight: 1,
        queued: 2,
        mean: Duration::from_micros(busy.checked_div(calls).unwrap_or(0)),
        latency,
        errors_by_code: BTreeMap::new(),
        last_error: Text::default(),
        state: state.into(),
        reason: Text::default(),
        restarts: 3,
        workers: Vec::new(),
        connections: Counters::default(),
    })
}

#[test]
fn a_target_is_one_row_over_all_its_bodies_or_one_for_each() -> Result<(), cbs::NameError> {
    let mut rates = Rates::default();
    let start = Instant::now();
    let slow = [10_000; 50];
    let first = rates.rows(
        vec![endpoint("a", "ready", &slow, 0)?, endpoint("b", "ready", &[], 0)?],
        start,
        false,
    );
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].calls_per_s, first[0].p50_us), (None, None), "nobody knows since when");
    let a: Vec<u64> = slow.into_iter().chain([100; 90]).collect();
    let found = || -> Result<_, cbs::NameError> {
        Ok(vec![endpoint("a", "ready", &a, 0)?, endpoint("b", "failed", &[50_000; 10], 20)?])
    };
    let later = start + Duration::from_secs(2);
    let both = rates.rows(found()?, later, false);
    let [row] = both.as_slice() else { panic!("{both:?}") };
    assert_eq!((row.calls_per_s, row.errors_per_s), (Some(60.0), Some(10.0)));
    // 90 of about 100 µs and 10 of about 50 ms; the 50 slow ones were before.
    assert!(row.p50_us.is_some_and(|us| (100..=128).contains(&us)), "{row:?}");
    assert!(row.p99_us.is_some_and(|us| (50_000..=65_536).contains(&us)), "{row:?}");
    assert_eq!(
        (row.in_flight, row.queued, row.restarts, row.state.as_str()),
        (2, 4, 6, "failed, ready")
    );
    assert_eq!(row.bodies.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b"]);
    let each = rates.rows(found()?, later + Duration::from_secs(1), true);
    assert_eq!(each.len(), 2);
    assert_eq!((each[0].calls_per_s, each[0].p99_us), (Some(0.0), None), "nothing more has ended");
    Ok(())
}

#[test]
fn what_began_anew_counts_from_zero() -> Result<(), cbs::NameError> {
    let mut rates = Rates::default();
    let start = Instant::now();
    rates.rows(vec![endpoint("a", "ready", &[1_000; 100], 0)?], start, false);
    let rows = rates.rows(
        vec![endpoint("a", "ready", &[100; 5], 0)?],
        start + Duration::from_secs(1),
        false,
    );
    assert_eq!(rows[0].calls_per_s, Some(5.0));
    assert!(
        rows[0].p99_us.is_some_and(|us| us <= 128) && rows[0].mean_us == Some(100.0),
        "{rows:?}"
    );
    Ok(())
}
