//! Rates of the last second, from counters that only grow.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Instant,
};

use bus_nats::discovery::Endpoint;
use cbs::LatencyBuckets;
use clap::ValueEnum;
use serde::Serialize;

use crate::cli::ls;

/// Recent activity of one target, in all bodies that serve it or in one.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) target: String,
    /// Bodies that serve it, sorted.
    pub(super) bodies: BTreeSet<String>,
    /// `None` if it is seen for the first time.
    pub(super) calls_per_s: Option<f64>,
    pub(super) errors_per_s: Option<f64>,
    /// Mean time in the handler of the calls that ended since the last sample; `None` if none
    /// ended.
    pub(super) mean_us: Option<f64>,
    /// Time in which half of the calls ended that ran and ended since the last sample, including
    /// the wait for a permit. It is rounded up by a quarter at most. `None` if none ended.
    pub(super) p50_us: Option<u64>,
    /// Time in which 99 of 100 of these calls ended.
    pub(super) p99_us: Option<u64>,
    pub(super) in_flight: u64,
    pub(super) queued: u64,
    pub(super) restarts: u64,
    /// State `ready`, with the number of workers, and the other states.
    pub(super) state: String,
}

/// Counters of an endpoint, with the time of the sample.
#[derive(Clone)]
struct Count {
    calls: u64,
    errors: u64,
    busy_us: f64,
    times: LatencyBuckets,
    at: Instant,
}

/// Activity in one body or several since the last sample.
#[derive(Default)]
struct Lately {
    row: Row,
    ended: u64,
    busy_us: f64,
    times: LatencyBuckets,
    states: BTreeSet<String>,
}

/// Target, body, revision.
type Key = (String, String, String);

/// Holds the last sample.
#[derive(Default)]
pub(super) struct Rates(HashMap<Key, Count>);

impl Rates {
    /// Returns the activity since the last sample, by target; with `by_body` by target and body. An
    /// endpoint that started again counts from zero.
    pub(super) fn rows(&mut self, found: Vec<Endpoint>, at: Instant, by_body: bool) -> Vec<Row> {
        let last = std::mem::take(&mut self.0);
        let mut all = BTreeMap::<(String, String), Lately>::new();
        for endpoint in found {
            let target = endpoint.target.to_string();
            let body = endpoint.body.to_string();
            let key = (target.clone(), body.clone(), endpoint.revision.to_string());
            let now = Count::of(&endpoint, at);
            let row = if by_body { body } else { String::new() };
            all.entry((target, row)).or_default().add(&endpoint, last.get(&key), &now);
            self.0.insert(key, now);
        }
        all.into_values().map(Lately::row).collect()
    }
}

impl Count {
    fn of(endpoint: &Endpoint, at: Instant) -> Self {
        let Endpoint { calls, errors, .. } = *endpoint;
        let busy_us = endpoint.mean.as_secs_f64() * 1e6 * as_f64(calls);
        Self { calls, errors, busy_us, times: endpoint.latency.clone(), at }
    }
}

impl Lately {
    fn add(&mut self, endpoint: &Endpoint, before: Option<&Count>, now: &Count) {
        let row = &mut self.row;
        row.target = endpoint.target.to_string();
        row.bodies.insert(endpoint.body.to_string());
        row.in_flight += endpoint.in_flight;
        row.queued += endpoint.queued;
        row.restarts += endpoint.restarts;
        self.states.insert(ls::state(endpoint));
        let Some(before) = before else { return };
        let seconds = now.at.duration_since(before.at).as_secs_f64();
        let anew = before.calls > now.calls;
        let since = |now: u64, before: u64| if anew { now } else { now.saturating_sub(before) };
        let ended = since(now.calls, before.calls);
        let failed = since(now.errors, before.errors);
        let add = |sum: &mut Option<f64>, count: u64| {
            if seconds > 0.0 {
                *sum = Some(sum.unwrap_or(0.0) + as_f64(count) / seconds);
            }
        };
        add(&mut row.calls_per_s, ended);
        add(&mut row.errors_per_s, failed);
        self.ended += ended;
        self.busy_us += if anew { now.busy_us } else { (now.busy_us - before.busy_us).max(0.0) };
        self.times.merge(&if anew { now.times.clone() } else { now.times.since(&before.times) });
    }

    fn row(self) -> Row {
        let Self { row, ended, busy_us, times, states } = self;
        Row {
            mean_us: (ended > 0).then(|| busy_us / as_f64(ended)),
            p50_us: times.percentile(50),
            p99_us: times.percentile(99),
            // What is not well comes first: it is what a person looks for.
            state: ordered(states).join(", "),
            ..row
        }
    }
}

fn ordered(states: BTreeSet<String>) -> Vec<String> {
    let mut states: Vec<String> = states.into_iter().collect();
    states.sort_by_key(|state| state.starts_with("ready"));
    states
}

/// Converts a number. It is exact up to 2^53, and close enough beyond.
#[expect(clippy::cast_precision_loss, reason = "a rate is shown with one digit")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

/// Column by which rows are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Sort {
    #[default]
    Calls,
    Errors,
    P50,
    P99,
    Queued,
    Name,
}

impl Sort {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Calls => Self::Errors,
            Self::Errors => Self::P50,
            Self::P50 => Self::P99,
            Self::P99 => Self::Queued,
            Self::Queued => Self::Name,
            Self::Name => Self::Calls,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Calls => "calls/s",
            Self::Errors => "errors/s",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Queued => "queued",
            Self::Name => "name",
        }
    }

    /// Sorts the rows, the largest value first, then by name.
    pub(super) fn apply(self, rows: &mut [Row]) {
        let most = |row: &Row| match self {
            Self::Calls => row.calls_per_s.unwrap_or(0.0),
            Self::Errors => row.errors_per_s.unwrap_or(0.0),
            Self::P50 => as_f64(row.p50_us.unwrap_or(0)),
            Self::P99 => as_f64(row.p99_us.unwrap_or(0)),
            Self::Queued => as_f64(row.queued),
            Self::Name => 0.0,
        };
        // Positive numbers have the order of their bits.
        rows.sort_by_cached_key(|row| {
            (Reverse(most(row).to_bits()), row.target.clone(), row.bodies.clone())
        });
    }
}

#[cfg(test)]
#[path = "rates_tests.rs"]
mod tests;
